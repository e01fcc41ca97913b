"""Folders, tars and Parquet hold the same images and give them back; nothing hostile gets in."""

from __future__ import annotations

import itertools
import os
import pickle
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.datasets import CONTENT, contents, labels, write_folder, write_parquet, write_tar

from storage import errors
from storage.images import contract, sources
from storage.images.listing import about, listing
from storage.images.shards import shards

# One content, three forms.


def test_a_folder_gives_back_what_is_in_it(tmp_path: Path) -> None:
    source = sources.open_source(write_folder(tmp_path, CONTENT))
    table = listing(source)
    assert contents(source, table) == CONTENT
    assert labels(table) == {key: key[:3] for key in CONTENT}
    assert sources.path(source, table, 5) == str(tmp_path / table["key"][5].as_py())
    assert contents(pickle.loads(pickle.dumps(source)), table) == CONTENT


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_give_back_what_a_folder_does(tmp_path: Path, kind: int) -> None:
    items = list(CONTENT.items())
    for number in range(4):
        members: list[tuple[str, bytes]] = []
        for key, data in items[number::4]:
            members += [(key, data), (key.replace(".jpg", ".cls"), key[:3].encode())]
        write_tar(tmp_path / f"part-{number}.tar", members, kind)
    source = sources.open_source(tmp_path)
    table = listing(source)
    assert {re.sub(r"^part-\d.tar/", "", key): data for key, data in contents(source, table).items()} == CONTENT
    assert all(label == key.split("/")[1] for key, label in labels(table).items())
    pattern = sources.open_source(f"{tmp_path}/part-{{0..3}}.tar")
    assert listing(pattern).equals(table)
    assert [(shard.first, shard.stop) for shard in shards(table, 35, 15)] == [(0, 20), (20, 35)]
    assert sources.path(source, table, 0) == str(tmp_path / source.containers[0])


def test_parquet_gives_back_what_a_folder_does(tmp_path: Path) -> None:
    for number in range(2):
        write_parquet(tmp_path / f"{number}.parquet", dict(list(CONTENT.items())[number::2]))
    source = sources.open_source(tmp_path)
    table = listing(source)
    assert {key.split("/", 2)[2]: data for key, data in contents(source, table).items()} == CONTENT
    assert all(label == key.split("/")[2] for key, label in labels(table).items())


def test_plain_binary_columns_and_missing_bytes(tmp_path: Path) -> None:
    path = tmp_path / "plain.parquet"
    pq.write_table(
        pa.table({"image": pa.array([b"a", None, b"ccc"], pa.large_binary()), "label": ["x", None, "y"]}), path
    )
    source = sources.open_source(path)
    table = listing(source)
    assert contents(source, table) == {"plain.parquet/0": b"a", "plain.parquet/1": b"", "plain.parquet/2": b"ccc"}
    assert table["label"].to_pylist() == ["x", None, "y"]


@pytest.mark.parametrize("form", ["folder", "tars", "parquet"])
def test_any_selection_of_rows_in_any_order_reads_right(tmp_path: Path, form: str) -> None:
    if form == "folder":
        write_folder(tmp_path, CONTENT)
    elif form == "tars":
        write_tar(tmp_path / "a.tar", list(CONTENT.items())[:23])
        write_tar(tmp_path / "b.tar", list(CONTENT.items())[23:])
    else:
        write_parquet(tmp_path / "a.parquet", dict(list(CONTENT.items())[:23]))
        write_parquet(tmp_path / "b.parquet", dict(list(CONTENT.items())[23:]))
    source = sources.open_source(tmp_path)
    table = listing(source)
    everything = contents(source, table)
    for order in ([39, 0, 20, 20, 3], [], [5], list(range(39, -1, -1))):
        rows = table.take(pa.array(order, pa.int64()))
        found = list(sources.read(source, rows))
        assert [index for index, _ in found] == list(range(len(order)))
        assert [data for _, data in found] == [everything[key] for key in rows["key"].to_pylist()]


def test_parquet_reads_only_the_row_groups_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sources.open_source(write_parquet(tmp_path / "a.parquet", CONTENT, row_group_size=4))
    table = listing(source)
    groups: list[int] = []
    whole = pq.ParquetFile.iter_batches

    def noting(self: pq.ParquetFile, *args: object, row_groups: list[int], **rest: object) -> object:
        groups.extend(row_groups)
        return whole(self, *args, row_groups=row_groups, **rest)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noting)
    assert len(contents(source, table.take([1, 2, 17, 38]))) == 4
    assert groups == [0, 4, 9]


