"""How long each command takes before it does anything, and how long questions take from cold.

    python benchmarks/import_time.py [FOLDER] [--rounds 5]

FOLDER is a checkout (this one by default); commands are found through `flows.cli:app`, so it works on any commit. For each
command: its --help, and importing what its function imports when it runs. The questions are asked of the store kept in
tests/data/format1. Medians of processor time, which other work on the machine disturbs little; each in a process of its own.
*torch* says whether torch was loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

COMMANDS = """
import ast, inspect, json, textwrap
from flows.cli import app

def found(group, path):
    for info in group.registered_commands:
        tree = ast.parse(textwrap.dedent(inspect.getsource(info.callback)))
        imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        yield [*path, info.name or info.callback.__name__.replace("_", "-")], imports
    for info in group.registered_groups:
        yield from found(info.typer_instance, [*path, info.name or info.typer_instance.info.name])

print(json.dumps(list(found(app, []))))
"""

QUESTIONS = (
    ("runs", "show", "small"),
    ("top", "small", "2:3"),
    ("cell", "small", "2", "2", "1,1"),
    ("unit", "small", "2:3"),
    ("influence", "small", "2:3"),
    ("sql", "small", "select count(*) from patches"),
    ("verify",),
)

TORCH = "import sys; print('torch' in sys.modules, file=sys.stderr)"


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the code of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True, text=True)


def measure(root: Path, rounds: int, code: str) -> str:
    """Return the median processor seconds of some code, and whether it loads torch."""
    took = []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        loaded = run(root, "-c", f"{code}\n{TORCH}").stderr.split()[-1]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return f"{statistics.median(took):6.2f} s{' torch' if loaded == 'True' else '':6}"


def asked(*arguments: str) -> str:
    """Return code that runs a command."""
    return f"from flows import cli; cli.invoke({list(arguments)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    root = args.folder.resolve()
    print(f"{'the command line alone':24}{measure(root, args.rounds, 'import flows.cli')}")
    print(f"\n{'command':16}{'--help':>8}{'imports':>16}")
    for path, imports in json.loads(run(root, "-c", COMMANDS).stdout):
        shown = measure(root, args.rounds, asked(*path, "--help"))
        loaded = measure(root, args.rounds, "\n".join(["import flows.cli", *imports]))
        print(f"{' '.join(path):16}{shown}  {loaded}", flush=True)
    print("\nquestion")
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(ROOT / "tests/data/format1/store.tar.xz") as tar:
        tar.extractall(scratch, filter="data")
        for question in QUESTIONS:
            print(
                f"{' '.join(question):40}{measure(root, args.rounds, asked(*question, '--store', scratch))}", flush=True
            )


if __name__ == "__main__":
    main()
