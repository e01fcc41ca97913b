"""Choose the earlier layout to align a layer's new layout with, so that an atlas stays put when model or images change.

Samples that a version of the run was already laid out from keep that version's layout and its frame, so that the same
command computes nothing. Only samples that no version has are laid out in the frame of the newest layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from flows.config import RunConfig
from flows.planning.context import Frame
from storage.errors import Damaged, NotFound, UsageError
from storage.store.store import Store, Version

VERSIONS = 32
"""Newest versions to search."""


Question = tuple[str, Mapping[str, Any]]
"""Of which run samples are selected, and by what: without one, a version has all that its images gave."""


class Frames:
    """The layouts of those of a run's earlier versions whose samples answer the same question as this one's, if any."""

    def __init__(self, store: Store, config: RunConfig, question: Question | None = None) -> None:
        self.store, self.config, self._question = store, config, question
        self._read: list[Version] = []
        self._unread = iter(store.versions(config.run_name)[: -VERSIONS - 1 : -1])

    def choose(self, layer: str, collect: Sequence[str], key_of: Callable[[Frame | None], str]) -> Frame | None:
        """Return the frame to lay these samples out in, None to lay them out afresh.

        `key_of` gives the layout's key in a frame. A frame that is lost counts only while the layout in it is stored.
        """
        newest = None
        for version in self._versions():
            key = _key(version, layer)
            if key is None or version.about["config"]["layout"] != self.config.layout:
                continue
            if _collected(version, layer) == tuple(collect):
                frame = self._frame_of(version, layer)
                if self.store.find("layout", key_of(frame)) is not None:
                    return frame
                frame = frame or _frame(version, layer, key)  # other libraries: afresh, the same samples would move
                return frame if self._whole(frame) else None
            newest = newest or _frame(version, layer, key)
        return newest if newest is not None and self._whole(newest) else None

    def _frame_of(self, version: Version, layer: str) -> Frame | None:
        """Return the frame that this version's layout was laid out in."""
        record = version.about.get("frames", {}).get(layer)
        if record is None:
            return None
        earlier = self._version(record["version"])
        if earlier is None or _key(earlier, layer) != record["layout"]:
            return Frame(**record)
        return _frame(earlier, layer, record["layout"])

    def _whole(self, frame: Frame) -> bool:
        """Tell whether the store has all that laying out in this frame reads."""
        results = [
            ("layout", frame.layout),
            ("listing", frame.listing),
            *((frame.samples, key) for key in frame.collect),
        ]
        return bool(frame.collect) and all(self.store.find(stage, key) is not None for stage, key in results)

    def _versions(self) -> Iterator[Version]:
        """Yield the versions from the newest on, each read once; skip those that cannot be read."""
        yield from self._read
        for number in self._unread:
            version = self._version(number)
            if version is not None and _question(version) == self._question:
                self._read.append(version)
                yield version

    def _version(self, number: int) -> Version | None:
        try:
            return self.store.version(self.config.run_name, number)
        except (Damaged, NotFound):
            return None


def check_kind(store: Store, config: RunConfig) -> None:
    """Raise UsageError where the run of this name is a selection and this one is not, or the other way round."""
    with suppress(Damaged, NotFound):
        before = store.version(config.run_name)
        question, title = _question(before), f"--name {config.run_name}: {config.run_name}@{before.number}"
        if question is None and config.of is not None:
            raise UsageError(
                f"{title} is a run over {before.about['images']}, and --of {config.of} makes a selection; give it another name"
            )
        if question is not None and config.of is None:
            raise UsageError(
                f"{title} is a selection of {question[0]}, and this is a run over --images {config.images}; give it another name"
            )


def _question(version: Version) -> Question | None:
    record = version.about.get("selection")
    return None if record is None else (record["of"], record["by"])


def _key(version: Version, layer: str) -> str | None:
    """Return the key of a version's layout of a layer."""
    return next((entry.key for entry in version.stages if (entry.stage, entry.layer) == ("layout", layer)), None)


def _collected(version: Version, layer: str) -> tuple[str, ...]:
    """Return the keys of a version's samples of a layer, in the order of the shards."""
    return tuple(entry.key for entry in version.stages if (entry.stage, entry.layer) == (_stage(version), layer))


def _stage(version: Version) -> str:
    """Return the stage that a version's samples are results of."""
    return "selection" if "selection" in version.about else "collect"


def _frame(version: Version, layer: str, key: str) -> Frame:
    listing = next(entry.key for entry in version.stages if entry.stage == "listing")
    collected = _collected(version, layer)
    return Frame(layout=key, version=version.number, collect=collected, listing=listing, samples=_stage(version))