def test_a_shard_of_a_large_tar_reads_its_own_members_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tar(tmp_path / "a.tar", CONTENT.items())
    source = sources.open_source(tmp_path)
    table = listing(source)
    everything, spans, pread = contents(source, table), list[tuple[int, int]](), os.pread

    def noting(descriptor: int, length: int, offset: int) -> bytes:
        spans.append((offset, length))
        return pread(descriptor, length, offset)

    monkeypatch.setattr("os.pread", noting)
    for shard in shards(table, None, 10):
        spans.clear()
        assert contents(source, shard.rows) == {key: everything[key] for key in shard.rows["key"].to_pylist()}
        assert spans == list(zip(*(shard.rows[name].to_pylist() for name in ("offset", "length")), strict=True))


# What is listed and what is not.


def test_hidden_files_other_names_and_odd_links_are_not_followed(tmp_path: Path) -> None:
    outside = write_folder(tmp_path / "outside", {"secret.jpg": b"s"})
    root = write_folder(
        tmp_path / "root",
        {
            "a/1.JPG": b"1",
            ".hidden/2.jpg": b"2",
            "a/.3.jpg": b"3",
            "a/notes.txt": b"4",
            "b/c/5.png": b"5",
            "top.webp": b"6",
        },
    )
    (root / "a/inside.jpg").symlink_to(root / "b/c/5.png")
    (root / "a/again").symlink_to(root / "b")
    (root / "a/out.jpg").symlink_to(outside / "secret.jpg")
    (root / "outdir").symlink_to(outside)
    (root / "b/loop").symlink_to(root)
    (root / "a/gone.jpg").symlink_to(root / "nowhere.jpg")
    os.mkfifo(root / "a/pipe.jpg")
    os.mkdir(os.fsencode(root) + b"/\xff")
    source = sources.open_source(root)
    table = listing(source)
    assert labels(table) == {
        "a/1.JPG": "a",
        "a/inside.jpg": "a",
        "a/again/c/5.png": "a",
        "b/c/5.png": "b",
        "top.webp": None,
    }
    refused = dict(about(table).refused)
    assert refused == {
        "not-an-image-name": 1,
        "link-out-of-root": 2,
        "link-loop": 2,
        "broken-link": 1,
        "not-a-file": 1,
        "name-not-utf-8": 1,
        "hidden": 1,
        "hidden-folder": 1,
    }


def test_a_fresh_listing_is_the_same_wherever_the_folder_lies(tmp_path: Path) -> None:
    here = listing(sources.open_source(write_folder(tmp_path / "x", CONTENT)))
    shutil.copytree(tmp_path / "x", tmp_path / "y/z")
    assert listing(sources.open_source(tmp_path / "y/z")).equals(here, check_metadata=True)


@pytest.mark.parametrize(
    ("siblings", "label"),
    [
        ([("a.cls", b"7\n")], "7"),
        ([("a.json", b'{"label": "cat"}'), ("a.txt", b"a cat on a mat\nsecond line")], "cat"),
        ([("a.txt", b"a cat"), ("a.json", b'{"caption": "x"}')], "a cat"),
        ([("a.txt", b"text"), ("a.cls", b"3")], "3"),
        ([("a.json", b'"\\ud800"')], None),
        ([("a.json", b"not json")], None),
        ([("b.cls", b"3")], None),
    ],
)
def test_labels_of_webdataset_samples(tmp_path: Path, siblings: list[tuple[str, bytes]], label: str | None) -> None:
    source = sources.open_source(write_tar(tmp_path / "s.tar", [*siblings, ("a.jpg", b"image")]))
    assert labels(listing(source)) == {"s.tar/a.jpg": label}


# What happens between listing and reading.


@pytest.mark.parametrize("form", ["folder", "tars", "parquet"])
def test_vanished_and_changed_files_are_unreadable_not_wrong(tmp_path: Path, form: str) -> None:
    small = dict(list(CONTENT.items())[:3])
    makers: dict[str, Callable[[], Path]] = {
        "folder": lambda: write_folder(tmp_path / "f", small),
        "tars": lambda: write_tar(tmp_path / "f.tar", small.items()),
        "parquet": lambda: write_parquet(tmp_path / "f.parquet", small),
    }
    source = sources.open_source(makers[form]())
    table = listing(source)
    victim = Path(sources.path(source, table, 1))
    os.utime(victim, ns=(1, 1))
    after = [type(data) for _, data in sources.read(source, table)]
    assert after == ([bytes, errors.Changed, bytes] if form == "folder" else [errors.Changed] * 3)
    victim.unlink()
    messages = [str(data) for _, data in sources.read(source, table) if isinstance(data, errors.Unreadable)]
    assert len(messages) == (1 if form == "folder" else 3)
    assert all(str(victim) in message for message in messages)
    if form == "folder":
        os.mkfifo(victim)
        assert isinstance(dict(sources.read(source, table))[1], errors.Unreadable)


def test_removed_images_are_not_read(tmp_path: Path) -> None:
    source = sources.open_source(write_folder(tmp_path, dict(list(CONTENT.items())[:4])))
    before = listing(source)
    gone = before["key"][2].as_py()
    (tmp_path / gone).unlink()
    after = listing(source, before)
    assert [index for index, _ in sources.read(source, after)] == [0, 1, 3]


