"""Object stores and web servers hold the same images as a folder, and what changes there is not read under the old name."""

from __future__ import annotations

import functools
import hashlib
import http.server
import itertools
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from support.datasets import CONTENT, contents, labels, write_folder, write_parquet, write_tar

from flows.config import RunConfig
from storage import errors
from storage.images import remote, sources
from storage.images.listing import about, listing
from storage.store.store import Store

_numbers = itertools.count()


@pytest.fixture
def bucket() -> Iterator[str]:
    """The address of an empty bucket in memory."""
    name = f"bucket-{next(_numbers)}"
    yield f"memory://{name}"
    memory = fsspec.filesystem("memory")
    if memory.exists(f"/{name}"):
        memory.rm(f"/{name}", recursive=True)


def put(bucket: str, content: dict[str, bytes]) -> None:
    fsspec.filesystem("memory").pipe({f"{bucket}/{key}": data for key, data in content.items()})


def test_a_folder_of_a_bucket_is_a_folder(bucket: str, tmp_path: Path) -> None:
    put(bucket, CONTENT)
    source, local = sources.open_source(f"{bucket}/"), sources.open_source(write_folder(tmp_path, CONTENT))
    table, there = listing(source), listing(local)
    same = ["image_id", "key", "key_hash", "container", "offset", "length", "bytes", "label", "removed"]
    assert table.select(same).equals(there.select(same))
    assert contents(source, table) == CONTENT
    assert labels(table) == {key: key[:3] for key in CONTENT}
    assert sources.path(source, table, 5) == f"{bucket}/{table['key'][5].as_py()}"
    assert contents(pickle.loads(pickle.dumps(source)), table) == CONTENT
    assert listing(source, table).equals(table)


@pytest.mark.parametrize("named", ["", "/part-{0..3}.tar", "/part-*.tar"])
def test_tars_of_a_bucket(bucket: str, tmp_path: Path, named: str) -> None:
    for number in range(4):
        write_tar(tmp_path / f"part-{number}.tar", list(CONTENT.items())[number::4])
    put(bucket, {path.name: path.read_bytes() for path in tmp_path.iterdir()})
    source, local = sources.open_source(bucket + named), sources.open_source(f"{tmp_path}{named}")
    table = listing(source)
    assert source.containers == local.containers
    assert table["key"].equals(listing(local)["key"])
    assert contents(source, table) == contents(local, listing(local))
    assert sources.path(source, table) == f"{bucket}/{source.containers[0]}"


@pytest.mark.parametrize("named", ["", "/train.parquet", "/*.parquet"])
def test_parquet_of_a_bucket(bucket: str, tmp_path: Path, named: str) -> None:
    put(bucket, {"train.parquet": write_parquet(tmp_path / "train.parquet", CONTENT).read_bytes()})
    source = sources.open_source(bucket + named)
    table = listing(source)
    assert {key.split("/", 2)[2]: data for key, data in contents(source, table).items()} == CONTENT
    assert set(labels(table).values()) == {"cat", "dog"}


def test_what_changed_or_is_gone_is_not_read_as_what_was_listed(bucket: str) -> None:
    put(bucket, CONTENT)
    source = sources.open_source(bucket)
    table = listing(source)
    put(bucket, {"cat/cat3.jpg": b"x" * len(CONTENT["cat/cat3.jpg"])})
    fsspec.filesystem("memory").rm(f"{bucket}/dog/dog4.jpg")
    failed = {table["key"][index].as_py(): data for index, data in sources.read(source, table) if data_is_error(data)}
    assert failed.keys() == {"cat/cat3.jpg", "dog/dog4.jpg"}
    assert str(failed["cat/cat3.jpg"]).endswith("has changed since it was listed; run again to update the listing")
    assert str(failed["dog/dog4.jpg"]) == f"cannot read {bucket}/dog/dog4.jpg: No such file or directory"
    again = listing(source, table)
    assert [key for key, gone in zip(again["key"].to_pylist(), again["removed"].to_pylist(), strict=True) if gone] == [
        "dog/dog4.jpg"
    ]


def data_is_error(data: object) -> bool:
    return isinstance(data, errors.ImageError)


