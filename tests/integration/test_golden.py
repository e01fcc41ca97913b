"""Bytes of a stage do not change unless its code version is raised.

    make golden
    python tests/integration/test_golden.py [LEVEL]

The first writes the record anew, after a version was raised on purpose; the second prints the digests of one run.

Bytes follow from the libraries and from the instructions they compute with, so there is a record for each level of
`support.processors`, made in a process that is held to it. What is left of the processor is its maker: MKL takes other
ways on those of others than Intel.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest
from support import corpus, processors

from flows import registry
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.store.store import Store

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "tests" / "golden" / "stages.json"
LIBRARIES = (
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "numba",
    "pyarrow",
    "zarr",
    "pillow",
    "pyvips-binary",
    "faiss-cpu",
    "umap-learn",
)
MOVES_WITH_THE_PLACE = {"listing", "model"}  # times of files; the code of this folder's model


def environment() -> dict[str, str]:
    """Return what may change a stage's bytes beside the level: versions of libraries and the maker of the processor."""
    maker, _ = processors.here()
    return {name: importlib.metadata.version(name) for name in LIBRARIES} | {"processor": maker}


def digests(folder: Path, **changes: Any) -> dict[str, str]:
    """Run the small corpus; return one hash per stage, over the files of its results in the order of their places."""
    images = corpus.write_images(folder / "images", 20)
    summary = pipeline.run(corpus.config(images, folder / "store", layout="umap", **changes), Inline())
    store, found = Store(folder / "store"), {}
    for outcome in summary.outcomes:
        digest = found.setdefault(outcome.output.stage, hashlib.sha256())
        digest.update(
            json.dumps(store.get(outcome.output.stage, outcome.output.key).manifest["files"], sort_keys=True).encode()
        )
    return {stage: digest.hexdigest() for stage, digest in found.items() if stage not in MOVES_WITH_THE_PLACE}


def held_to(level: str) -> dict[str, str]:
    """Return the digests of a run in a process that is held to a level."""
    done = subprocess.run(
        [sys.executable, __file__, level],
        env=processors.environment(level) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def unannounced(recorded: dict[str, Any], found: dict[str, str], code: dict[str, int]) -> list[str]:
    """Return the stages whose bytes changed while their code version did not."""
    return [
        s for s, digest in found.items() if recorded[s] != {"code": code[s], "digest": digest} and recorded[s]["code"] == code[s]
    ]  # fmt: skip


def obstacle(record: dict[str, Any], level: str) -> str:
    """Say why bytes cannot be compared here; nothing if they can."""
    maker, flags = processors.here()
    if missing := processors.FLAGS[level] - flags:
        return f"this processor ({maker}) has no {', '.join(sorted(missing))}"
    there, now = record["environment"], environment()
    differing = [f"{name} {now[name]} (recorded: {there.get(name)})" for name in now if there.get(name) != now[name]]
    return ", ".join(differing)


REMEDY = "write the record of the commit before with `make golden`, that of your change likewise, and compare them"


@pytest.mark.parametrize("level", ["avx2", pytest.param("avx512", marks=pytest.mark.sweep)])
def test_bytes_change_only_with_the_code_version(level: str) -> None:
    record = json.loads(RECORD.read_text())
    if why := obstacle(record, level):
        loudly_skip(f"bytes at {level} are not compared: {why}; to be sure, {REMEDY}")
    changed = unannounced(record["stages"][level], held_to(level), registry.codes())
    assert not changed, (
        f"raise the code of {changed} in flows/registry.py, then run `make golden`; "
        f"if you doubt that it is the code and not the processor, {REMEDY}"
    )


def loudly_skip(why: str) -> None:
    """Skip, and warn, so that the summary at the end says so whatever else is printed."""
    warnings.warn(why, stacklevel=2)
    pytest.skip(why)


def test_mutant_changed_bytes_are_seen() -> None:
    recorded = {"cells": {"code": 1, "digest": "a"}}
    assert unannounced(recorded, {"cells": "b"}, {"cells": 1}) == ["cells"]
    assert unannounced(recorded, {"cells": "b"}, {"cells": 2}) == []


def test_mutant_other_rounding_is_seen() -> None:
    """Other instructions round otherwise: a process that was not held to its level would be found out."""
    stages = json.loads(RECORD.read_text())["stages"]
    other = {stage: stages["avx512"][stage]["digest"] for stage in stages["avx2"]}
    assert {"layout", "moment"} <= set(unannounced(stages["avx2"], other, registry.codes()))


def test_mutant_another_environment_is_seen() -> None:
    record = json.loads(RECORD.read_text())
    other = record | {"environment": record["environment"] | {"torch": "1.0"}}
    assert "torch" in obstacle(other, "avx2")
    with pytest.warns(UserWarning, match="torch"), pytest.raises(pytest.skip.Exception):
        loudly_skip(obstacle(other, "avx2"))


def main(levels: list[str]) -> None:
    """Print the digests of this process, or with no level named write the record of all."""
    if levels:
        processors.hold()
        with tempfile.TemporaryDirectory() as scratch:
            print(json.dumps(digests(Path(scratch))))
        return
    _, flags = processors.here()
    if missing := {flag for level in processors.LEVELS for flag in processors.FLAGS[level]} - flags:
        sys.exit(f"this processor has no {', '.join(sorted(missing))}; write the record where they are")
    stages = {
        level: {
            stage: {"code": registry.stage(stage).code, "digest": digest} for stage, digest in held_to(level).items()
        }
        for level in processors.LEVELS
    }
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps({"environment": environment(), "stages": stages}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
