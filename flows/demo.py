"""`make demo`: the main job on the photos that come with the installation, to show that all of it works."""

from __future__ import annotations

import sys

from flows.cli import invoke
from flows.commands import printing

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
    from flows.questions.runs import open_run

    run = open_run(STORE, NAME)
    layer = "_blocks.10"
    print(f"\nThe atlas of {layer}: {printing.here(str(run.overview(layer, run.grids[-1])))}")
    print("A handful of photos proves that it works; for an atlas worth exploring give it ten thousand.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
