"""Cut English text into the pieces of BERT's vocabulary: lower case, no accents, longest pieces first.

Devlin et al. 2019 (arXiv 1810.04805), as the uncased models do it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

START, END, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
LONGEST_WORD = 100


def encode(text: str, vocabulary: Mapping[str, int], most: int) -> list[int]:
    """Return the numbers of a text's pieces, at most `most`, between those of start and end."""
    pieces = [piece for word in _words(text) for piece in _pieces(word, vocabulary)]
    return [vocabulary[piece] for piece in (START, *pieces[: most - 2], END)]


def _words(text: str) -> Iterator[str]:
    """Yield words and, each alone, signs of punctuation and Chinese characters."""
    plain = unicodedata.normalize("NFD", text.lower())
    word = ""
    for char in plain:
        category = unicodedata.category(char)
        if category == "Mn" or (category[0] == "C" and char not in "\t\n\r") or char == "\ufffd":
            continue
        apart = _is_punctuation(char, category) or _is_chinese(char)
        if (apart or char.isspace()) and word:
            yield word
            word = ""
        if apart:
            yield char
        elif not char.isspace():
            word += char
    if word:
        yield word


def _is_punctuation(char: str, category: str) -> bool:
    return category[0] == "P" or (char.isascii() and char.isprintable() and not char.isalnum() and char != " ")


def _is_chinese(char: str) -> bool:
    code = ord(char)
    return (
        0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x2FA1F
    )


def _pieces(word: str, vocabulary: Mapping[str, int]) -> list[str]:
    """Return a word's pieces, the later ones with ## before them; the sign for unknown where it has none."""
    pieces: list[str] = []
    start = 0
    while start < len(word) and len(word) <= LONGEST_WORD:
        before = "##" if start else ""
        ends = range(len(word), start, -1)
        stop = next((end for end in ends if before + word[start:end] in vocabulary), None)
        if stop is None:
            return [UNKNOWN]
        pieces.append(before + word[start:stop])
        start = stop
    return pieces or [UNKNOWN]
