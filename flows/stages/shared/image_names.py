"""Find the images that the names in a file mean: whole keys, file names, or stems."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import PurePosixPath

from storage.errors import UsageError

WAYS: tuple[Callable[[str], str], ...] = (
    lambda key: key,
    lambda key: PurePosixPath(key).name,
    lambda key: PurePosixPath(key).stem,
)
"""What a name may be of an image's key; the first way in which any name is an image's holds for all of them."""


def whole_keys(option: str, names: Collection[str], keys: Iterable[str]) -> dict[str, str]:
    """Return the key that each name means; names that mean no image are left out.

    Raises UsageError, naming the `option`, if a name is that of two images.
    """
    listed = list(keys)
    for way in WAYS:
        meant: dict[str, str] = {}
        for key in listed:
            name = way(key)
            if name in names and meant.setdefault(name, key) != key:
                raise UsageError(f"{option}: {name!r} names {meant[name]!r} and {key!r}; give whole keys")
        if meant:
            return meant
    return {}


def check_names(option: str, names: Sequence[str], meant: Collection[str], key: str) -> str:
    """Return a remark on names that mean no image, "" if all do. Raises UsageError if none does; `key` is an image's."""
    if not meant:
        first = f"; its first is {names[0]!r}" if names else ""
        raise UsageError(
            f"{option}: none of its {len(names):,} keys is the key of an image{first}; an image's key is {key!r}"
        )
    missing = [name for name in names if name not in meant]
    if not missing:
        return ""
    return (
        f"{option}: of its {len(names):,} keys {len(names) - len(missing):,} match an image; {missing[0]!r} matches none, and "
        f"an image's key is {key!r}"
    )
