"""Read the labels of images from a file: a table, Kaggle's solution, Caffe's list, or ImageNet's ground truth."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from storage import file_kinds, texts
from storage.errors import UsageError
from storage.images import labels
from storage.images.contract import is_image_name

KEYS = ("key", "path", "file", "file_name", "filename", "image", "image_id", "imageid")
"""Columns that name an image, in order of preference; upper and lower case are the same."""

LABELS = ("label", "class", "class_name", "wnid", "synset", "predictionstring")
"""Columns with its label. Kaggle's `PredictionString` begins with it, and boxes follow."""

_VALIDATION = "ILSVRC2012_val_{:08d}"
"""How ImageNet names the validation images, which its ground truth labels in their order."""


def read(file: str) -> dict[str, str | None]:
    """Return the label of each key, None where it is empty. Raise `UsageError` for a file of no kind that we read."""
    written = text(f"--labels {file}", file)
    lines = written.split()
    if lines and all(line.isdigit() for line in lines):
        return _ground_truth(file, [int(line) for line in lines])
    header, rows = _table(file, written)
    key, label = (_column(file, header, names) for names in (KEYS, LABELS))
    for row in rows:
        _check_row(file, header, row)
    pairs = [(row[key], row[label]) for row in rows if row]
    if header[label].lower() == "predictionstring":
        pairs = [(image, boxes.split()[0] if boxes.strip() else "") for image, boxes in pairs]
    return _by_key(file, pairs)


def text(option: str, file: str, expected: str = "a CSV file") -> str:
    """Return the text of a file that an option names. Raise `UsageError`."""
    kind = file_kinds.kind_of_file(file)
    if kind not in (None, file_kinds.TEXT):
        raise UsageError(f"{option} {file_kinds.instead(kind, expected, 'save it as such')}")
    try:
        return texts.read(file)
    except OSError as error:
        raise UsageError(f"{option}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{option} is not UTF-8 text: {error.reason} at byte {error.start}") from None


def _table(file: str, written: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows; a list of image names and labels, as Caffe has it, needs no header."""
    first = written.partition("\n")[0]
    separator = next((mark for mark in "\t,; " if mark in first), ",")
    try:
        rows = list(csv.reader(io.StringIO(written, newline=""), delimiter=separator))
    except csv.Error as error:
        raise UsageError(f"--labels {file} is not a CSV file: {error}") from None
    if rows and len(rows[0]) == 2 and is_image_name(rows[0][0]):
        rows.insert(0, ["key", "label"])
    header, *rows = rows or [[]]
    return [name.strip() for name in header], rows


def _check_row(file: str, header: list[str], row: list[str]) -> None:
    """Raise UsageError for a row with too few fields, or too many: a comma in a label would cut it in silence."""
    if row and len(row) < len(header):
        raise UsageError(
            f"--labels {file}: the row of {row[0]!r} has no {header[len(row)]}; leave the row out, or its label empty"
        )
    if len(row) > len(header) and any(row[len(header) :]):
        raise UsageError(
            f"--labels {file}: the row of {row[0]!r} has more fields than the header; put what has a comma in quotes"
        )


def _column(file: str, header: Sequence[str], names: Sequence[str]) -> int:
    lowered = [name.lower() for name in header]
    chosen = next((name for name in names if name in lowered), None)
    if chosen is not None and lowered.count(chosen) > 1:
        raise UsageError(f"--labels {file}: has {lowered.count(chosen)} columns {chosen}; rename all but one")
    if chosen is None:
        columns = ", ".join(header) or "none"
        others = f"other names for {names[0]} are {', '.join(names[1:])}"
        raise UsageError(f"--labels {file}: needs the columns key and label, has {columns}; {others}")
    return lowered.index(chosen)


def _by_key(file: str, pairs: Sequence[tuple[str, str]]) -> dict[str, str | None]:
    by_key: dict[str, str | None] = {}
    values = labels.without_fractions([label.strip() for _, label in pairs])
    for (key, _), label in zip(pairs, values, strict=True):
        if by_key.setdefault(key, label or None) != (label or None):
            raise UsageError(
                f"--labels {file}: {key!r} has two labels, {by_key[key]!r} and {label!r}; leave one row out"
            )
    return by_key


def _ground_truth(file: str, numbers: list[int]) -> dict[str, str | None]:
    """Return the WordNet ids of ImageNet's validation images, which the development kit's `meta.mat` numbers."""
    ids = _development_kit(file)
    wrong = next((number for number in numbers if number not in ids), None)
    if wrong is not None:
        raise UsageError(f"--labels {file}: meta.mat has no class {wrong}; the two are of different development kits")
    return {_VALIDATION.format(i): ids[number] for i, number in enumerate(numbers, 1)}


def _development_kit(file: str) -> dict[int, str]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    place = Path(file).absolute().parent / "meta.mat"
    if not place.is_file():
        raise UsageError(
            f"--labels {file} has numbers alone: ImageNet's ground truth needs the `meta.mat` of its development kit beside it, "
            "and any other table a column key"
        )
    try:
        synsets = loadmat(place, squeeze_me=True)["synsets"]
        pairs = zip(synsets["ILSVRC2012_ID"].tolist(), synsets["WNID"].tolist(), strict=True)
        return {int(number): str(identity) for number, identity in pairs}
    except (OSError, LookupError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise UsageError(f"{place} is not the `meta.mat` of ImageNet's development kit: {error}") from None
