"""Does one commit store what another stored? Make the same runs with the code of each, and compare the stores byte by byte.

    python benchmarks/same_store.py BEFORE [AFTER] [--python-before PYTHON] [--python-after PYTHON] [--fault key|byte]

Each side runs in processes of its own, from an export of its commit and in an environment of its own, which pip makes by
the commit's constraints (about 3 minutes and 7 GB a side, removed at the end). `--python-before` and `--python-after` name
the interpreters of environments that exist. What is run: a tiny model with convolutions, tokens and a linear layer, two
versions of its weights, labels, several grids and every extra; each layout; and the default model on a few photos. Both
sides work in the same folder, one after the other, so that paths in keys and versions are equal. Compared are the packages
of both environments, and all stage results, manifests and versions, but for the times in happened.json. Exits with 1 if
anything of the stores differs.

The faults show that it can fail: `key` gives the later side another seed, `byte` changes one byte of one of its manifests.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("atlas", "flows", "storage")
SHOWN = 20

EXTRAS = ("attribution", "influence", "gradients", "gallery")
SMALL: dict[str, Any] = {
    "images": "images",
    "store": "store",
    "model": "tiny:net",
    "layers": ("2", "3.mix", "4"),  # feature maps, tokens, a vector
    "input_size": 32,
    "labels": "labels.csv",
    "classes": "classes.txt",
    "shard_size": 16,
    "samples_per_image": 2,
    "min_count": 1,
    "grids": (2, 3),
    "icon_size": 24,
    "icon_tries": 1,
}
PHOTOS: dict[str, Any] = {
    "images": "sample-photos",
    "store": "store",
    "limit": 24,
    "layers": ("_blocks.4", "_conv_head"),
    "grids": (2,),
    "min_count": 1,
    "icon_size": 32,
    "icon_tries": 1,
}
ONE = SMALL | {"layers": ("2",), "grids": (2,)}
RUNS = (
    SMALL | {"name": "tiny", "with": EXTRAS},
    SMALL | {"name": "tiny", "with": EXTRAS, "weights": "later.pt"},
    ONE | {"name": "pca", "layout": "pca", "recipe": "best", "with": ("gradients",), "gradients_method": "gradient"},
    ONE | {"name": "tsne", "layout": "tsne", "recipe": "distill", "icon_size": 64},
    PHOTOS | {"name": "photos"},
)


def export(commit: str, folder: Path) -> Path:
    """Write a commit's files into a folder."""
    folder.mkdir()
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=packed, check=True)
    return folder


def environment(code: Path) -> str:
    """Make the environment of a commit beside its code, and return its interpreter."""
    folder = code.with_name(f"environment-{code.name}")
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-m", "venv", folder], env=own, check=True)
    python = str(folder / "bin" / "python")
    print(f"{code.name}: installing into {folder}", file=sys.stderr)
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--constraint",
        code / "constraints.txt",
        "--editable",
        code,
    ]
    subprocess.run(pip, env=own, check=True)
    return python


def packages(python: str) -> set[str]:
    """Return the packages of an environment, with their versions."""
    listed = "import importlib.metadata as m; print(*sorted({f'{d.name}=={d.version}' for d in m.distributions()}), sep='\\n')"
    done = subprocess.run([python, "-I", "-c", listed], stdout=subprocess.PIPE, check=True)
    return set(done.stdout.decode().split())


def make(code: Path, python: str, here: Path, runs: tuple[dict[str, Any], ...]) -> dict[str, str]:
    """Make all runs with some code, move the store away, and return the hashes of its files."""
    variables = os.environ | {"PYTHONPATH": f"{code}:{here}", "XDG_CACHE_HOME": str(here / "cache")}

    def run(*arguments: str) -> str:
        done = subprocess.run([python, *arguments], cwd=here, env=variables, stdout=subprocess.PIPE, check=True)
        return done.stdout.decode()

    found = f"import flows.cli, {', '.join(PACKAGES)}; print(*(p.__path__[0] for p in ({', '.join(PACKAGES)})))"
    if run("-c", found).split() != [str(code / package) for package in PACKAGES]:
        sys.exit(f"{python} imports other code than that of {code}")
    for number, settings in enumerate(runs):
        (here / "run.toml").write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
        run("-m", "flows.cli", "run", "--config", "run.toml", "--engine", "inline")
        print(f"{code.name}: {number + 1} of {len(runs)} runs made", file=sys.stderr)
    # The noise that motion is compared with is kept in the store, too.
    run("-m", "flows.cli", "compare", "tiny@1", "tiny@2", "--store", "store")
    store = (here / "store").rename(code.with_name(f"store-{code.name}"))
    return hashes(store)


def hashes(store: Path) -> dict[str, str]:
    """Return the hash of every file that lasts, by its path in the store."""
    files = [path for part in ("stages", "runs") for path in (store / part).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
        if path.name != "happened.json"
    }


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return a line for each file that only one side has, or that differs."""
    says = {(True, False): "only before", (False, True): "only after", (True, True): "differs"}
    paths = sorted(path for path in before | after if before.get(path) != after.get(path))
    return [f"{says[path in before, path in after]}: {path}" for path in paths]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="a commit")
    parser.add_argument("after", nargs="?", default="HEAD", help="a commit (HEAD)")
    parser.add_argument("--python-before", help="the interpreter of an environment, instead of one made for this")
    parser.add_argument("--python-after")
    parser.add_argument("--fault", choices=("key", "byte"))
    args = parser.parse_args()
    changed = tuple(run | {"seed": 1} for run in RUNS) if args.fault == "key" else RUNS
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        (here := folder / "here").mkdir()
        shutil.copy(ROOT / "tests" / "support" / "tiny.py", here)
        sides = export(args.before, folder / "before"), export(args.after, folder / "after")
        pythons = args.python_before or environment(sides[0]), args.python_after or environment(sides[1])
        unequal = packages(pythons[0]) ^ packages(pythons[1])
        subprocess.run([pythons[0], "tiny.py"], cwd=here, check=True)
        before = make(sides[0], pythons[0], here, RUNS)
        after = make(sides[1], pythons[1], here, changed)
        if args.fault == "byte":
            manifest = next((folder / "store-after").rglob("manifest.json"))
            manifest.write_bytes(manifest.read_bytes()[:-2] + b" \n")
            after = hashes(folder / "store-after")
    found = differences(before, after)
    results = Counter(path.split("/")[1] for path in before if path.endswith("/manifest.json"))
    for line in [*found[:SHOWN], f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else found:
        print(line)
    print(f"environments: {', '.join(pythons)}; packages in one of them only: {', '.join(sorted(unequal)) or 'none'}")
    print(f"results compared: {', '.join(f'{number} {stage}' for stage, number in sorted(results.items()))}")
    print(f"{len(before)} files before, {len(after)} after, {len(found)} differences")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
