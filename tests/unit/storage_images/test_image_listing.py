"""Ids are given once: laws of the listing and of its shards, against a model kept in plain dictionaries."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import errors
from storage.artefacts import tables
from storage.images.contract import Scan, State
from storage.images.listing import FILE, SCHEMA, about, listing
from storage.images.shards import living, rows_key, rows_key_1, shards

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=6)


@dataclass
class Fake:
    """A source whose content is given: key → size, or container → keys in stored order."""

    sizes: dict[str, int]
    in_containers: dict[str, list[str]] | None = None
    kind: str = "folder"
    uri: str = "fake"
    containers: tuple[str, ...] = ()

    def scan(self, known: Mapping[str, State]) -> Scan:
        found = Scan(refused=Counter({"not-an-image-name": 1}))
        if self.in_containers is None:
            for key, size in self.sizes.items():
                found.add(key, container=-1, offset=0, length=size, mtime_ns=size * 3, label=key[:1])
            return found
        found.containers = sorted(self.in_containers, key=digest)
        for number, name in enumerate(found.containers):
            for offset, key in enumerate(self.in_containers[name]):
                found.add(f"{name}/{key}", container=number, offset=offset, length=1, mtime_ns=0, label=None)
        return found


def digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def laws_broken(history: list[dict[str, int]], make: Callable[[Fake, pa.Table | None], pa.Table]) -> list[str]:
    """Replay a folder's states and name every law that its listings break."""
    broken, table = [], None
    expected: list[str] = []
    for state in history:
        table = make(Fake(state), table)
        expected += sorted(state.keys() - set(expected), key=lambda key: (digest(key), key))
        rows = table.to_pylist()
        if [row["key"] for row in rows] != expected or [row["image_id"] for row in rows] != list(range(len(rows))):
            broken.append("ids")
        if [row["removed"] for row in rows] != [key not in state for key in expected]:
            broken.append("removed")
        if any(row["bytes"] != state[row["key"]] for row in rows if not row["removed"]):
            broken.append("sizes")
        if any(row["key_hash"] != int.from_bytes(digest(row["key"]), "big") for row in rows):
            broken.append("hashes")
    return broken


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(KEYS, st.integers(0, 9), min_size=1, max_size=8), min_size=1, max_size=4))
def test_a_listing_appends_keeps_ids_and_marks_what_is_gone(history: list[dict[str, int]]) -> None:
    assert laws_broken(history, listing) == []


