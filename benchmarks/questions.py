"""How quickly `top`, `cell` and `locate` are answered, from cold and in a warm process; and a rerun of the same command.

    python benchmarks/questions.py STORE NAME LAYER:UNIT [--rerun IMAGES …]

Cold is the command, in a process of its own; for `locate` that loads torch and the model. Warm is the query in a process
that has asked before, each time of another unit, cell or image: the median by the clock, and by the processor, which
other work on the machine disturbs less; `first` is the process's first. For `locate` these leave out the model: what is
placed are the positions of an image, made of samples. The rerun is given the arguments of the `actlas run` that made the
run; it is compared with importing torch.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from flows.one_image import locate
from flows.questions import addresses, patches
from flows.questions import cells as cell_answers
from storage.run import open_run

ACTLAS = [sys.executable, "-m", "flows.cli"]
SIDE = 7
POSITIONS = SIDE * SIDE
"""Of an image, as `locate` is asked for them."""


def seconds(command: Sequence[str], rounds: int) -> tuple[float, float]:
    """Return the median time of a command: by the clock, and of the processor."""
    took, spent = [], []
    for _ in range(rounds):
        started, began = time.perf_counter(), of_children()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - started)
        spent.append(of_children() - began)
    return statistics.median(took), statistics.median(spent)


def of_children() -> float:
    """Return the processor time that finished children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def first_and_warm(ask: Callable[[int], object], rounds: int) -> tuple[float, float, float]:
    """Return the milliseconds of the first question, and medians of those after it: by the clock, by the processor."""
    took, spent = [], []
    for i in range(rounds + 1):
        started, began = time.perf_counter(), time.process_time()
        ask(i)
        took.append(1000 * (time.perf_counter() - started))
        spent.append(1000 * (time.process_time() - began))
    return took[0], statistics.median(took[1:]), statistics.median(spent[1:])


def in_process(store: str, name: str, layer: str, units: int = 40) -> dict[str, float]:
    """Time the queries in this process."""
    run = open_run(store, name)
    grid = run.grids[-1]
    cells, samples = run.cells(layer, grid), run.samples(layer).activations
    places = list(zip(cells.row.tolist(), cells.col.tolist(), strict=True))
    starts = range(0, min(2_000, len(samples)) - POSITIONS + 1, POSITIONS)
    images = [samples[i : i + POSITIONS].T.reshape(samples.shape[1], SIDE, SIDE) + 0.01 for i in starts]
    asked: dict[str, tuple[Callable[[int], object], int]] = {
        "top": (lambda i: patches.top(run, layer, i % units), 200),
        "cell": (lambda i: cell_answers.cell(run, layer, grid, *places[i % len(places)]), 200),
        "locate": (lambda i: locate.locate_activation(run, layer, images[i % len(images)], grid), 40),
    }
    found = {}
    for what, (ask, rounds) in asked.items():
        first, clock, processor = first_and_warm(ask, rounds)
        found |= {f"first_{what}_ms": first, f"warm_{what}_ms": clock, f"warm_{what}_cpu_ms": processor}
    return found


def from_cold(store: str, name: str, unit: str) -> dict[str, float]:
    """Time the commands."""
    run, (layer, _) = open_run(store, name), addresses.parse_unit(unit)
    grid = run.grids[-1]
    cells = run.cells(layer, grid)
    place = f"{cells.row[0]},{cells.col[0]}"
    commands = {"top": [unit], "cell": [layer, str(grid), place], "locate": [layer, "0"]}
    found = {}
    for what, rest in commands.items():
        clock, processor = seconds([*ACTLAS, what, name, *rest, "--store", store, "--json"], 5)
        found |= {f"cold_{what}_s": clock, f"cold_{what}_cpu_s": processor}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("name")
    parser.add_argument("unit")
    parser.add_argument("--rerun", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    layer, _ = addresses.parse_unit(args.unit)
    figures = in_process(args.store, args.name, layer) | from_cold(args.store, args.name, args.unit)
    if args.rerun:
        again = [*ACTLAS, "run", *args.rerun, "--store", args.store, "--name", args.name, "--engine", "inline"]
        figures["rerun_s"], figures["rerun_cpu_s"] = seconds(again, 3)
        figures["import_torch_s"], figures["import_torch_cpu_s"] = seconds([sys.executable, "-c", "import torch"], 3)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
