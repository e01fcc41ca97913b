"""Forms of folders, tars, Parquet files, archives and label tables: what each lists, counts and labels, or the line it gives."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from support.datasets import write_folder, write_tar
from support.pictures import heif, photo, saved

PNG = saved(Image.new("RGB", (4, 4), (200, 30, 40)), "PNG")
PAGE = b"\n<!DOCTYPE html><html><body>404</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
PAIR = {"cat/1.png": PNG, "dog/2.png": PNG}


@dataclass(frozen=True, kw_only=True)
class Form:
    """A source: `make` writes it into a folder and returns what to give to --images.

    Either `listed` images, `refused` entries and `unlabelled` images by reason, with these `labels`; or one `line`. `columns`
    and `table` are the image column and the text of a label table; `decoder` is whether HEIF's is there.
    """

    make: Callable[[Path], Path]
    listed: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    unlabelled: dict[str, int] = field(default_factory=dict)
    labels: list[str | None] | None = None
    line: str = ""
    column: str | None = None
    table: str | bytes | None = None
    keys: dict[str, int] = field(default_factory=dict)
    decoder: bool = True


def files(names: Iterable[str], *, beside: dict[str, bytes] | None = None) -> Callable[[Path], Path]:
    """Write empty files of these names beside two images."""
    content = (PAIR if beside is None else beside) | dict.fromkeys(names, b"x")
    return lambda root: write_folder(root, content)


def links(root: Path) -> Path:
    outside = write_folder(root / "outside", {"far.png": PNG, "more/far.png": PNG})
    inside = write_folder(root / "in", PAIR)
    (inside / "out.png").symlink_to(outside / "far.png")
    (inside / "outdir").symlink_to(outside / "more")
    (inside / "gone.png").symlink_to(inside / "nowhere.png")
    (inside / "self.png").symlink_to(inside / "self.png")
    (inside / "cat/up").symlink_to(inside)
    return inside


def odd_entries(root: Path) -> Path:
    write_folder(root, PAIR | {"folder.png/3.png": PNG, "store/actlas-store.json": b'{"format": 2}'})
    write_folder(root, {"store/runs/r/1.json": b"{}", "store/results/x.png": PNG, "store/tmp/x": b""})
    os.mkfifo(root / "pipe.png")
    (root / "empty").mkdir()
    os.mkdir(os.fsencode(root) + b"/\xff")
    return root


def linked_root(root: Path) -> Path:
    write_folder(root / "real", PAIR)
    (root / "name").symlink_to(root / "real")
    return root / "name"


def hard_links(root: Path) -> Path:
    write_folder(root, PAIR)
    os.link(root / "cat/1.png", root / "cat/again.png")
    return root


def only_links(root: Path) -> Path:
    write_folder(root / "far", PAIR)
    (root / "in").mkdir()
    for name in ("cat/1.png", "dog/2.png"):
        (root / "in" / Path(name).name).symlink_to(root / "far" / name)
    return root / "in"


def tar(
    *members: tuple[str, bytes], name: str = "a.tar", beside: dict[str, bytes] | None = None
) -> Callable[[Path], Path]:
    """Write a tar, and return it; or its folder where something stands beside it."""

    def make(root: Path) -> Path:
        write_tar(root / name, members)
        return root / name if beside is None else write_folder(root, beside)

    return make


def linking_tar(root: Path) -> Path:
    with tarfile.open(root / "a.tar", "w") as out:
        for name, kind in (("1.png", tarfile.REGTYPE), ("2.png", tarfile.SYMTYPE), ("3.png", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "1.png"
            info.size = len(PNG) if kind == tarfile.REGTYPE else 0
            out.addfile(info, io.BytesIO(PNG))
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        out.addfile(folder)
    return root / "a.tar"


def joined_tars(root: Path) -> Path:
    parts = [
        write_tar(root / name, [(f"{name}.png", PNG), (f"{name}.cls", name.encode())]).read_bytes() for name in "12"
    ]
    (root / "a.tar").write_bytes(b"".join(parts))
    return root / "a.tar"


def tar_before(rubbish: bytes) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        path = write_tar(root / "a.tar", [("1.png", PNG)])
        path.write_bytes(path.read_bytes() + rubbish)
        return path

    return make


def latin_tar(root: Path) -> Path:
    with tarfile.open(root / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as out:
        for name in ("é.png", "caf\u00e9.png", "\\x.png"):
            info = tarfile.TarInfo(name)
            info.size = len(PNG)
            out.addfile(info, io.BytesIO(PNG))
    return root / "a.tar"


def cut_tar(root: Path) -> Path:
    path = write_tar(root / "a.tar", [("1.png", PNG), ("2.png", PNG)])
    path.write_bytes(path.read_bytes()[: 512 * 2 + -(-len(PNG) // 512) * 512 - 200])
    return path


def cut_parquet(root: Path) -> Path:
    path = parquet({"image": [PNG] * 3})(root)
    path.write_bytes(path.read_bytes()[:-30])
    return path


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def parquet(columns: dict[str, Any], metadata: dict[str, str] | None = None) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        pq.write_table(pa.table(columns, metadata=metadata), root / "x.parquet")
        return root / "x.parquet"

    return make


def _written(root: Path, table: pa.Table) -> Path:
    pq.write_table(table, root / "x.parquet")
    return root / "x.parquet"


def bytes_of(count: int = 3) -> pa.Array:
    return pa.array([{"bytes": PNG, "path": None}] * count, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def tables(root: Path) -> Path:
    pq.write_table(pa.table({"image": [PNG, PNG]}), root / "images.parquet")
    pq.write_table(pa.table({"text": ["a"]}), root / "captions.parquet")
    return write_folder(root, {"README.md": b"#", ".gitattributes": b""})


def by_class(values: pa.Array) -> Callable[[Path], Path]:
    features = (
        '{"info": {"features": {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["a", "b"]}}}}'
    )
    return parquet({"image": bytes_of(len(values)), "label": values}, {"huggingface": features})


def pair_with(table: str | bytes, **expected: Any) -> Form:
    """Two images under cat/ and dog/, and a label table."""
    return Form(make=files([]), listed=0 if "line" in expected else 2, table=table, **expected)


NO_LABEL = {"no-label": 3}
PATHS = "it holds paths such as 'a/1.png', which are not followed: give the folder of these files to --images"
HEIC = "9 HEIC files: pip install 'actlas"
NINE = [f"phone/{i}.HEIC" for i in range(9)]

FOLDERS = {
    "plain": Form(make=files([]), listed=2),
    "flat": Form(make=files([], beside={"1.png": PNG, "2.png": PNG}), listed=2, unlabelled={"no-label": 2}),
    "heic without the extra": Form(make=files(NINE), listed=2, refused={"heif": 9}, decoder=False),
    "heic": Form(
        make=lambda root: write_folder(root, PAIR | {"cat/3.HEIC": heif(photo(8, 8)), "cat/a.hif": b""}), listed=4
    ),
    "only heic without the extra": Form(make=files(NINE, beside={}), line=HEIC, decoder=False),
    "avif": Form(make=files(["cat/1.avif", "cat/2.AVIF"]), listed=4),
    "jpeg xl": Form(make=files(["1.jxl"]), listed=2, refused={"jpeg-xl": 1}),
    "only jpeg xl": Form(make=files(["1.jxl"], beside={}), line="1 JPEG XL file: convert to JPEG or PNG"),
    "raw": Form(make=files(["1.CR2", "1.nef", "1.dng"]), listed=2, refused={"raw": 3}),
    "svg and pdf": Form(make=files(["1.svg", "1.pdf", "1.eps"]), listed=2, refused={"svg": 1, "document": 2}),
    "video": Form(make=files(["1.mp4", "1.MOV"]), listed=2, refused={"video": 2}),
    "other formats": Form(
        make=files(["1.psd", "1.tga", "1.ico", "1.exr", "1.dcm"]), listed=2, refused={"other-format": 5}
    ),
    "archives": Form(make=files(["1.zip", "1.tar.gz", "1.tar", "1.rar"]), listed=2, refused={"archive": 4}),
    "tables": Form(make=files(["x.parquet", "x.npy", "x.h5"]), listed=2, refused={"table": 3}),
    "other files": Form(
        make=files(["a.txt", "Thumbs.db", "b.jpg.txt", "c."]), listed=2, refused={"not-an-image-name": 4}
    ),
    "no suffix": Form(make=files(["README", "cat/n01440764_1"]), listed=2, refused={"no-suffix": 2}),
    "hidden": Form(
        make=files([".DS_Store", "cat/._1.png", ".png", ".thumbs/1.png", ".thumbs/2.png"]),
        listed=2,
        refused={"hidden": 3, "hidden-folder": 1},
    ),
    "only hidden": Form(
        make=files([".a/1.png", ".2.png"], beside={}), line="1 hidden file: rename .*; 1 hidden folder"
    ),
    "links": Form(make=links, listed=2, refused={"link-out-of-root": 2, "broken-link": 2, "link-loop": 1}),
    "only links out": Form(make=only_links, line="2 links that point outside the folder: copy there what it points to"),
    "odd entries": Form(make=odd_entries, listed=3, refused={"store": 1, "not-a-file": 1, "name-not-utf-8": 1}),
    "a linked root": Form(make=linked_root, listed=2),
    "hard links": Form(make=hard_links, listed=3),
    "empty files": Form(make=files(["cat/3.png", "cat/4.jpg"]), listed=4),
    "suffixes in capitals": Form(make=files(["cat/3.PNG", "cat/4.JpEg"]), listed=4),
    "odd names": Form(make=files(["cat/a\nb.png", "cat/' \".png", "cat/ü.png", "cat/%20#?.png", " /x.png"]), listed=7),
    "deep": Form(make=files(["/".join(["d"] * 60) + "/1.png"]), listed=3),
    "empty": Form(make=lambda root: root, line="no images in .*: it is empty; give a folder of images"),
    "only others": Form(
        make=files(["a.txt", "b.csv"], beside={}), line=r"2 files not named as images \(\.csv, \.txt\)"
    ),
    "nowhere": Form(make=lambda root: root / "nowhere", line="no such file or folder"),
    "an image": Form(make=lambda root: write_folder(root, PAIR) / "cat/1.png", line="of kind .png; give a folder"),
    "a column of a folder": Form(make=files([]), column="photo", line="--image-column photo names a column of Parquet"),
}

TARS = {
    "tar": Form(make=tar(("1.png", PNG), ("1.cls", b"7")), listed=1, labels=["7"]),
    "json floats": Form(make=tar(("1.png", PNG), ("1.json", b'{"label": 2.0}')), listed=1, labels=["2"]),
    "json fractions": Form(
        make=tar(("1.png", PNG), ("1.json", b'{"label": 0.5}')), listed=1, unlabelled={"label-not-whole": 1}
    ),
    "json lists": Form(
        make=tar(("1.png", PNG), ("1.json", b'{"cls": [1, 2]}')), listed=1, unlabelled={"label-of-other-type": 1}
    ),
    "json too deep": Form(
        make=tar(("1.png", PNG), ("1.json", b"[" * 60_000)), listed=1, unlabelled={"label-not-json": 1}
    ),
    "no json": Form(
        make=tar(("1.png", PNG), ("1.json", b"{'label': 3}"), ("2.png", PNG), ("2.json", b"")),
        listed=2,
        unlabelled={"label-not-json": 1, "no-label": 1},
    ),
    "labels not in utf-8": Form(
        make=tar(
            *(("1.png", PNG), ("1.cls", "Köln".encode("latin-1")), ("2.png", PNG), ("2.txt", b"\xff\xfe\xff")),
            *(("3.png", PNG), ("3.json", b'{"label": "\xe9"}'), ("4.png", PNG), ("4.cls", b"\x07" + bytes(7))),
        ),
        listed=4,
        unlabelled={"label-not-utf-8": 4},
    ),
    "a better label after a bad one": Form(
        make=tar(("1.cls", b"\xff"), ("1.txt", b"cat"), ("1.png", PNG)), listed=1, labels=["cat"]
    ),
    "labels of editors on windows": Form(
        make=tar(
            *(("1.png", PNG), ("1.cls", b"\xef\xbb\xbf7\r\n"), ("2.png", PNG), ("2.txt", "Köln".encode("utf-16"))),
            *(("3.png", PNG), ("3.json", b'\xef\xbb\xbf{"label": "a"}')),
        ),
        listed=3,
        labels=["7", "Köln", "a"],
    ),
    "a fraction, then a name": Form(
        make=tar(("1.json", b'{"label": 0.5}'), ("1.txt", b"cat"), ("1.png", PNG)), listed=1, labels=["cat"]
    ),
    "long labels": Form(make=tar(("1.png", PNG), ("1.cls", b"7" * 70_000)), listed=1, unlabelled={"label-too-long": 1}),
    "labels of nothing": Form(
        make=tar(("1.png", PNG), ("1.cls", b"1"), ("2.cls", b"1")), listed=1, refused={"label-of-no-image": 1}
    ),
    "heic in a tar": Form(
        make=tar(("1.png", PNG), ("1.cls", b"1"), ("2.heic", b"x"), ("2.cls", b"1")),
        listed=1,
        refused={"heif": 1},
        decoder=False,
    ),
    "other members": Form(
        make=tar(("a/1.png", PNG), ("a/1.npy", b""), ("a/.1.png", PNG), ("../2.png", PNG), ("a/1.png", PNG)),
        listed=1,
        refused={"table": 1, "hidden": 1, "outside": 1, "duplicate": 1},
        unlabelled={"no-label": 1},
    ),
    "links in a tar": Form(make=linking_tar, listed=1, refused={"link": 1, "device": 1}, unlabelled={"no-label": 1}),
    "a cut tar": Form(make=cut_tar, listed=1, refused={"cut-short": 1}, unlabelled={"no-label": 1}),
    "beside a tar": Form(
        make=tar(("1.png", PNG), ("1.cls", b"1"), beside={"a.txt": b"", "b.heic": b"", ".c": b"", "d.parquet": b""}),
        listed=1,
        refused={"not-an-image-name": 1, "heif": 1, "hidden": 1, "table": 1},
        decoder=False,
    ),
    "an empty tar": Form(make=tar(), line="no images in .*a.tar"),
    "two tars in one file": Form(make=joined_tars, listed=2, labels=["1", "2"]),
    "rubbish behind a tar": Form(make=tar_before(b"rubbish" * 200), listed=1, unlabelled={"no-label": 1}),
    "names in latin-1": Form(
        make=latin_tar, listed=1, refused={"name-not-utf-8": 1, "outside": 1}, unlabelled={"no-label": 1}
    ),
    "half a letter as label": Form(
        make=tar(("1.png", PNG), ("1.json", b'{"label": "\\ud800"}')), listed=1, unlabelled={"label-not-utf-8": 1}
    ),
    "a tar of text": Form(make=tar(("1.md", b""), ("2.md", b"")), line="no images in .*: 2 files not named as images"),
    "compressed": Form(make=lambda root: write_folder(root, {"a.tar.gz": b"x"}) / "a.tar.gz", line="is compressed"),
    "no tar": Form(
        make=lambda root: write_folder(root, {"a.tar": b"x" * 600}) / "a.tar", line="not an uncompressed tar"
    ),
    "a pipe": Form(make=lambda root: _pipe(root / "a.tar"), line="cannot list .*a.tar: .*it is no file"),
    "a missing tar": Form(make=lambda root: root / "{a,b}.tar", line="no file .*a.tar, which"),
}

TABLES = {
    "parquet": Form(
        make=parquet({"image": bytes_of(), "label": ["a", "b", None]}), listed=3, unlabelled={"no-label": 1}
    ),
    "floats": Form(
        make=parquet({"image": bytes_of(), "label": [None, 1.0, 2.0]}),
        listed=3,
        labels=[None, "1", "2"],
        unlabelled={"no-label": 1},
    ),
    "nan": Form(make=parquet({"image": bytes_of(), "label": [float("nan")] * 3}), listed=3, unlabelled=NO_LABEL),
    "fractions": Form(
        make=parquet({"image": bytes_of(), "label": [0.5, 1.0, float("inf")]}),
        listed=3,
        labels=[None, "1", None],
        unlabelled={"label-not-whole": 2},
    ),
    "decimals": Form(make=parquet({"image": bytes_of(1), "label": [Decimal("3.00")]}), listed=1, labels=["3"]),
    "booleans": Form(make=parquet({"image": bytes_of(2), "label": [True, False]}), listed=2, labels=["True", "False"]),
    "labels in bytes": Form(
        make=parquet({"image": bytes_of(), "label": [b"cat", b"\xff", b""]}),
        listed=3,
        labels=["cat", None, None],
        unlabelled={"label-not-utf-8": 1, "no-label": 1},
    ),
    "pointers beside": Form(
        make=lambda root: write_folder(
            tables(root), {"0001.parquet": POINTER, "0002.parquet": b"", "a/3.parquet": PAGE}
        ),
        listed=2,
        refused={"table": 1, "hidden": 1, "not-an-image-name": 1, "not-parquet": 3},
        unlabelled={"no-label": 2},
    ),
    "only pointers": Form(
        make=lambda root: write_folder(root, {"1.parquet": POINTER, "2.parquet": POINTER}),
        line="[12].parquet is not a Parquet file: it is a Git LFS pointer.*`git lfs pull`",
    ),
    "a cut file": Form(make=cut_parquet, line="cannot list .*x.parquet"),
    "a pipe": Form(make=lambda root: _pipe(root / "x.parquet"), line="x.parquet: .*it is no file"),
    "lists": Form(
        make=parquet({"image": bytes_of(), "label": [[1], [2], None]}),
        listed=3,
        unlabelled={"label-of-other-type": 2, "no-label": 1},
    ),
    "class labels": Form(
        make=by_class(pa.array([0, 1, -1])), listed=3, labels=["a", "b", None], unlabelled={"no-label": 1}
    ),
    "class labels in floats": Form(make=by_class(pa.array([0.0, 1.0])), listed=2, labels=["a", "b"]),
    "beyond the class names": Form(
        make=by_class(pa.array([0, 2])), listed=2, labels=["a", None], unlabelled={"label-out-of-range": 1}
    ),
    "large binary": Form(
        make=parquet({"image": pa.array([PNG], pa.large_binary())}), listed=1, unlabelled={"no-label": 1}
    ),
    "another column": Form(make=parquet({"photo": [PNG], "label": ["a"]}), column="photo", listed=1, labels=["a"]),
    "a column that is missing": Form(
        make=parquet({"photo": [PNG]}),
        column="img",
        line=r"--image-column img: .* has no such column, but photo \(binary\)",
    ),
    "a column of paths": Form(make=parquet({"photo": ["a/1.png"]}), column="photo", line=f"it is string; .*{PATHS}"),
    "paths": Form(make=parquet({"image": ["a/1.png"], "n": [1]}), line=rf"image \(string\), n \(int64\); .*{PATHS}"),
    "numbers": Form(make=parquet({"image": [1]}), line=r"has no column `image` of bytes, but has image \(int64\)"),
    "not chosen": Form(make=parquet({"photo": [PNG], "x": [1]}), line="--image-column photo reads that one"),
    "lists of numbers": Form(make=parquet({"image": [[1, 2]]}), line=r"image \(list<element: int64>\)"),
    "only paths in the struct": Form(
        make=parquet({"image": pa.array([{"bytes": None, "path": "a/1.png"}], bytes_of().type)}),
        line=f"no row of its column image has bytes; {PATHS}",
    ),
    "no bytes": Form(
        make=parquet({"image": pa.array([None, None], pa.binary())}), line="no row of its column image has bytes"
    ),
    "no rows": Form(make=parquet({"image": pa.array([], pa.binary())}), line="no images in"),
    "two columns of a name": Form(
        make=lambda root: _written(root, pa.Table.from_arrays([pa.array([PNG])] * 2, names=["image", "image"])),
        line="has 2 columns image; rename all but one",
    ),
    "no columns": Form(make=parquet({}), line="has no columns"),
    "a table beside": Form(
        make=tables, listed=2, refused={"table": 1, "hidden": 1, "not-an-image-name": 1}, unlabelled={"no-label": 2}
    ),
    "no parquet": Form(
        make=lambda root: write_folder(root, {"x.parquet": b"PAR1"}) / "x.parquet", line="cannot list .*x.parquet"
    ),
}

LABEL_TABLES = {
    "all": pair_with("key,label\ncat/1.png,a\ndog/2.png,b\n", labels=["a", "b"], keys={"keys": 2, "matched": 2}),
    "one in 501": pair_with(
        "key,label\ncat/1.png,a\n" + "".join(f"x/{i}.jpg,b\n" for i in range(500)),
        keys={"keys": 501, "matched": 1},
        labels=["a", "dog"],
    ),
    "none": pair_with(
        "key,label\nx/1.jpg,a\n",
        line="none of its 1 keys is the key of an image; its first is 'x/1.jpg'; an image's key is",
    ),
    "a header": pair_with("key,label\n", line="none of its 0 keys is the key of an image; an image's key is"),
    "nothing": pair_with("", line="is not a CSV file: it is empty; download or save it again"),
    "a blank line": pair_with("\n", line="needs the columns key and label, has none"),
    "other columns": pair_with("colour;label\na;b\n", line="needs the columns key and label, has colour, label"),
    "too many fields": pair_with("a,b\n1,2,3\n", line="needs the columns key and label, has a, b"),
    "a row without a label": pair_with("label,key\ncat\n", line="the row of 'cat' has no key"),
    "whole floats": pair_with(
        "key,label\ncat/1.png,3.0\ndog/2.png,10\n", labels=["3", "10"], keys={"keys": 2, "matched": 2}
    ),
    "fractions stay": pair_with(
        "key,label\ncat/1.png,3.0\ndog/2.png,0.5\n", labels=["3.0", "0.5"], keys={"keys": 2, "matched": 2}
    ),
    "long whole floats": pair_with(
        "key,label\ncat/1.png,9007199254740993.0\ndog/2.png,1\n",
        labels=["9007199254740993", "1"],
        keys={"keys": 2, "matched": 2},
    ),
    "two columns of labels": pair_with(
        "key,label,label\ncat/1.png,a,b\n", line="has 2 columns label; rename all but one"
    ),
    "a comma in a label": pair_with(
        "key,label\ncat/1.png,sedan, red\n", line="'cat/1.png' has more fields than the header; put what has a comma"
    ),
    "a quoted comma": pair_with(
        'key,label\ncat/1.png,"sedan, red"\n', labels=["sedan, red", "dog"], keys={"keys": 1, "matched": 1}
    ),
    "a blank label": pair_with(
        "key,label\ncat/1.png,  \ndog/2.png, b \n",
        labels=[None, "b"],
        unlabelled={"no-label": 1},
        keys={"keys": 2, "matched": 2},
    ),
    "an empty label": pair_with(
        "key,label\ncat/1.png,\ndog/2.png,b\n",
        labels=[None, "b"],
        unlabelled={"no-label": 1},
        keys={"keys": 2, "matched": 2},
    ),
    "the same row twice": pair_with(
        "key,label\ncat/1.png,a\ncat/1.png,a\n", labels=["a", "dog"], keys={"keys": 1, "matched": 1}
    ),
    "two labels": pair_with("key,label\ncat/1.png,a\ncat/1.png,b\n", line="'cat/1.png' has two labels, 'a' and 'b'"),
    "a long field": pair_with("key,label\n" + "x" * 200_000 + ",a\n", line="is not a CSV file: field larger"),
    "utf-16": pair_with(
        "key,label\ncat/1.png,a\n".encode("utf-16"), labels=["a", "dog"], keys={"keys": 1, "matched": 1}
    ),
    "latin-1": pair_with("key,label\ncat/1.png,ä\n".encode("latin-1"), line="is not UTF-8 text"),
    "not in the table": Form(
        make=files([], beside={"1.png": PNG, "2.png": PNG}),
        listed=2,
        table="key,label\n1.png,a\n",
        unlabelled={"not-in-table": 1},
        keys={"keys": 1, "matched": 1},
    ),
}

DISGUISES: dict[str, tuple[bytes, str]] = {
    "gzip": (gzip.compress(b"x" * 600), "compressed .gzip.; unpack it first"),
    "bzip2": (bz2.compress(b"x" * 600), "compressed .bzip2.; unpack it first"),
    "xz": (lzma.compress(b"x" * 600), "compressed .xz.; unpack it first"),
    "lzma": (lzma.compress(b"x" * 600, lzma.FORMAT_ALONE), "compressed .lzma.; unpack it first"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(40), "compressed .zstd.; unpack it first"),
    "zip": (b"PK\x03\x04" + bytes(40), "a zip archive; unpack it first"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(40), "a 7z archive; unpack it first"),
    "rar": (b"Rar!\x1a\x07\x01\0" + bytes(40), "a RAR archive; unpack it first"),
    "empty": (b"", "empty; download or save it again"),
    "zeros": (bytes(700), "nothing but zeros; download or save it again"),
    "page": (PAGE, "a web page: the address of the download gave a page; download the file itself"),
    "pointer": (POINTER, "a Git LFS pointer, not the file itself; `git lfs pull` fetches it"),
}
"""Files of another kind than their name says, and what they are."""


def _disguised(name: str, content: bytes, words: str) -> Form:
    """A file with another content than its name says: of images, or of labels."""
    if name.endswith(".csv"):
        return pair_with(content, line=f"is not a CSV file: it is {words}")
    if name == "x.zip" and "unpack" in words:
        words = "compressed, so its images can't be reached one by one; unpack it to .tar"
    return Form(make=lambda root: write_folder(root, {name: content}) / name, line=f"{name} is .*{words}")


DISGUISED = {
    f"{kind} named {name}": _disguised(name, content, words)
    for name in ("a.tar", "x.parquet", "x.zip", "x.csv")
    for kind, (content, words) in DISGUISES.items()
    if (name, kind) != ("a.tar", "zeros")  # an empty tar
} | {
    "a tar named x.parquet": Form(
        make=lambda root: write_tar(root / "x.parquet", [("1.png", PNG)]),
        line="x.parquet is not a Parquet file: it is a tar archive",
    ),
    "Parquet named a.tar": Form(
        make=lambda root: parquet({"image": [PNG]})(root).rename(root / "a.tar"),
        line="a.tar is not an uncompressed tar file: it is a Parquet file; give it its own suffix",
    ),
    "a tar that begins like another kind": Form(
        make=tar(("BZh.png", PNG), ("GGUF.png", PNG)), listed=2, unlabelled={"no-label": 2}
    ),
}

FORMS = FOLDERS | TARS | TABLES | DISGUISED | {f"labels: {name}": form for name, form in LABEL_TABLES.items()}


def entries(root: Path) -> int:
    """Count what is in a folder, by its own walk: hidden folders, stores and links count as one, others by what is in them."""
    count = 0
    for entry in os.scandir(root):
        plain = entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
        closed = (
            not plain
            or (Path(entry) / "actlas-store.json").exists()
            or not re.fullmatch(r"[^\udc80-\udcff]*", entry.name)
        )
        count += 1 if closed else entries(Path(entry.path))
    return count
