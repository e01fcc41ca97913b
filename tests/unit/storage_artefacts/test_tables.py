"""Tables come back as they were written, in the same bytes each time, or are named as damaged."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.artefacts import tables
from storage.errors import Damaged


def some_table(rows: int = 400) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "unit": np.sort(rng.integers(0, 60, rows)) * 2,
            "value": rng.random(rows, dtype=np.float32),
            "path": pa.array([f"folder/{i:05d}.jpg" for i in range(rows)], pa.large_string()),
            "label": pa.array([None if i % 3 else "λ" for i in range(rows)], pa.large_string()),
            "hash": rng.integers(0, 2**63, rows).astype(np.uint64) * 2,
            "removed": rng.random(rows) > 0.5,
        }
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tables.write_table(tmp_path / "table.parquet", some_table(), row_group_size=32, sorting=["unit"])
    return tmp_path / "table.parquet"


def test_a_table_comes_back(path: Path) -> None:
    assert tables.read_table(path).equals(some_table())
    assert tables.read_table(path, ["path", "unit"]).equals(some_table().select(["path", "unit"]))
    assert pq.read_table(path).equals(some_table())  # plain Parquet readers read it


@given(st.integers(-5, 420), st.integers(-5, 420))
@settings(max_examples=40, deadline=None)
def test_any_rows(tmp_path_factory: pytest.TempPathFactory, first: int, stop: int) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.parquet"
    if not path.exists():
        tables.write_table(path, some_table(), row_group_size=32)
    expected = some_table().slice(max(0, first), max(0, min(stop, 400) - max(0, first)))
    assert tables.read_table(path, rows=(first, stop)).equals(expected)


@pytest.mark.parametrize("size", [7, 32, 1000])
@pytest.mark.parametrize("values", [[0], [118], [6, 7, 100, 6], [], [-1], [500], list(range(120)), 8, np.array([4, 2])])
def test_point_look_ups_equal_a_filter(tmp_path: Path, size: int, values: object) -> None:
    tables.write_table(tmp_path / "t", some_table(), row_group_size=size)
    wanted = pa.array(np.atleast_1d(np.array(values, np.int64)))
    expected = some_table().filter(pc.is_in(some_table()["unit"], wanted))
    assert tables.read_sorted(tmp_path / "t", "unit", values).equals(expected)
    assert tables.read_sorted(tmp_path / "t", "unit", values, ["value"]).equals(expected.select(["value"]))


def test_look_ups_by_text_and_in_unsorted_columns(path: Path) -> None:
    assert tables.read_sorted(path, "path", "folder/00007.jpg")["path"].to_pylist() == ["folder/00007.jpg"]
    wanted = some_table()["hash"][17].as_py()
    assert tables.read_sorted(path, "hash", [wanted])["path"].to_pylist() == ["folder/00017.jpg"]


def test_a_look_up_reads_few_row_groups(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[int]] = []
    real = tables._read
    monkeypatch.setattr(tables, "_read", lambda p, f, groups, c: read.append(groups) or real(p, f, groups, c))
    tables.read_sorted(path, "unit", [60])
    assert len(read[0]) <= 2


def test_a_warm_look_up_takes_less_than_5_ms(tmp_path: Path) -> None:
    """320 units with both signs of 64 patches: what a layer of the default model has."""
    unit = np.repeat(np.arange(320), 128)
    table = pa.table({"unit": unit, **{f"c{i}": np.random.default_rng(i).random(len(unit)) for i in range(12)}})
    tables.write_table(tmp_path / "t", table, row_group_size=1024, sorting=["unit"])
    took = []
    for number in range(20):
        started = time.perf_counter()
        assert len(tables.read_sorted(tmp_path / "t", "unit", [number * 16])) == 128
        took.append(time.perf_counter() - started)
    assert min(took[1:]) < 0.005


def test_equal_tables_give_equal_bytes(path: Path, tmp_path: Path) -> None:
    """Whatever their chunks, offset widths, or what they are slices of."""
    table = some_table()
    chunked = pa.concat_tables([table.slice(0, 13), table.slice(13, 200), table.slice(213)])
    small = table.set_column(2, "path", table["path"].cast(pa.string()))
    sliced = pa.concat_tables([table, table]).slice(400)
    for number, other in enumerate((chunked, small, sliced)):
        tables.write_table(tmp_path / f"{number}", other, row_group_size=32, sorting=["unit"])
        assert (tmp_path / f"{number}").read_bytes() == path.read_bytes()


def test_metadata_of_the_schema_is_kept(tmp_path: Path) -> None:
    tables.write_table(tmp_path / "t", some_table().replace_schema_metadata({"x": "y"}))
    assert tables.read_table(tmp_path / "t").schema.metadata == {b"x": b"y"}


def test_text_has_wide_offsets_and_pages_have_indexes(path: Path) -> None:
    assert tables.read_table(path).schema.field("path").type == pa.large_string()
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    assert column.has_column_index
    assert column.has_offset_index
    assert column.compression == "ZSTD"


def undetected(path: Path, read: Callable[[Path], pa.Table], trials: int, seed: int = 1) -> list[int]:
    """Flip single bits at random; return those after which wrong rows are read."""
    rng, missed, expected = random.Random(seed), [], read(path)
    data = path.read_bytes()
    for _ in range(trials):
        place = rng.randrange(len(data) * 8)
        path.write_bytes(data[: place // 8] + bytes([data[place // 8] ^ 1 << place % 8]) + data[place // 8 + 1 :])
        try:
            if not read(path).equals(expected):
                missed.append(place)
        except Damaged as error:
            missed += [] if path.name in str(error) else [place]
    path.write_bytes(data)
    return missed


def test_no_flipped_bit_gives_wrong_rows(path: Path) -> None:
    assert undetected(path, tables.read_table, 400) == []


def test_no_flipped_bit_hides_rows_from_a_look_up(path: Path) -> None:
    assert undetected(path, lambda p: tables.read_sorted(p, "unit", [60, 62]), 400) == []


def test_cut_lost_and_foreign_files_are_named(path: Path) -> None:
    data = path.read_bytes()
    for length in (0, 7, 50, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(Damaged, match=r"table\.parquet"):
            tables.read_table(path)
    path.unlink()
    with pytest.raises(Damaged, match=r"table\.parquet is missing"):
        tables.read_table(path)
    pq.write_table(some_table(), path)
    with pytest.raises(Damaged, match="footer"):
        tables.read_table(path)


def test_a_replaced_file_is_read_anew(path: Path) -> None:
    assert len(tables.read_sorted(path, "unit", [60])) > 0
    path.unlink()
    tables.write_table(path, some_table().slice(0, 3))
    assert len(tables.read_table(path)) == 3
    assert len(tables.read_sorted(path, "unit", [60])) == 0


def test_unknown_columns_are_named_with_what_there_is(path: Path) -> None:
    for ask in (lambda: tables.read_table(path, ["units"]), lambda: tables.read_sorted(path, "units", [1])):
        with pytest.raises(LookupError, match=r"'units'.*unit, value"):
            ask()


def test_an_empty_table_and_odd_columns(tmp_path: Path) -> None:
    odd = pa.table(
        {"b": pa.array([b"x", None]), "s": pa.array(["", "y"]), "l": pa.array([[1], []], pa.list_(pa.int32()))}
    )
    for number, table in enumerate((odd, odd.slice(0, 0))):
        tables.write_table(tmp_path / str(number), table)
        assert tables.read_table(tmp_path / str(number)).to_pylist() == table.to_pylist()
    assert tables.read_table(tmp_path / "0").schema.field("b").type == pa.large_binary()


def test_mutant_reader_that_checks_no_pages(path: Path) -> None:
    def careless(file: Path) -> pa.Table:
        try:
            return pq.read_table(file)
        except Exception as error:
            raise Damaged(f"{file}: {error}") from error

    assert len(undetected(path, careless, 200)) > 20


def lie_in_the_footer(path: Path) -> int:
    """Change the largest value that the statistics give for a row group; return a unit that is hidden then."""
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    group = pq.ParquetFile(path).metadata.row_group(3).column(0).statistics
    hidden: int = group.max
    changed = data[start:].replace(hidden.to_bytes(8, "little"), group.min.to_bytes(8, "little"))
    path.write_bytes(data[:start] + changed)
    return hidden


def test_a_lie_in_the_footer_is_named(path: Path) -> None:
    hidden = lie_in_the_footer(path)
    with pytest.raises(Damaged, match="footer"):
        tables.read_sorted(path, "unit", [hidden])


def test_mutant_look_up_that_trusts_the_footer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page is intact, and rows are hidden."""
    hidden = lie_in_the_footer(path)
    monkeypatch.setattr(tables, "_checked_footer", lambda file, identity: pq.read_metadata(file))
    expected = some_table().filter(pc.field("unit") == hidden)
    assert len(tables.read_sorted(path, "unit", [hidden])) < len(expected)
