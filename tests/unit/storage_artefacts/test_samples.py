"""What collect left is read joined, without gaps, in the memory of the samples once; the moment adds a few blocks to it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from atlas.arrays import Samples
from atlas.inversion import whitening
from flows.planning.tasks import Output
from flows.stages import layout as stage
from storage.artefacts import arrays
from storage.artefacts import samples as sample_arrays
from storage.store.store import Result, Store, stage_key

UNITS = 64


def samples(n: int, seed: int = 0) -> Samples:
    """Samples of which every fifth is a gap, and two more are not finite."""
    rng = np.random.default_rng(seed)
    activations = rng.normal(size=(n, UNITS)).astype(np.float32)
    y = rng.integers(0, 7, n).astype(np.int32)
    y[::5] = -1
    activations[1, 3], activations[n - 2, 0] = np.nan, -np.inf
    return Samples(activations=activations, image_id=np.arange(n, dtype=np.int64) // 2, y=y, x=np.abs(y) + 1)


def collected(store: Store, whole: Samples, sizes: Sequence[int]) -> list[Result]:
    """Write samples as shards of these sizes, as collect does."""
    found, first = [], 0
    for number, size in enumerate(sizes):
        rows = slice(first, first + size)
        part = Samples(**{name: getattr(whole, name)[rows] for name in ("activations", "image_id", "y", "x")})
        with store.draft("collect", stage_key("collect", 1, {}, {"shard": number, "sizes": list(sizes)})) as draft:
            sample_arrays.write_samples(draft.path, part)
            found.append(draft.commit(sample_arrays.counts(part)))
        first += size
    return found


def kept(whole: Samples) -> np.ndarray:
    """The rows that are used, one by one."""
    return np.array([y >= 0 and all(np.isfinite(v)) for y, v in zip(whole.y, whole.activations, strict=True)])


def peak(work: Callable[[], Any]) -> int:
    """Return the most bytes that were held at a time beyond those before, what it returned included."""
    work()  # what is imported and kept on the first call is not of the samples
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    found = work()
    most = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    del found
    return most


@pytest.mark.parametrize("sizes", [(300,), (7, 200, 93), (299, 1)])
def test_samples_are_read_joined_and_without_gaps(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    whole = samples(300)
    shards = collected(Store(tmp_path), whole, sizes)
    found, places, used = sample_arrays.read_samples(shards), sample_arrays.read_positions(shards), kept(whole)
    for name in ("activations", "image_id", "y", "x"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name)[used])
        assert getattr(found, name).dtype == getattr(whole, name).dtype
    for name in ("image_id", "y", "x"):
        np.testing.assert_array_equal(places[name], getattr(whole, name)[used])


def test_samples_are_held_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = samples(20_000)
    shards = collected(Store(tmp_path), whole, [1_000] * 20)
    size = sample_arrays.read_samples(shards).activations.nbytes
    assert peak(lambda: sample_arrays.read_samples(shards)) < 1.5 * size

    def joined(shards: Sequence[Result]) -> np.ndarray:  # the mutant: all shards, then all of them end to end
        return np.concatenate([part.activations for part in list(sample_arrays.read_by_shard(shards))])

    monkeypatch.setattr(sample_arrays, "read_samples", joined)
    assert peak(lambda: sample_arrays.read_samples(shards)) > 1.9 * size


class Page:
    """As much of a result being written as the moment needs."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path, self.output, self.counts = path, Output(stage="moment", key=""), {}


def moment(path: Path, activations: np.ndarray) -> np.ndarray:
    stage._moment(Page(path), activations)  # type: ignore[arg-type]
    return arrays.read_array(path / "moment.zarr", "moment")


def test_the_moment_is_the_sum_over_all_vectors(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(whitening.BLOCK * 2 + 77, 9)).astype(np.float32)
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(moment(tmp_path / "a", rows), wide.T @ wide / len(rows), rtol=1e-12, atol=1e-12)


def test_mutant_blocks_that_leave_out_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = whitening.blocks
    monkeypatch.setattr(whitening, "blocks", lambda rows: real(rows[: len(rows) // whitening.BLOCK * whitening.BLOCK]))
    with pytest.raises(AssertionError):
        test_the_moment_is_the_sum_over_all_vectors(tmp_path)


def test_the_moment_needs_a_few_blocks_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.zeros((whitening.BLOCK * 12, UNITS), np.float32)

    def work() -> np.ndarray:
        return whitening.second_moment(whitening.blocks(rows), UNITS)

    assert peak(work) < 0.5 * rows.nbytes
    monkeypatch.setattr(whitening, "blocks", lambda rows: [rows])  # the mutant: one block of all
    assert peak(work) > 2 * rows.nbytes


def test_the_moment_does_not_depend_on_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(2).normal(size=(1_777, 113)).astype(np.float32)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(moment(tmp_path / str(threads), rows).tobytes())
    assert found[0] == found[1]


def test_mutant_moment_on_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = np.random.default_rng(2).normal(size=(1_777, 113)).astype(np.float32).astype(np.float64)
    by_hand = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            by_hand.append((wide.T @ wide).tobytes())
    if by_hand[0] == by_hand[1]:
        pytest.skip("on this processor the product does not depend on the threads")
    monkeypatch.setattr(stage, "one_thread", nullcontext)
    with pytest.raises(AssertionError):
        test_the_moment_does_not_depend_on_threads(tmp_path, monkeypatch)
