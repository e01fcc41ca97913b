"""Tars are read as tarfile reads them, and trusted less."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.datasets import contents, write_tar

from storage import errors
from storage.images import sources, tar_headers
from storage.images.listing import about, listing

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=130
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=6),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_headers_are_read_as_tarfile_reads_them(content: list[tuple[str, bytes]], kind: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for name, data in content:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = out.getvalue()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [(info.name, info.offset_data, info.size) for info in tar if info.isfile()]
    assert headers_of(data) == expected


def headers_of(data: bytes) -> list[tuple[str, int, int]]:
    found = tar_headers.members(lambda length, offset: data[offset : offset + length])
    return [(member.name, member.offset, member.size) for member in found if not member.refused]


def test_mutant_a_reader_without_long_names_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("long" * 40 + ".jpg"))
    assert headers_of(out.getvalue())[0][0] == "long" * 40 + ".jpg"
    monkeypatch.setattr(tar_headers, "_extend", lambda extended, kind, text: extended)
    assert headers_of(out.getvalue())[0][0] != "long" * 40 + ".jpg"


def hostile_tar(path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in ("../up.jpg", "/abs.jpg", "a/../../up.jpg", "C:\\win.jpg", "ok.jpg", "ok.jpg", "._mac.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"data"))
        for kind in (
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.CHRTYPE,
            tarfile.BLKTYPE,
            tarfile.FIFOTYPE,
            tarfile.DIRTYPE,
        ):
            info = tarfile.TarInfo("special.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("last.jpg")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"last"))
    return path


def test_hostile_members_are_refused_and_counted(tmp_path: Path) -> None:
    source = sources.open_source(hostile_tar(tmp_path / "h.tar"))
    table = listing(source)
    assert contents(source, table) == {"h.tar/ok.jpg": b"data", "h.tar/last.jpg": b"last"}
    assert about(table).refused == {"outside": 4, "link": 2, "device": 3, "duplicate": 1, "hidden": 1}


def test_sparse_members_are_stepped_over(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        sparse = tarfile.TarInfo("sparse.jpg")
        sparse.size = 600
        tar.addfile(sparse, io.BytesIO(b"s" * 600))
        tar.addfile(tarfile.TarInfo("after.jpg"))
    data = bytearray(out.getvalue())
    data[156], data[482] = ord("S"), 1
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + sum(data[156:512]) + 8 * 32)
    data[512:512] = bytes(504) + b"\1" + bytes(7) + bytes(512)
    assert [name for name, _, _ in headers_of(bytes(data))] == ["after.jpg"]


def header(name: str, size: bytes) -> bytes:
    """Build a ustar header with any size field and a right checksum."""
    block = bytearray(name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size.ljust(12, b"\0"))
    block += b"00000000000\0" + b" " * 8 + b"0" + bytes(100) + b"ustar\x0000" + bytes(247)
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "size",
    [
        b"%011o" % (10 << 30),
        b"\x80" + b"\xff" * 11,
        b"\xff" * 12,
        b"-0000000001",
        b"99999999999",
        b"\x80" + b"\0" * 3 + b"\xff" * 8,
    ],
)
def test_lying_sizes_end_the_walk_and_cost_nothing(tmp_path: Path, size: bytes) -> None:
    path = tmp_path / "t.tar"
    first = io.BytesIO()
    with tarfile.open(fileobj=first, mode="w") as tar:
        info = tarfile.TarInfo("ok.jpg")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"ok"))
    path.write_bytes(first.getvalue()[:1024] + header("liar.jpg", size) + b"x" * 512)
    source = sources.open_source(path)
    table = listing(source)
    found = dict(zip(table["key"].to_pylist(), (data for _, data in sources.read(source, table)), strict=True))
    assert found.pop("t.tar/ok.jpg") == b"ok"
    assert all(isinstance(data, errors.Rejected) and data.reason == "too-large" for data in found.values())
    assert about(table).refused == {"cut-short": 1}


def test_a_cut_tar_lists_what_is_left_and_says_so(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "w.tar", [(f"{i}.jpg", bytes([i]) * 700) for i in range(5)]).read_bytes()
    path = tmp_path / "cut.tar"
    path.write_bytes(whole[: 3 * 1536 + 512 + 100])
    source = sources.open_source(path)
    table = listing(source)
    sizes = [len(data) for _, data in sources.read(source, table) if isinstance(data, bytes)]
    assert sizes == [700, 700, 700, 100]
    assert about(table).refused == {"cut-short": 1}
