"""Contents of two runs: equal digests alone are equal, and of the run's own images alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flows.comparing.datasets import contents, pair


def run(own: list[int], digests: list[str | None], read: list[list[int]]) -> Any:
    """Return a run of six images, of which it has some, with one part for each list of images that were read."""
    parts = [SimpleNamespace(file=lambda name, ids=ids: (ids, digests)) for ids in read]
    return SimpleNamespace(
        images=lambda: pa.table({"image_id": pa.array(own, pa.int64())}),
        has=lambda stage: bool(parts),
        results=lambda stage: parts,
        version=SimpleNamespace(about={"ids": 6}),
    )


@pytest.fixture(autouse=True)
def _tables(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(file: tuple[list[int], list[str | None]], columns: list[str]) -> pa.Table:
        ids, digests = file
        return pa.table({"image_id": ids, "sha256": pa.array([digests[i] for i in ids], pa.string())})

    monkeypatch.setattr(contents.tables, "read_table", read)


def equal(a: Any, b: Any) -> list[tuple[int, int]]:
    first, second = contents.numbers((a, b))
    return [(i, j) for i, x in enumerate(first) for j, y in enumerate(second) if x == y != contents.UNKNOWN]


def test_equal_digests_are_equal_contents() -> None:
    a = run([0, 1, 2], ["x", "y", "z", "x", "x", "x"], [[0, 1], [2]])
    b = run([3, 4, 5], ["x", "y", "z", "z", "q", "x"], [[3, 4, 5]])
    assert equal(a, b) == [(0, 5), (2, 3)]
    assert contents.shared(contents.numbers((a, b))) == 2


def test_absent_digests_equal_nothing() -> None:
    a = run([0, 1, 2], ["", None, "z"], [[0, 1, 2]])
    b = run([0, 1, 2], ["", None, "z"], [[0, 1]])
    assert equal(a, b) == []
    assert contents.shared(contents.numbers((a, b))) == 0
    assert equal(a, run([0, 1], [], [])) == []


def test_images_of_others_equal_nothing() -> None:
    """Parts may hold images that the run has no more, or has not chosen."""
    a = run([0, 1], list("abcdef"), [[0, 1, 2, 3]])
    b = run([1, 2, 3], list("abcdef"), [[0, 1, 2, 3]])
    assert equal(a, b) == [(1, 1)]


def test_keys_without_a_known_content_do_not_tell_of_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = SimpleNamespace(key_hash=np.arange(6))
    monkeypatch.setattr(pair.pairs, "images", lambda run: keys)
    a = run([0, 1, 2], list("abcdef"), [[0, 1, 2]])
    assert not pair.share_images(a, run([3, 4, 5], list("abcdef"), [[3, 4, 5]]))
    assert not pair.share_images(a, run([0, 1, 2], ["", "", ""], [[0, 1, 2]]))
    assert not pair.share_images(a, run([0, 1, 2], list("axx"), [[0, 1, 2]]))
    assert pair.share_images(a, run([0, 1, 2], list("abx"), [[0, 1, 2]]))
    assert pair.share_images(a, run([0, 1, 2], [], []))  # nothing was read: keys decide
