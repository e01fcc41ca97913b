"""Make docs/gallery.md: every kind of picture, each by the command that stands beside it.

    python benchmarks/gallery.py [--images PATH] [--store DIR] [--only NAME …]

Needs a run `samples` with a grid of 10 and its extras, which it makes of PATH where the store has none. Pictures are kept as
PNG in build/gallery, and made where they are missing, or only those named; docs/ gets them smaller. All photos in them are
those that scikit-image and scikit-learn carry.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from flows.cli import invoke
from storage.errors import NotFound
from storage.run import open_run

ROOT = Path(__file__).parents[1]
WORK, PAGE, PICTURES = ROOT / "build" / "gallery", ROOT / "docs" / "gallery.md", ROOT / "docs" / "pictures" / "gallery"
RUN = "samples"
LAYERS = ("_blocks.10", "_blocks.14")
WIDEST, QUALITY = 1200, 80
MOST = 4 << 20
"""Bytes of all pictures together."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture: its name, what it is in a sentence, and the command that makes it, without `actlas` and the output."""

    name: str
    says: str
    command: str
    out: str = "--out"

    @property
    def told(self) -> str:
        return f"{self.command} {self.out} {self.name}.png"


SECTIONS: dict[str, tuple[Shown, ...]] = {
    "Units, layers, directions": (
        Shown(
            "units",
            "What units of a middle layer respond to, drawn from noise; below each, its value relative to the strongest patch's.",
            "show _blocks.10:4 _blocks.10:22 _blocks.10:37 _blocks.10:53 _blocks.10:56 _blocks.10:61 _blocks.10:66 _blocks.10:84 "
            "_blocks.10:96 _blocks.10:102 --run samples",
        ),
        Shown(
            "facets",
            "Five pictures of one unit, drawn together so that they differ: what else the unit responds to.",
            "show _blocks.10:84 --facets 5 --run samples",
        ),
        Shown(
            "targets",
            "One engine, many targets: a unit, the unit at one position, a whole layer, a sum of units, a cell of an atlas.",
            'show _blocks.10:56 _blocks.10:56@3,3 _blocks.10 "_blocks.10:56+_blocks.10:96" _blocks.10@10:0,2 --run samples',
        ),
        Shown(
            "maco",
            "The same units by MACO, which optimises only the phases and takes the spectrum of the run's own photos.",
            "show _blocks.10:56 _blocks.10:96 --recipe maco --run samples",
        ),
    ),
    "Classes": (
        Shown(
            "classes",
            "What the model recognises as a class: by its logit, and by its probability, which favours what sets the class "
            "apart; below each, the probability that the model gives the picture.",
            "show class:goldfish class:balloon prob:goldfish prob:balloon",
        ),
        Shown(
            "simonyan",
            "The recipe of 2013: the score minus λ times the squared picture, starting from the mean colour. The model is "
            "certain of what we hardly see, which is why later recipes shift and smooth their pictures.",
            "show class:goldfish class:balloon --recipe simonyan",
        ),
    ),
    "Dreams": (
        Shown(
            "dream",
            "A photo with more of what a layer sees in it, before and after.",
            "dream china.png --view sheet",
        ),
        Shown(
            "guided",
            "Guided by another photo, at an earlier layer: each place moves towards the most similar place of the guide.",
            "dream china.png _blocks.7 --guide flower.png --view sheet",
        ),
        Shown("noise", "A dream that starts from noise.", "dream noise _blocks.9 --size 240x640 --iterations 20"),
    ),
    "Saliency": (
        Shown(
            "smoothgrad",
            "Which pixels move the score of the model's first choice, by SmoothGrad ([which methods to trust](saliency.md)).",
            "saliency chelsea.png --method smoothgrad",
        ),
        Shown(
            "integrated",
            "Each pixel's share of the score, for and against, by integrated gradients.",
            "saliency coffee.png class:espresso --method integrated-gradients --steps 100",
        ),
        Shown(
            "grad-cam",
            "The positions of the last layer that support a class, by Grad-CAM.",
            'saliency rocket.png "class:missile" --method grad-cam',
        ),
    ),
    "Patches and units of a run": (
        Shown(
            "top",
            "The strongest patches of a unit in their images, and what drives the unit in each.",
            "top samples _blocks.14:41 -k 8 --gradients guided-backprop",
            "--sheet",
        ),
        Shown(
            "card",
            "Everything a run knows about a unit: [what each part shows](units.md).",
            "unit samples _blocks.14:41",
            "--sheet",
        ),
        Shown(
            "influence",
            "A unit, and the units of the next layer that it excites and inhibits.",
            "influence samples _blocks.10:37 --k 5",
            "--sheet",
        ),
    ),
    "One image, taken apart": (
        Shown(
            "explain",
            "What a layer sees in an image, where, and in which groups of units; what supports a class; and what drives what at "
            "a later layer: [what each number means](explain.md).",
            "explain coffee.png --layer _blocks.10 --to _blocks.14 --class espresso --run samples",
        ),
        Shown(
            "versus",
            "The same, for what supports one class rather than another.",
            'explain chelsea.png --layer _blocks.14 --class "tiger cat" --versus lynx --run samples',
        ),
    ),
    "The atlas": (
        Shown(
            "map",
            "The atlas of a late layer; a cell is as opaque as it supports one class.",
            "map samples _blocks.14 10 mushroom",
            "--sheet",
        ),
    ),
}

