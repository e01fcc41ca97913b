"""Turn what a source gives as a label into text, or the reason for leaving it out; find the names of WordNet ids."""

from __future__ import annotations

import codecs
import importlib.util
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from storage.errors import UsageError

_WHOLE = re.compile(r"[+-]?\d+\.0*")
_WORDNET_ID = re.compile(r"n\d{8}")
_FOLDERS_UP = 4
"""In Kaggle's tree the names stand four folders above those of the classes."""


def text(value: object, names: Sequence[str] | None = None) -> tuple[str | None, str]:
    """Return a label as text, or None with the reason; without a reason there is none to leave out.

    Whole floats are labels: a column of whole numbers with one missing is stored as floats. With class names a number is
    an index, and a negative one is Hugging Face's "no label".
    """
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            return None, "" if math.isnan(value) else "label-not-whole"
        if value != int(value):
            return None, "label-not-whole"
        value = int(value)
    if names is not None and isinstance(value, int):
        return (names[value], "") if 0 <= value < len(names) else (None, "" if value < 0 else "label-out-of-range")
    if isinstance(value, bytes):
        return decoded(value)
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        return None, "label-not-utf-8"  # JSON can encode a lone surrogate
    if isinstance(value, str | int):
        return str(value) if str(value).strip() else None, ""
    return None, "" if value is None else "label-of-other-type"


def decoded(data: bytes) -> tuple[str | None, str]:
    """Return the text of a label in bytes, or None with the reason: editors on Windows write a mark, or UTF-16."""
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        return None, "label-not-utf-8"
    return (None, "label-not-utf-8") if "\0" in text else (text or None, "")


def without_fractions(labels: Sequence[str]) -> list[str]:
    """Return labels as they are, or as whole numbers if all are written as such, some of them as 2.0."""
    given = [label.strip() for label in labels if label.strip()]
    if not any(_WHOLE.fullmatch(label) for label in given) or not all(_is_whole(label) for label in given):
        return list(labels)
    return [str(int(label.partition(".")[0])) if label.strip() else "" for label in labels]  # digits of any number


def _is_whole(label: str) -> bool:
    return bool(_WHOLE.fullmatch(label) or re.fullmatch(r"[+-]?\d+", label))


def is_wordnet_id(text: str) -> bool:
    """Tell whether a text is the WordNet id of a noun, such as n01440764."""
    return _WORDNET_ID.fullmatch(text) is not None


def wordnet_id_in(path: str) -> str | None:
    """Return the first folder, or tar, of an image's path that is named by a WordNet id."""
    parts = (part.removesuffix(".tar") for part in PurePosixPath(path).parts[:-1])
    return next((part for part in parts if is_wordnet_id(part)), None)


def names_of(ids: Iterable[str], root: Path | None) -> dict[str, str]:
    """Return a name for each id among labels that has one: its first, with the id where another label has that name.

    The names are those of a file of ImageNet in `root` or up to four folders above it, else those of timm, where it is
    installed. Raise `UsageError` if such a file cannot be read.
    """
    others = set(ids)
    wanted = {text for text in others if is_wordnet_id(text)}
    known = _beside(root) if wanted and root is not None else {}
    if wanted - known.keys():
        known = {**_of_timm(), **known}
    words = {text: known[text].split(",")[0].strip() for text in wanted if known.get(text, "").strip()}
    uses = Counter([*words.values(), *(others - wanted)])
    return {text: word if uses[word] == 1 else f"{word} ({text})" for text, word in words.items()}


def _beside(root: Path) -> dict[str, str]:
    for folder in [root, *list(root.parents)[:_FOLDERS_UP]]:
        for name, parse in _FILES.items():
            if known := _read(folder / name, parse):
                return known
    return {}


def _read(file: Path, parse: Callable[[str], dict[str, str]]) -> dict[str, str]:
    try:
        return parse(file.read_text("utf-8-sig", "replace"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"cannot read {file}, which names WordNet ids: {error.strerror or error}") from error


def _lines(text: str) -> dict[str, str]:
    """Parse lines such as `n01440764 tench, Tinca tinca`, also with a tab."""
    pairs = (line.split(maxsplit=1) for line in text.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and is_wordnet_id(pair[0])}


def _class_index(text: str) -> dict[str, str]:
    """Parse Keras's index of classes: {"0": ["n01440764", "tench"], …}."""
    try:
        stored = json.loads(text)
    except ValueError:
        return {}
    rows = stored.values() if isinstance(stored, Mapping) else ()
    pairs = (row for row in rows if isinstance(row, list) and len(row) == 2 and all(isinstance(v, str) for v in row))
    return {identity: name.replace("_", " ") for identity, name in pairs if is_wordnet_id(identity)}


_FILES = {
    "LOC_synset_mapping.txt": _lines,
    "synset_words.txt": _lines,
    "words.txt": _lines,
    "imagenet_class_index.json": _class_index,
}


class ImageNetClass(NamedTuple):
    """One of the 1,000 classes: its number in the order of the WordNet ids, and its names."""

    number: int
    synonyms: tuple[str, ...]


def imagenet_classes() -> dict[str, ImageNetClass]:
    """Return ImageNet's 1,000 classes by WordNet id, as timm has them; none where it is not installed."""
    if importlib.util.find_spec("timm") is None:
        return {}
    from timm.data.imagenet_info import ImageNetInfo

    known: Any = ImageNetInfo()
    names = {text: known.label_name_to_description(text).split(",") for text in known.label_names()}
    return {
        text: ImageNetClass(number, tuple(name.strip() for name in names[text]))
        for number, text in enumerate(known.label_names())
    }


def _of_timm() -> dict[str, str]:
    """Return the names of the 21,842 classes of ImageNet that timm has; it is imported for this alone."""
    if importlib.util.find_spec("timm") is None:
        return {}
    from timm.data.imagenet_info import ImageNetInfo

    known: Any = ImageNetInfo("imagenet-22k-ms")
    return {text: known.label_name_to_description(text) for text in known.label_names()}