def test_mutant_renumbering_breaks_the_laws() -> None:
    history = [{"a": 1, "b": 2, "c": 3}, {"b": 2, "d": 1}]
    assert laws_broken(history, lambda source, previous: listing(source)) != []


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(KEYS, st.integers(0, 9), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_equal_content_gives_an_equal_table_whatever_the_order(content: dict[str, int], random: object) -> None:
    shuffled = list(content.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert listing(Fake(dict(shuffled))).equals(listing(Fake(content)), check_metadata=True)


def test_equal_content_is_written_byte_for_byte_and_read_back_whole(tmp_path: Path) -> None:
    content = {f"k{i}": i for i in range(100)}
    first = listing(Fake(content))
    again = listing(Fake(dict(reversed(content.items()))), first)
    for name, table in (("a", first), ("b", again)):
        (tmp_path / name).mkdir()
        tables.write_table(tmp_path / name / FILE, table)
    assert (tmp_path / "a" / FILE).read_bytes() == (tmp_path / "b" / FILE).read_bytes()
    assert first.schema.equals(SCHEMA)
    rows = tables.read_table(tmp_path / "a" / FILE, rows=(30, 60))
    assert rows["image_id"].to_pylist() == list(range(30, 60))
    assert about(rows) == about(first)


def test_labels_may_be_kept_elsewhere() -> None:
    before = listing(Fake({"ant": 1, "bee": 1})).drop_columns(["label"])
    after = listing(Fake({"bee": 1, "cow": 1}), before).to_pylist()
    assert {row["key"]: row["label"] for row in after} == {"ant": None, "bee": "b", "cow": "c"}


def test_containers_go_one_by_one_and_keep_their_numbers() -> None:
    content = {name: [f"{name}{i}" for i in range(3)] for name in ("x", "y")}
    first = listing(Fake({}, content))
    order = sorted(content, key=digest)
    assert first["key"].to_pylist() == [f"{name}/{name}{i}" for name in order for i in range(3)]
    grown = listing(Fake({}, content | {"w": ["new"], "x": ["x0", "x1", "x2", "x3"]}), first)
    assert grown.slice(0, 6).drop_columns(["label"]).equals(first.drop_columns(["label"]))
    names = about(grown).containers
    assert names == (*order, "w")
    by_key = {row["key"]: names[row["container"]] for row in grown.to_pylist()}
    assert by_key["w/new"] == "w"
    assert by_key["x/x3"] == "x"


def test_a_changed_image_keeps_its_id_and_changes_its_shard() -> None:
    content = {f"k{i}": 1 for i in range(40)}
    before = listing(Fake(content))
    after = listing(Fake(content | {before["key"][17].as_py(): 2}), before)
    keys = [[shard.rows_key for shard in shards(table, None, 10)] for table in (before, after)]
    assert [a == b for a, b in zip(*keys, strict=True)] == [True, False, True, True]


def test_nothing_to_list_and_another_kind_are_said() -> None:
    with pytest.raises(errors.UsageError, match="no images in fake; not listed: 1 file not named as an image"):
        listing(Fake({}))
    with pytest.raises(errors.UsageError, match="folder"):
        listing(Fake({}, {"t": ["a"]}, kind="tars"), listing(Fake({"a": 1})))
    with pytest.raises(errors.UsageError, match="not an image listing"):
        about(pa.table({"image_id": [1]}))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 40), st.integers(1, 12), st.integers(1, 70), st.integers(0, 40))
def test_shards_nest_in_the_limit_and_stay_when_images_come(
    count: int, more: int, size: int, limit: int, extra: int
) -> None:
    small = listing(Fake({f"k{i}": 1 for i in range(count)}))
    grown = listing(Fake({f"k{i}": 1 for i in range(count + more)}), small)
    for fewer, all_of_them, fewer_limit, more_limit in (
        (small, grown, None, None),
        (small, small, limit, limit + extra),
    ):
        a, b = shards(fewer, fewer_limit, size), shards(all_of_them, more_limit, size)
        assert [i for shard in a for i in range(shard.first, shard.stop)] == list(
            range(min(count, fewer_limit or count))
        )
        assert all(shard.stop - shard.first <= size for shard in b)
        full = [shard for shard in a if shard.stop - shard.first == size]
        assert b[: len(full)] == full


def packed(sizes: list[int]) -> pa.Table:
    """List containers of so many images."""
    return listing(Fake({}, {f"c{i}": [str(j) for j in range(n)] for i, n in enumerate(sizes)}))


def cuts_broken(table: pa.Table, size: int, cut: Callable[[pa.Table, int], list[range]]) -> set[str]:
    """Cut the containers of a listing into shards and name every law that is broken."""
    container, broken = table["container"].to_pylist(), set()
    found = cut(table, size)
    if [i for ids in found for i in ids] != list(range(len(table))):
        broken.add("every image once, in order")
    if any(len(ids) < size for ids in found[:-1]):
        broken.add("full")
    if any(len(ids) >= 3 * size for ids in found):
        broken.add("memory")
    for ids in found[1:]:
        first, stop = container.index(container[ids[0]]), len(container) - container[::-1].index(container[ids[0]])
        if ids[0] != first and (stop - first < 2 * size or (ids[0] - first) % size):
            broken.add("whole containers")
    return broken