HEAD = """# Gallery

Every kind of picture that actlas draws, each with its command, on the default model. `make gallery` (`benchmarks/gallery.py`) makes
this page. `samples` is a run over `sample-photos`, the few photos that come with scikit-image and scikit-learn, with the options
`--layers _blocks.10 _blocks.14 --grids 10 --samples-per-image 2 --with attribution influence gallery`. `chelsea.png` and the others
are some of these photos; `make gallery` writes them to `build/gallery`. More images give stronger patches: the
atlas at the end is of 9,975 photos. Pictures are reduced in size here.
"""
ATLAS = """
The atlas itself is `overview.png` among a run's tiles (`make demo` prints its path), and `actlas view` opens it:

![Activation atlas of _blocks.10](pictures/atlas-blocks10.jpg)

All units of a layer, `actlas show _blocks.10 --all --run samples --out layer.png`:

![All units of _blocks.10](pictures/units-blocks10.jpg)
"""


def subjects() -> None:
    """Write the photos that single pictures are of."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    for name in ("chelsea", "coffee", "rocket"):
        Image.fromarray(getattr(data, name)()).convert("RGB").save(WORK / f"{name}.png")
    for name in ("china", "flower"):
        Image.fromarray(load_sample_image(f"{name}.jpg")).save(WORK / f"{name}.png")


def prepare(images: str, store: str) -> None:
    """Make the run where the store has none."""
    try:
        open_run(store, RUN)
    except NotFound:
        told = ["--images", images, "--name", RUN, "--store", store, "--layers", *LAYERS, "--grids", "10"]
        told += ["--samples-per-image", "2"]
        done = invoke(["run", *told, "--with", "attribution", "influence", "gallery"])
        if done not in (0, 3):
            sys.exit(done)


def make(shown: Shown) -> None:
    """Run the command as it is written."""
    print(f"actlas {shown.told}", flush=True)
    if (code := invoke(shlex.split(shown.told))) != 0:
        sys.exit(f"{shown.name}: exit code {code}")


def publish(shown: Shown) -> int:
    """Write the picture small into docs/ and return its bytes."""
    picture = Image.open(WORK / f"{shown.name}.png").convert("RGB")
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
    path = PICTURES / f"{shown.name}.jpg"
    picture.save(path, quality=QUALITY, optimize=True, progressive=True)
    return path.stat().st_size


def page() -> str:
    """Write the page: a sentence, the command and the picture of each."""
    return HEAD + "".join(_sections())


def _sections() -> Iterator[str]:
    for title, entries in SECTIONS.items():
        made = [shown for shown in entries if (PICTURES / f"{shown.name}.jpg").exists()]
        yield f"\n## {title}\n" if made else ""
        for shown in made:
            yield f"\n{shown.says}\n\n    actlas {shown.told}\n\n![{shown.name}](pictures/gallery/{shown.name}.jpg)\n"
    yield ATLAS


def main() -> None:
    """Make what is missing, and the page."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--images", default="sample-photos")
    asked.add_argument("--store", default=os.environ.get("ACTLAS_STORE", "actlas-store"))
    asked.add_argument("--only", nargs="*", default=[], metavar="NAME", help="make these, and no others")
    told = asked.parse_args()
    store = str(Path(told.store).absolute())
    for folder in (WORK, PICTURES):
        folder.mkdir(parents=True, exist_ok=True)
    images = (
        told.images if "://" in told.images or told.images == "sample-photos" else str(Path(told.images).absolute())
    )
    os.environ["ACTLAS_STORE"] = store
    os.chdir(WORK)
    subjects()
    prepare(images, store)
    entries = {shown.name: shown for each in SECTIONS.values() for shown in each}
    if unknown := set(told.only) - set(entries):
        asked.error(f"no picture {', '.join(sorted(unknown))}; there are {', '.join(entries)}")
    for name in told.only or [name for name in entries if not (WORK / f"{name}.png").exists()]:
        make(entries[name])
        write(entries)


def write(entries: dict[str, Shown]) -> None:
    """Write the page, of what has been made."""
    made = [shown for name, shown in entries.items() if (WORK / f"{name}.png").exists()]
    total = sum(publish(shown) for shown in made)
    if total > MOST:
        sys.exit(f"the pictures take {total} bytes, more than {MOST}; lower WIDEST or QUALITY")
    PAGE.write_text(page())
    print(f"{PAGE}: {len(made)} of {len(entries)} pictures, {total / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