def test_too_large_files_are_rejected_unread(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.jpg": b"a"})
    with open(root / "huge.png", "wb") as file:
        file.truncate(contract.MAX_BYTES + 1)
    source = sources.open_source(root)
    table = listing(source)
    reasons = Counter(getattr(data, "reason", "read") for _, data in sources.read(source, table))
    assert reasons == {"read": 1, "too-large": 1}


def test_a_damaged_row_group_costs_only_itself_and_those_after(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "d.parquet", CONTENT, row_group_size=10)
    source = sources.open_source(path)
    table = listing(source)
    column = pq.ParquetFile(path).metadata.row_group(2).column(0)
    data, stamp = bytearray(path.read_bytes()), path.stat().st_mtime_ns
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    os.utime(path, ns=(stamp, stamp))
    kinds = [type(content) for _, content in sources.read(source, table)]
    assert kinds == [bytes] * 20 + [errors.Unreadable] * 20


# What a path names.


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.tar", ["a.tar"]),
        ("{a,b}.tar", ["a.tar", "b.tar"]),
        ("s-{08..11}.tar", ["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]),
        ("{1..2}/{x,y}", ["1/x", "1/y", "2/x", "2/y"]),
        ("{000..002}", ["000", "001", "002"]),
    ],
)
def test_braces_expand(pattern: str, expected: list[str]) -> None:
    assert sources.expand_braces(pattern) == expected


def test_paths_that_name_nothing_readable_say_what_would_do(tmp_path: Path) -> None:
    write_folder(tmp_path, {"docs/a.csv": b"1", "b.tar.gz": b"2", "c.tar": b"no tar" * 200, "d.parquet": b"no parquet"})
    cases = [
        (tmp_path / "nowhere", errors.NotFound, "no such file or folder; give a folder of images"),
        (tmp_path / "docs", errors.UsageError, r"1 file not named as an image \(\.csv\)"),
        (tmp_path / "b.tar.gz", errors.UsageError, "compressed"),
        (tmp_path / "docs/a.csv", errors.UsageError, "of kind .csv"),
        (tmp_path / "x-{0..3}.tar", errors.NotFound, "x-0.tar"),
        (tmp_path / "x-{0..9999999}.tar", errors.UsageError, "more than"),
        (tmp_path / "*.zip", errors.NotFound, r"\*.zip"),
        ("ftp://example.org/a.tar", errors.UsageError, "an address starts with s3://"),
        ("memory://a.tar::file:///etc", errors.UsageError, "an address starts with s3://"),
    ]
    for path, kind, words in cases:
        with pytest.raises(kind, match=words):
            sources.open_source(path)
    for name, words in (("c.tar", "not an uncompressed tar"), ("d.parquet", "not a Parquet file: it is plain text")):
        with pytest.raises(errors.UsageError, match=words):
            listing(sources.open_source(tmp_path / name))
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "d.parquet")
    with pytest.raises(errors.UsageError, match="but has text"):
        listing(sources.open_source(tmp_path / "d.parquet"))


def test_a_place_has_one_name_wherever_it_is_named_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    write_tar(tmp_path / "in/a.tar", CONTENT.items())
    for there, here in (("in", "in"), ("in/a.tar", "a.tar"), ("in/{a,a}.tar", "{a,a}.tar")):
        monkeypatch.chdir(tmp_path)
        from_above = sources.open_source(there)
        monkeypatch.chdir(tmp_path / "in")
        assert from_above == sources.open_source("." if here == "in" else here)
        assert Path(from_above.uri).is_absolute()


def test_keys_that_climb_out_are_refused(tmp_path: Path) -> None:
    source = sources.open_source(write_folder(tmp_path, {"a.jpg": b"a"}))
    for key in ("../b.jpg", "/etc/passwd", "a/../../b.jpg"):
        with pytest.raises(errors.UsageError, match="leaves the folder"):
            source.place(key, None)


# Sample photos.


def test_sample_photos_are_the_same_every_time(tmp_path: Path) -> None:
    first, second = (sources.open_source("sample-photos", cache=tmp_path / name) for name in "ab")
    table = listing(first)
    assert 550 <= len(table) <= 650
    assert len(set(table["label"].to_pylist())) == 16
    assert listing(second).equals(table, check_metadata=True)
    pairs = itertools.zip_longest(sources.read(first, table), sources.read(second, table))
    assert all(a == b and isinstance(a[1], bytes) for a, b in pairs)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["sample-photos-1"]
    stamp = (tmp_path / "a/sample-photos-1").stat().st_mtime_ns
    sources.open_source("sample-photos", cache=tmp_path / "a")
    assert (tmp_path / "a/sample-photos-1").stat().st_mtime_ns == stamp
