"""Measure the memory that a dream of a 12-megapixel photo takes, against one of a twelfth of its pixels.

    python benchmarks/dream.py [--iterations 1] [--image FILE]

Each is `actlas dream` in a process of its own, which says its own peak. Memory does not depend on the number of iterations.
Without an image, it is a photo that scikit-learn carries, enlarged.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SIDES = (1155, 4000)
"""Longer sides of a photo of 4:3 with 1 and with 12 megapixels."""

CHILD = """
import json, resource, sys
from flows.cli import invoke
code = invoke(json.loads(sys.argv[1]))
print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}", file=sys.stderr)
sys.exit(code)
"""


def photo(folder: Path) -> Path:
    """Write a photo of 12 megapixels."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    path = folder / "china.jpg"
    whole = Image.fromarray(load_sample_image("china.jpg")).crop((35, 0, 604, 427))
    whole.resize((4000, 3000), Image.Resampling.LANCZOS).save(path, quality=90)
    return path


def dreamt(image: Path, side: int, iterations: int, out: Path) -> tuple[dict[str, object], float]:
    """Dream in a process of its own; return its answer and its peak in MiB."""
    told = ["dream", str(image), "--size", str(side), "--iterations", str(iterations), "--out", str(out), "--json"]
    done = subprocess.run([sys.executable, "-c", CHILD, json.dumps(told)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout), int(done.stderr.rsplit("peak ", 1)[1]) / 1024


def main() -> None:
    """Print a line for each size."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--iterations", type=int, default=1)
    asked.add_argument("--image", type=Path)
    told = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = told.image or photo(Path(folder))
        for side in SIDES:
            answer, peak = dreamt(image, side, told.iterations, Path(folder) / "dream.png")
            height, width = answer["size"]  # type: ignore[misc]
            octaves = len(answer["octaves"])  # type: ignore[arg-type]
            print(
                f"{width} x {height}: peak {peak:,.0f} MiB, {octaves} octaves of {told.iterations}, {answer['seconds']} s"
            )


if __name__ == "__main__":
    main()
