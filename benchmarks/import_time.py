"""How long each command takes before it does anything, and how long questions take from cold.

    python benchmarks/import_time.py [FOLDER ...] [--rounds 5]

Each FOLDER is a checkout (this one by default), and gets a column of its own; in each round all of them take their turn.
Commands are found through `flows.cli:app`, so it works on any commit. For each command: its --help, and importing what its
function imports when it runs. The questions are asked of the store kept in tests/data/format1. Medians of processor time in
seconds, which other work on the machine disturbs little; each in a process of its own. *torch* says that torch was loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "tests" / "data" / "format1" / "store.tar.xz"

COMMANDS = """
import ast, inspect, json, textwrap
from flows.cli import app

def found(group, path):
    for info in group.registered_commands:
        tree = ast.parse(textwrap.dedent(inspect.getsource(info.callback)))
        imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        yield " ".join([*path, info.name or info.callback.__name__.replace("_", "-")]), imports
    for info in group.registered_groups:
        yield from found(info.typer_instance, [*path, info.name or info.typer_instance.info.name])

print(json.dumps(dict(found(app, []))))
"""

QUESTIONS = (
    "runs list --store STORE",
    "runs show small --store STORE",
    "top small 2:3 --store STORE",
    "cell small 2 2 1,1 --store STORE",
    "unit small 2:3 --store STORE",
    "influence small 2:3 --store STORE",
    "sql small 'select count(*) from patches' --store STORE",
    "verify --store STORE",
    "layers torchvision:resnet18 --weights random",
    "run --images IMAGES --store NEW --dry-run",
)

REPORT = "import json, sys, flows; print(json.dumps([flows.__file__, 'torch' in sys.modules]), file=sys.stderr)"


def run(root: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code with the modules of a checkout; `-c` looks in the working folder first, so that is the checkout too."""
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)


def measure(root: Path, code: str) -> tuple[float, bool] | None:
    """Return the processor seconds of some code and whether it loads torch, or None if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = run(root, f"{code}\n{REPORT}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if child.returncode:
        return None
    file, torch = json.loads(child.stderr.splitlines()[-1])
    assert Path(file).is_relative_to(root), f"measured {file} in place of {root}"
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, torch


def median(rounds: Iterable[tuple[float, bool] | None]) -> str:
    """Return the median seconds, and `torch` if that was loaded; a dash for what a checkout doesn't have."""
    done = [each for each in rounds if each is not None]
    if not done:
        return "–"
    return f"{statistics.median(took for took, _ in done):.2f}{' torch' if done[0][1] else ''}"


def row(name: str, cells: Sequence[tuple[Path, str | None]], rounds: int) -> None:
    """Measure pieces of code in turns, each with a checkout, and print the medians as a row of a table."""
    taken = [[measure(root, code) if code else None for root, code in cells] for _ in range(rounds)]
    print(f"| {name} |", " | ".join(median(column) for column in zip(*taken, strict=True)), "|", flush=True)


def heading(names: list[str]) -> None:
    """Print the head of a table."""
    print("\n| processor seconds |", " | ".join(names), "|")
    print("|---" * (len(names) + 1) + "|")


def command(*arguments: str) -> str:
    """Return code that runs a command and fails as it does."""
    return f"from flows import cli\nif cli.invoke({list(arguments)}): raise SystemExit(1)"


def commands(root: Path) -> dict[str, list[str]]:
    """Return the commands of a checkout and the imports of their functions."""
    child = run(root, COMMANDS)
    assert child.returncode == 0, child.stderr
    found: dict[str, list[str]] = json.loads(child.stdout)
    return found


def measure_commands(roots: list[Path], rounds: int) -> None:
    """Print what --help and the imports of each command take."""
    tables = [commands(root) for root in roots]
    heading([f"{what}, {root.name}" for what in ("--help", "imports") for root in roots])
    row("no command", [(root, "import flows.cli") for root in roots] * 2, rounds)
    for name in tables[0]:
        shown = [command(*name.split(), "--help") if name in table else None for table in tables]
        imports = ["\n".join(["import flows.cli", *table[name]]) if name in table else None for table in tables]
        row(f"`{name}`", list(zip(roots * 2, shown + imports, strict=True)), rounds)


def measure_questions(roots: list[Path], rounds: int, scratch: Path) -> None:
    """Print what questions take, of a store with one small run."""
    with tarfile.open(KEPT) as tar:
        tar.extractall(scratch / "store", filter="data")
    (scratch / "images").mkdir()
    for index in range(12):
        Image.new("RGB", (64, 64), (20 * index, 90, 255 - 20 * index)).save(scratch / "images" / f"{index}.png")
    places = {"STORE": scratch / "store", "NEW": scratch / "new", "IMAGES": scratch / "images"}
    heading([root.name for root in roots])
    for question in QUESTIONS:
        arguments = [str(places.get(word, word)) for word in shlex.split(question)]
        shown = question.removesuffix(" --store STORE")
        row(f"`{shown}`", [(root, command(*arguments)) for root in roots], rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    roots = [folder.resolve() for folder in args.folders] or [ROOT]
    measure_commands(roots, args.rounds)
    with tempfile.TemporaryDirectory() as scratch:
        measure_questions(roots, args.rounds, Path(scratch))


if __name__ == "__main__":
    main()
