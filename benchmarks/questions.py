"""How quickly questions are answered: `actlas top` from cold, a query in a warm process, and a rerun of the same command.

    python benchmarks/questions.py STORE NAME LAYER:UNIT [--rerun IMAGES …]

The rerun is given the arguments of the `actlas run` that made the run; it is compared with importing torch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from flows import query


def seconds(command: Sequence[str], rounds: int) -> float:
    """Return the median wall time of a command."""
    took = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def warm(store: str, name: str, unit: str, rounds: int = 200) -> float:
    """Return the median milliseconds of a query in a process that has asked before."""
    run = query.open_run(store, name)
    layer, number = query.parse_unit(unit)
    took = []
    for i in range(rounds):
        started = time.perf_counter()
        query.top(run, layer, (number + i) % 40)
        took.append(1000 * (time.perf_counter() - started))
    return statistics.median(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("name")
    parser.add_argument("unit")
    parser.add_argument("--rerun", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    actlas = [sys.executable, "-m", "flows.cli"]
    figures = {
        "cold_top_s": seconds([*actlas, "top", args.name, args.unit, "--store", args.store, "--json"], 7),
        "warm_query_ms": warm(args.store, args.name, args.unit),
    }
    if args.rerun:
        again = [*actlas, "run", *args.rerun, "--store", args.store, "--name", args.name, "--engine", "inline"]
        figures["rerun_s"] = seconds(again, 3)
        figures["import_torch_s"] = seconds([sys.executable, "-c", "import torch"], 3)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
