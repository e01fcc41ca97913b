"""Arrays come back as they were written, in the same bytes each time, or are named as damaged."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from storage.artefacts import arrays
from storage.errors import Damaged
from storage.store.records import canonical, sha256

Array = np.ndarray[Any, Any]


def some_arrays() -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {
        "activations": rng.random((70, 6), dtype=np.float32),
        "dead": np.zeros((70, 4), np.float32),
        "ids": np.arange(70) + 2**40,
        "long": rng.random(2100),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), np.int32),
        "hollow": np.zeros((3, 0, 2), np.uint8),
        "number": np.float64(2.5),
        "odd": np.array([np.nan, np.inf, -0.0], np.float16),
    }


@pytest.fixture
def group(tmp_path: Path) -> Path:
    arrays.write_group(tmp_path / "group.zarr", some_arrays(), chunk_rows=16)
    return tmp_path / "group.zarr"


def same(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def snapshot(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_arrays_come_back_bit_by_bit(group: Path) -> None:
    found, expected = arrays.read_group(group), some_arrays()
    assert set(found) == set(expected)
    assert all(same(found[name], np.asarray(expected[name])) for name in expected)
    import zarr

    np.testing.assert_array_equal(zarr.open_group(group, mode="r")["ids"][:], expected["ids"])  # plain Zarr reads it


@given(
    hnp.arrays(st.sampled_from([np.float32, np.int64, np.uint8]), hnp.array_shapes(max_dims=3, max_side=9)), st.data()
)
@settings(max_examples=25, deadline=None)
def test_any_array_any_rows(tmp_path_factory: pytest.TempPathFactory, array: Array, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("arrays")
    rows = np.array(data.draw(st.lists(st.integers(0, len(array) - 1), max_size=6)), np.int64)
    arrays.write_group(folder / "g", {"x": array}, chunk_rows=data.draw(st.integers(1, 4)))
    assert same(arrays.read_array(folder / "g", "x"), array)
    assert same(arrays.read_array(folder / "g", "x", rows), array[rows])
    assert same(arrays.read_array(folder / "g", "x", slice(1, 3)), array[1:3])
    shutil.rmtree(folder)


def test_equal_arrays_give_equal_bytes(group: Path, tmp_path: Path) -> None:
    """Whatever their memory order, byte order, the order of their names, or whether they are views."""
    twisted = {name: np.array(array, order="F") for name, array in reversed(some_arrays().items())}
    twisted["ids"] = np.repeat(twisted["ids"].astype(">i8"), 2)[::2]
    arrays.write_group(tmp_path / "again.zarr", twisted, chunk_rows=16)
    assert snapshot(tmp_path / "again.zarr") == snapshot(group)


def test_many_chunks_make_few_files(tmp_path: Path) -> None:
    arrays.write_group(tmp_path / "g", {"x": np.arange(1000)}, chunk_rows=4)
    assert len([name for name in snapshot(tmp_path / "g") if "/c/" in name]) == 4


def undetected(group: Path, read: Callable[[Path], dict[str, Array]], trials: int) -> list[str]:
    """Flip single bits at random; return the flips after which wrong values are read."""
    rng, missed, expected = random.Random(1), [], arrays.read_group(group)
    files = [path for path in group.rglob("*") if path.is_file()]
    for _ in range(trials):
        path = rng.choice(files)
        data = bytearray(path.read_bytes())
        place = rng.randrange(len(data) * 8)
        path.write_bytes(bytes([*data[: place // 8], data[place // 8] ^ 1 << place % 8, *data[place // 8 + 1 :]]))
        try:
            found = read(group)
        except Damaged as error:
            missed += [] if group.name in str(error) else [f"not named: {error}"]
        else:
            if set(found) != set(expected) or not all(same(found[name], expected[name]) for name in expected):
                missed.append(f"{path.relative_to(group)} bit {place}")
        path.write_bytes(bytes(data))
    return missed


@pytest.mark.sweep
def test_no_flipped_bit_gives_wrong_values(group: Path) -> None:
    assert undetected(group, arrays.read_group, 60) == []


@pytest.mark.slow
def test_no_flipped_bit_of_a_thousand_gives_wrong_values(group: Path) -> None:
    assert undetected(group, arrays.read_group, 1000) == []


@pytest.mark.parametrize("name", ["dead/c/0/0", "ids/c/0", "number/c", "flags/zarr.json", "zarr.json"])
def test_a_lost_file_is_named(group: Path, name: str) -> None:
    (group / name).unlink()
    with pytest.raises(Damaged, match=name):
        arrays.read_group(group)


@pytest.mark.parametrize("name", ["dead/c/0/0", "ids/c/0", "long/c/1", "number/c", "flags/zarr.json", "zarr.json"])
def test_a_damaged_file_is_named(group: Path, name: str) -> None:
    """Of an array of several files, the one."""
    data = bytearray((group / name).read_bytes())
    data[len(data) // 2] ^= 1
    (group / name).write_bytes(data)
    with pytest.raises(Damaged, match=rf"{group / name} is damaged"):
        arrays.read_group(group)


def test_a_lost_array_is_named(group: Path) -> None:
    shutil.rmtree(group / "dead")
    with pytest.raises(Damaged, match="dead"):
        arrays.read_group(group)


def test_what_cannot_be_asked_for(group: Path) -> None:
    with pytest.raises(LookupError, match="activations"):
        arrays.read_array(group, "activation")
    for rows in (np.array([70]), np.array([-1]), np.array([0.5]), np.array([[1]])):
        with pytest.raises(IndexError, match="activations"):
            arrays.read_array(group, "activations", rows)


@pytest.mark.parametrize(
    "group_of", [{"x": np.array(["a"])}, {"x": np.array([object()])}, {"a/b": np.zeros(1)}, {"..": np.zeros(1)}]
)
def test_what_cannot_be_written(tmp_path: Path, group_of: dict[str, Array]) -> None:
    with pytest.raises((TypeError, ValueError), match=r"x|is invalid"):
        arrays.write_group(tmp_path / "g", group_of)
    assert not (tmp_path / "g").exists()


def test_foreign_codecs_are_refused(group: Path) -> None:
    """Even with hashes to match: a codec may run code."""
    metadata = json.loads((group / "flags" / "zarr.json").read_text())
    metadata["codecs"].append({"name": "numcodecs.pickle", "configuration": {}})
    (group / "flags" / "zarr.json").write_text(json.dumps(metadata))
    root = json.loads((group / "zarr.json").read_text())
    root["attributes"]["arrays"]["flags"] = sha256((group / "flags" / "zarr.json").read_bytes())
    root["attributes"]["sha256"] = sha256(canonical(root["attributes"]["arrays"]))
    (group / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(Damaged, match=r"numcodecs\.pickle"):
        arrays.read_group(group)


def _plain_zarr(path: Path) -> dict[str, Array]:
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
        return {name: np.asarray(group[name][...]) for name in group.array_keys()}
    except Exception as error:
        raise Damaged(f"{path}: {error}") from error


def test_mutant_reader_that_counts_no_chunks(group: Path) -> None:
    """Zarr alone reads a lost chunk as zeros."""
    (group / "ids" / "c" / "0").unlink()
    assert not _plain_zarr(group)["ids"].any()


@pytest.mark.filterwarnings("ignore:Object at")  # a flipped name of a file that Zarr then doesn't know
def test_mutant_writer_without_checksums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same arrays, written as Zarr does by default: flipped bits change values in silence."""
    import zarr

    root = zarr.create_group(tmp_path / "plain.zarr")
    for name in ("activations", "ids"):
        root.create_array(name, data=some_arrays()[name], chunks=(16, *some_arrays()[name].shape[1:]))
    monkeypatch.setattr(arrays, "read_group", _plain_zarr)
    assert len(undetected(tmp_path / "plain.zarr", _plain_zarr, 60)) > 3
