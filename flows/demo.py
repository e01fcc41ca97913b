"""`make demo`: the main job on the photos that come with the installation, to show that all of it works."""

from __future__ import annotations

import sys

from flows.cli import invoke
from flows.commands import output

STORE = "demo"
NAME = "demo"


def main() -> int:
    """Run the main job on `sample-photos`; name the picture it made and what to try next."""
    print("actlas demo: an activation atlas of efficientnet-lite0 from the photos of scikit-image and scikit-learn")
    code = invoke(
        [
            "run",
            "--images",
            "sample-photos",
            "--store",
            STORE,
            "--name",
            NAME,
            "--grids",
            "8",
            "--samples-per-image",
            "2",
        ]
    )
    if code not in (0, 3):
        return code
    from flows.query import open_run

    run = open_run(STORE, NAME)
    layer = "_blocks.10"
    print(f"\nThe atlas of {layer}: {output.here(str(run.overview(layer, run.grids[-1])))}")
    print("A handful of photos proves that it works; for an atlas worth exploring give it ten thousand.\n\nNext:")
    print(f"  .venv/bin/actlas top {NAME} {layer}:37 --store {STORE} --sheet unit37.png")
    print(f"  .venv/bin/actlas cell {NAME} {layer} {run.grids[-1]} {_fullest(run, layer)} --store {STORE}")
    print(
        f'  .venv/bin/actlas sql {NAME} "select label, count(*) from patches join images using (image_id) '
        f"where unit = 37 and layer = '{layer}' group by label\" --store {STORE}"
    )
    return 0


def _fullest(run: object, layer: str) -> str:
    from storage.run import Run

    assert isinstance(run, Run)
    cells = run.cells(layer, run.grids[-1])
    best = int(cells.count.argmax())
    return f"{cells.row[best]},{cells.col[best]}"


if __name__ == "__main__":
    sys.exit(main())
