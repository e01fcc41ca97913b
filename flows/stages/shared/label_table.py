"""The label table of a run, `--labels FILE`: read it, and look up the images' labels in it."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from storage import texts
from storage.errors import UsageError
from storage.images import labels


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """Labels by key, None where the label is empty, and the file that they are from."""

    file: str
    labels: dict[str, str | None]

    def check_matches(self, keys: list[str]) -> dict[str, int]:
        """Return how many keys of the table there are, and how many are images'. Raises UsageError if none is."""
        matched = len(self.labels.keys() & set(keys))
        if not matched:
            first = f"; its first is {next(iter(self.labels))!r}" if self.labels else ""
            raise UsageError(
                f"--labels {self.file}: none of its {len(self.labels):,} keys is an image's{first}; "
                f"an image's is {keys[0]!r}"
            )
        return {"keys": len(self.labels), "matched": matched}

    def remark(self, keys: list[str]) -> str:
        """Return a line on keys that are no image's, with one of them; "" if all are."""
        known = set(keys)
        others = [key for key in self.labels if key not in known]
        if not others:
            return ""
        return (
            f"--labels {self.file}: of its {len(self.labels):,} keys {len(self.labels) - len(others):,} match an image; "
            f"{others[0]!r} matches none, and an image's key is {keys[0]!r}"
        )


def read(file: str) -> LabelTable:
    """Read a CSV file with the columns key and label. Raises UsageError."""
    try:
        reader = csv.DictReader(io.StringIO(texts.read(file), newline=""))
        rows, columns = list(reader), list(reader.fieldnames or ())
    except OSError as error:
        raise UsageError(f"--labels {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"--labels {file} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except csv.Error as error:
        raise UsageError(f"--labels {file} is not a CSV file: {error}") from None
    if not {"key", "label"} <= set(columns):
        raise UsageError(f"--labels {file}: needs the columns key and label, has {', '.join(columns) or 'none'}")
    for row in rows:
        if row["key"] is None or row["label"] is None:
            raise UsageError(
                f"--labels {file}: the row of {row['key']!r} has no label; leave the row out, or its label empty"
            )
    return LabelTable(file=file, labels=_by_key(file, rows))


def _by_key(file: str, rows: list[dict[str, str]]) -> dict[str, str | None]:
    by_key: dict[str, str | None] = {}
    for row, label in zip(rows, labels.without_fractions([row["label"] for row in rows]), strict=True):
        if by_key.setdefault(row["key"], label or None) != (label or None):
            raise UsageError(
                f"--labels {file}: {row['key']!r} has two labels, {by_key[row['key']]!r} and {label!r}; leave one row out"
            )
    return by_key