def test_mutant_a_stamp_of_the_size_alone_misses_a_change(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_stamp", lambda info: info["size"])
    with pytest.raises(AssertionError):
        test_what_changed_or_is_gone_is_not_read_as_what_was_listed(bucket)


def test_a_changed_tar_is_not_read_at_the_old_offsets(bucket: str, tmp_path: Path) -> None:
    put(bucket, {"a.tar": write_tar(tmp_path / "a.tar", CONTENT.items()).read_bytes()})
    source = sources.open_source(bucket)
    table = listing(source)
    put(bucket, {"a.tar": write_tar(tmp_path / "a.tar", list(CONTENT.items())[::-1]).read_bytes()})
    assert all("has changed since" in str(data) for _, data in sources.read(source, table))


def test_order_is_kept_however_long_each_takes(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {f"{number}.jpg": f"{number}".encode() for number in range(200)}
    put(bucket, content)
    source = sources.open_source(bucket)
    table = listing(source)
    read, under_way, most = remote._content, threading.Semaphore(0), [0]

    def late(place: str, size: int, stamp: int) -> remote.Read:
        under_way.release()
        most[0] = max(most[0], under_way._value)
        time.sleep(int(hashlib.sha256(place.encode()).hexdigest()[:2], 16) / 50_000)
        under_way.acquire()
        return read(place, size, stamp)

    monkeypatch.setattr(remote, "_content", late)
    indices, data = zip(*sources.read(source, table), strict=True)
    assert indices == tuple(range(200))
    assert list(data) == [content[key] for key in table["key"].to_pylist()]
    assert 4 < most[0] <= remote._THREADS


def test_what_is_not_listed_is_counted_or_hidden(bucket: str) -> None:
    put(bucket, {"a/b.jpg": b"1", "a/.hidden.jpg": b"2", ".git/c.jpg": b"3", "notes.txt": b"4", "a/d/../e.jpg": b"5"})
    table = listing(sources.open_source(bucket))
    assert table["key"].to_pylist() == ["a/b.jpg"]
    assert about(table).refused["not-an-image-name"] == 1
    source = remote.RemoteFolder(bucket)
    with pytest.raises(errors.UsageError, match="leaves memory://"):
        source.place("../secret.jpg", None)


def test_a_clients_own_errors_may_pass(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, CONTENT)
    source = sources.open_source(bucket)
    table = listing(source).slice(0, 1)

    class Lost(Exception):
        """What no library shares."""

    def lose(*_: object, **__: object) -> bytes:
        raise Lost("connection reset\nby peer")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", lose)
    [(_, data)] = sources.read(source, table)
    assert isinstance(data, errors.Unreadable)
    assert str(data).endswith(".jpg: Lost: connection reset")


def test_addresses_that_name_nothing_readable_say_what_would_do(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, {"docs/a.csv": b"1"})
    for address, kind, words in (
        (f"{bucket}/nowhere", errors.NotFound, "nothing is there"),
        (bucket, errors.UsageError, r"1 file not named as an image \(\.csv\); give a folder of images"),
        (f"{bucket}/*.tar", errors.NotFound, r"no file matches 'memory://\S+/\*.tar'"),
        ("gdrive://x", errors.UsageError, "an address starts with s3://"),
        ("simplecache::memory://x", errors.UsageError, "an address starts with s3://"),
        ("file:///etc", errors.UsageError, "an address starts with s3://"),
    ):
        with pytest.raises(kind, match=words):
            sources.open_source(address)
    with pytest.raises(errors.UsageError, match=r"cannot list memory://\S+/x.tar: No such file"):
        listing(sources.open_source(f"{bucket}/x.tar"))

    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(errors.UsageError, match="s3://bucket/x needs another package: pip install s3fs"):
        sources.open_source("s3://bucket/x")


@pytest.mark.parametrize("address", ["s3://bucket/atlas", "memory://x", "gs://b"])
def test_results_on_an_object_store_are_refused_with_the_reason(address: str) -> None:
    refused = pytest.raises(
        errors.UsageError, match=f"--store {address}: results are kept in a folder, since object stores"
    )
    with refused:
        Store(Path(address))
    with refused:
        RunConfig(images="x", store=address)
    assert Store(Path("a/s3:/x")).root == Path("a/s3:/x")


# A web server, where the package that fsspec needs for it is installed.


class Tagged(http.server.SimpleHTTPRequestHandler):
    """Serve files, with an ETag where told to."""

    tagged = True

    def end_headers(self) -> None:
        file = Path(self.translate_path(self.path))
        if self.tagged and file.is_file():
            self.send_header("ETag", f'"{hashlib.sha256(file.read_bytes()).hexdigest()}"')
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("tagged", [True, False])
def test_tars_of_a_web_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tagged: bool) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(Tagged, "tagged", tagged)
    write_tar(tmp_path / "a.tar", CONTENT.items())
    handler = functools.partial(Tagged, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        source = sources.open_source(f"{address}/{{a,a}}.tar")
        if tagged:
            assert {
                key.removeprefix("a.tar/"): data for key, data in contents(source, listing(source)).items()
            } == CONTENT
        else:
            with pytest.raises(errors.UsageError, match="has no ETag and size"):
                listing(source)
        with pytest.raises(errors.UsageError, match="can't be listed, since it is a web server"):
            sources.open_source(address)
        server.shutdown()