def cut(table: pa.Table, size: int) -> list[range]:
    return [range(shard.first, shard.stop) for shard in shards(table, None, size)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 15), st.integers(1, 60), st.integers(0, 30)
)
def test_shards_are_whole_containers_and_ranges_of_large_ones(
    sizes: list[int], size: int, limit: int, extra: int
) -> None:
    table = packed(sizes)
    assert cuts_broken(table, size, cut) == set()
    few, many = shards(table, limit, size), shards(table, limit + extra, size)
    assert many[: len(few) - 1] == few[:-1]


def test_mutant_cuts_are_seen() -> None:
    table = packed([50, 3])
    edge = table["container"].to_pylist().index(1)
    assert "memory" in cuts_broken(table, 10, lambda *_: [range(edge), range(edge, 53)])
    anywhere = [range(i, min(i + 9, 53)) for i in range(0, 53, 9)]
    assert cuts_broken(table, 10, lambda *_: anywhere) == {"full", "whole containers"}


def test_a_large_container_is_cut_by_hand() -> None:
    assert [len(ids) for ids in cut(packed([5000]), 1000)] == [1000] * 5
    assert [len(ids) for ids in cut(packed([1999]), 1000)] == [1999]
    assert [len(ids) for ids in cut(packed([5300]), 1000)] == [1000] * 4 + [1300]


def altered(table: pa.Table, name: str, row: int = 0) -> pa.Table:
    """Return a listing with one value of a column changed."""
    values = table[name].to_pylist()
    value = values[row]
    values[row] = not value if isinstance(value, bool) else value + ("x" if isinstance(value, str) else 1)
    place = table.schema.get_field_index(name)
    return table.set_column(place, SCHEMA.field(name), pa.array(values, SCHEMA.field(name).type))


KEYED = ("image_id", "key_hash", "bytes", "stamp", "removed")
PLACES = ("key", "container", "offset", "mtime_ns", "label", "home")


def test_a_shards_key_covers_its_images_and_no_place() -> None:
    table = listing(Fake({f"k{i}": i for i in range(9)}))
    (whole,) = shards(table)
    assert {name for name in KEYED + PLACES if shards(altered(table, name))[0].rows_key != whole.rows_key} == {*KEYED}
    with pytest.raises(errors.UsageError, match="at least 1"):
        shards(table, 0)


def test_the_key_of_format_1_covers_places() -> None:
    table = listing(Fake({f"k{i}": i for i in range(9)}))
    covered = ("image_id", "key", "key_hash", "offset", "length", "bytes", "mtime_ns", "removed")
    names = [*covered, "label", "stamp", "home"]
    assert {name for name in names if rows_key_1(altered(table, name)) != rows_key_1(table)} == {*covered}


def test_removed_images_count_by_their_place_alone() -> None:
    content = {f"k{i}": i + 1 for i in range(9)}
    full = listing(Fake(content))
    keys = full["key"].to_pylist()
    (whole,) = shards(full)
    gone = listing(Fake({key: content[key] for key in keys[:5] + keys[6:8]}), full)
    (shard,) = shards(gone)
    assert (shard.stop, shard.rows_key != whole.rows_key) == (9, True)
    assert shards(altered(gone, "stamp", 5))[0].rows_key == shard.rows_key  # of a removed image
    assert rows_key(gone.slice(0, 8)) == shard.rows_key  # the last one counts no more than none
    assert rows_key(gone.slice(1)) != shard.rows_key
    assert shards(listing(Fake(content), gone)) == [whole]


def test_a_limit_counts_living_images_and_empty_shards_are_left_out() -> None:
    content = {f"k{i}": 1 for i in range(50)}
    full = listing(Fake(content))
    keys = full["key"].to_pylist()
    gone = listing(Fake(dict.fromkeys(keys[20:25] + keys[30:], 1)), full)
    assert [(s.number, s.first, s.stop) for s in shards(gone, 9, 10)] == [(2, 20, 30), (3, 30, 34)]
    assert living(gone, 9)["key"].to_pylist() == keys[20:25] + keys[30:34]
    assert [s.rows_key for s in shards(gone, 25, 10)] == [s.rows_key for s in shards(gone, None, 10)]
