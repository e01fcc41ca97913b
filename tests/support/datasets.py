"""One small content as a folder, as tars and as Parquet."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.images import contract, sources

CONTENT = {f"{label}/{label}{i}.jpg": f"{label} {i}".encode() * (i + 1) for label in ("cat", "dog") for i in range(20)}


def write_folder(root: Path, content: dict[str, bytes]) -> Path:
    for key, data in content.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)
    return root


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], kind: int = tarfile.USTAR_FORMAT) -> Path:
    with tarfile.open(path, "w", format=kind) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_parquet(path: Path, content: dict[str, bytes], row_group_size: int = 7) -> Path:
    """Write as Hugging Face datasets does: a struct of bytes and path, and a ClassLabel."""
    names = sorted({key.split("/")[0] for key in content})
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
    table = pa.table(
        {
            "image": pa.array([{"bytes": data, "path": key} for key, data in content.items()]),
            "label": pa.array([names.index(key.split("/")[0]) for key in content], pa.int64()),
        },
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    pq.write_table(table, path, row_group_size=row_group_size)
    return path


def contents(source: contract.Source, rows: pa.Table) -> dict[str, bytes]:
    keys = rows["key"].to_pylist()
    found = {}
    for index, data in sources.read(source, rows):
        assert isinstance(data, bytes), data
        found[keys[index]] = data
    return found


def labels(table: pa.Table) -> dict[str, str | None]:
    return dict(zip(table["key"].to_pylist(), table["label"].to_pylist(), strict=True))
