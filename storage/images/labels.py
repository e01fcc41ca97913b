"""Turn the value that a source gives as a label into text, or into the reason for leaving it out."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Sequence
from decimal import Decimal

_WHOLE = re.compile(r"[+-]?\d+\.0*")


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
