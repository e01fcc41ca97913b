"""Text files that people write, in the encodings that their editors use."""

from __future__ import annotations

import codecs
import os
from pathlib import Path


def read(file: str | os.PathLike[str]) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with the mark that Windows puts before it; without such a mark.

    Raises OSError and UnicodeError.
    """
    data = Path(file).read_bytes()
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if utf16 else "utf-8-sig")
