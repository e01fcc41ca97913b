"""100 broken images among 500 photos: each recorded once with its reason, everything else as without them.

    python benchmarks/broken.py IMAGES

Both runs go as far as the cells (layout by UMAP); samples, patches, layout and cells are compared byte for byte, joined
by path.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.pictures import broken_files

from atlas.arrays import SIGNS
from flows import cores
from flows.cli import invoke
from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.run import Run, open_run

LAYERS = ("_blocks.4", "_blocks.10")


def everything(run: Run, root: Path) -> dict[str, Any]:
    """Return all that a run says of its used images, by path."""
    names = {row["image_id"]: str(Path(row["path"]).relative_to(root)) for row in run.images().to_pylist()}
    found: dict[str, Any] = {}
    for layer in LAYERS:
        samples, points, cells = run.samples(layer), run.layout(layer), run.cells(layer, 8)
        for i, image in enumerate(samples.image_id.tolist()):
            place = (names[image], int(samples.y[i]), int(samples.x[i]))
            found[f"{layer} sample {place}"] = (samples.activations[i].tobytes(), points[i].tobytes())
        found[f"{layer} cells"] = (cells.row.tolist(), cells.col.tolist(), cells.mean.tobytes(), cells.members.tolist())
        for unit in range(samples.activations.shape[1]):
            for sign in SIGNS:
                rows = run.patches(layer, unit, 64, sign).to_pylist()
                found[f"{layer} {unit} {sign}"] = [
                    (r["value"], names[r["image_id"]], r["y"], r["x"], r["focus"], r["reach"]) for r in rows
                ]
    return found


def settings(images: Path, store: Path, **more: Any) -> RunConfig:
    return RunConfig(
        images=str(images),
        store=str(store),
        name="broken",
        layers=LAYERS,
        grids=(8,),
        until="cells",
        shard_size=600,
        **more,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    args = parser.parse_args()
    cores.share_cores()
    with tempfile.TemporaryDirectory() as scratch:
        good, bad = Path(scratch) / "good", Path(scratch) / "bad"
        for number, path in enumerate(sorted(args.images.rglob("*.jpg"))[::20][:500]):
            target = good / path.parent.name / f"{number:04d}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        shutil.copytree(good, bad)
        expected = {}
        for number, (reason, data) in enumerate(broken_files()):
            path = bad / "broken" / f"{number:03d}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            expected[str(path)] = reason
        pipeline.run(settings(good, Path(scratch) / "a"), Inline())
        pipeline.run(settings(bad, Path(scratch) / "b", max_rejected=0.3), Inline())
        clean, dirty = open_run(Path(scratch) / "a", "broken"), open_run(Path(scratch) / "b", "broken")
        rejects = dirty.rejects().to_pylist()
        ours, theirs = everything(dirty, bad), everything(clean, good)
        codes = [
            invoke(
                [
                    "run",
                    "--images",
                    str(bad),
                    "--store",
                    str(Path(scratch) / "c"),
                    "--name",
                    "broken",
                    "--until",
                    "collect",
                    "--layers",
                    "_blocks.4",
                    "--engine",
                    "inline",
                    *more,
                ]
            )
            for more in (["--max-rejected", "0.3"], ["--max-rejected", "0.05"])
        ]
        print(
            json.dumps(
                {
                    "images": 600,
                    "broken": len(expected),
                    "recorded": len(rejects),
                    "right_reason": sum(expected.get(row["path"]) == row["reason"] for row in rejects),
                    "compared": len(theirs),
                    "equal": sum(ours.get(name) == value for name, value in theirs.items()),
                    "more": len(ours.keys() - theirs.keys()),
                    "exit_code_allowed": codes[0],
                    "exit_code_by_default": codes[1],
                }
            )
        )


if __name__ == "__main__":
    main()
