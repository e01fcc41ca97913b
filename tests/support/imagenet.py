"""Small copies of ImageNet in each form that people have it in, with the names, layout and tables of the originals."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from support.datasets import write_folder, write_parquet, write_tar

CLASSES = {
    "n01440764": "tench, Tinca tinca",
    "n02012849": "crane",
    "n02085620": "Chihuahua",
    "n03126707": "crane",
}
"""The classes of the copies with their names: one has several, and two share one."""

SHOWN = {
    "n01440764": "tench",
    "n02012849": "crane (n02012849)",
    "n02085620": "Chihuahua",
    "n03126707": "crane (n03126707)",
}
"""What they are shown as."""

MAPPING = "".join(f"{identity} {name}\n" for identity, name in CLASSES.items())


def jpeg(number: int) -> bytes:
    """A photo of its own for each number."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((48, 40)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def training(each: int = 3) -> dict[str, bytes]:
    """The training images by their path: n01440764/n01440764_18.JPEG."""
    places = [(identity, i) for identity in CLASSES for i in range(each)]
    return {f"{identity}/{identity}_{7 * i + 18}.JPEG": jpeg(n) for n, (identity, i) in enumerate(places)}


def validation(each: int = 2) -> dict[str, str]:
    """The validation images' names with their classes; the numbers go up, and the classes are mixed."""
    identities = list(CLASSES) * each
    return {f"ILSVRC2012_val_{i:08d}": identity for i, identity in enumerate(identities, 1)}


def validation_files() -> dict[str, bytes]:
    return {f"{name}.JPEG": jpeg(1000 + i) for i, name in enumerate(validation())}


def folders(root: Path) -> Path:
    """`train/`, as torchvision's ImageFolder reads it."""
    return write_folder(root / "train", training())


def training_tar(root: Path) -> Path:
    """The archive of archives as it is downloaded."""
    inner: dict[str, dict[str, bytes]] = {}
    for path, data in training().items():
        identity, name = path.split("/")
        inner.setdefault(f"{identity}.tar", {})[name] = data
    members = [(name, write_tar(root / name, content.items()).read_bytes()) for name, content in inner.items()]
    for name in inner:
        (root / name).unlink()
    return write_tar(root / "ILSVRC2012_img_train.tar", members)


def validation_tar(root: Path) -> Path:
    return write_tar(root / "ILSVRC2012_img_val.tar", validation_files().items())


def validation_folder(root: Path) -> Path:
    return write_folder(root / "val", validation_files())


def kaggle(root: Path) -> Path:
    """Kaggle's tree, with its names and its solution four folders above the classes."""
    tree = {f"ILSVRC/Data/CLS-LOC/train/{path}": data for path, data in training().items()}
    tree |= {f"ILSVRC/Data/CLS-LOC/val/{name}": data for name, data in validation_files().items()}
    tree |= {f"ILSVRC/Annotations/CLS-LOC/val/{name}.xml": b"<annotation/>" for name in validation()}
    tree |= {"LOC_synset_mapping.txt": MAPPING.encode(), "LOC_val_solution.csv": solution().encode()}
    return write_folder(root, tree)


def hugging_face(root: Path) -> Path:
    """Parquet with the names of a ClassLabel."""
    named = {
        path.replace(path.split("/")[0], CLASSES[path.split("/")[0]], 1): data for path, data in training().items()
    }
    return write_parquet(root / "train-00000-of-00294.parquet", named)


def solution() -> str:
    """`LOC_val_solution.csv`: the class, then its boxes, and sometimes the same class again."""
    rows = (
        f"{name},{identity} 85 1 499 272 {identity} 3 4 50 60 \n" for name, identity in reversed(validation().items())
    )
    return "ImageId,PredictionString\n" + "".join(rows)


def development_kit(root: Path) -> Path:
    """`data/` of the development kit: the numbers of the classes, which are not in the order of their ids."""
    root.mkdir(parents=True, exist_ok=True)
    numbers = {identity: 4 - i for i, identity in enumerate(CLASSES)}
    kind = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)]
    synsets = np.array([(n, identity, CLASSES[identity], 0) for identity, n in numbers.items()], kind)
    savemat(root / "meta.mat", {"synsets": synsets.reshape(-1, 1)})
    file = root / "ILSVRC2012_validation_ground_truth.txt"
    file.write_text("".join(f"{numbers[identity]}\n" for identity in validation().values()))
    return file


def class_index() -> str:
    return json.dumps({str(i): [identity, name.split(",")[0]] for i, (identity, name) in enumerate(CLASSES.items())})
