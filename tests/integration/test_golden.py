"""Bytes of a stage do not change unless its code version is raised.

`python tests/integration/test_golden.py` writes the record anew, after a version was raised on purpose.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import pytest
import torch
from support import corpus

from flows import registry
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.store.store import Store

RECORD = Path(__file__).parents[1] / "golden" / "stages.json"
LIBRARIES = ("torch", "numpy", "scikit-learn", "pyarrow", "zarr", "pillow", "pyvips-binary", "faiss-cpu", "umap-learn")
MOVES_WITH_THE_PLACE = {"listing"}  # its rows hold times of files


def environment() -> dict[str, str]:
    """Return what else may change a stage's bytes: library versions and the processor's instruction set."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES} | {
        "processor": torch.backends.cpu.get_cpu_capability()
    }


def digests(folder: Path) -> dict[str, str]:
    """Run the small corpus; return one hash per stage, over the files of its results in the order of their places."""
    images = corpus.write_images(folder / "images", 20)
    summary = pipeline.run(corpus.config(images, folder / "store", layout="umap"), Inline())
    store, found = Store(folder / "store"), {}
    for outcome in summary.outcomes:
        digest = found.setdefault(outcome.output.stage, hashlib.sha256())
        digest.update(
            json.dumps(store.get(outcome.output.stage, outcome.output.key).manifest["files"], sort_keys=True).encode()
        )
    return {stage: digest.hexdigest() for stage, digest in found.items() if stage not in MOVES_WITH_THE_PLACE}


def unannounced(record: dict[str, Any], found: dict[str, str], code: dict[str, int]) -> list[str]:
    """Return the stages whose bytes changed while their code version did not."""
    return [
        s
        for s, digest in found.items()
        if record["stages"][s] != {"code": code[s], "digest": digest} and record["stages"][s]["code"] == code[s]
    ]


def test_bytes_change_only_with_the_code_version(tmp_path: Path) -> None:
    record = json.loads(RECORD.read_text())
    if record["environment"] != environment():
        pytest.skip("recorded with other libraries or another processor, where bytes may differ")
    changed = unannounced(record, digests(tmp_path), registry.codes())
    assert not changed, f"raise the code of {changed} in flows/registry.py, then run `make golden`"


def test_mutant_changed_bytes_are_seen() -> None:
    record = {"stages": {"cells": {"code": 1, "digest": "a"}}}
    assert unannounced(record, {"cells": "b"}, {"cells": 1}) == ["cells"]
    assert unannounced(record, {"cells": "b"}, {"cells": 2}) == []


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        stages = {
            stage: {"code": registry.stage(stage).code, "digest": digest}
            for stage, digest in digests(Path(scratch)).items()
        }
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps({"environment": environment(), "stages": stages}, indent=1, sort_keys=True) + "\n")
