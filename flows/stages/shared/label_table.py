"""The label table of a run, `--labels FILE`: find the images that its keys name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flows.stages.shared import image_names, label_files


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """Labels by key, None where the label is empty, and the file that they are from."""

    file: str
    labels: dict[str, str | None]

    def of_images(self, keys: Sequence[str]) -> LabelTable:
        """Return the table with whole keys of images, where its keys are file names or stems. Raises UsageError."""
        whole = image_names.whole_keys(f"--labels {self.file}", self.labels, keys)
        return LabelTable(file=self.file, labels={whole.get(name, name): label for name, label in self.labels.items()})

    def check_matches(self, keys: Sequence[str]) -> dict[str, int]:
        """Return how many keys of the table there are, and how many are images'. Raises UsageError if none is."""
        self.remark(keys)
        return {"keys": len(self.labels), "matched": len(self.labels.keys() & set(keys))}

    def remark(self, keys: Sequence[str]) -> str:
        """Return a line on keys that are no image's, with one of them; "" if all are. Raises UsageError if none is."""
        matched = self.labels.keys() & set(keys)
        return image_names.check_names(f"--labels {self.file}", list(self.labels), matched, keys[0])


def read(file: str) -> LabelTable:
    """Read a label file, of the kinds that `label_files` knows. Raises UsageError."""
    return LabelTable(file=file, labels=label_files.read(file))
