"""Recognise a weights file by its first bytes, and name a file that holds something else."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from storage import file_kinds
from storage.errors import BadWeights

Kind = Literal["safetensors", "torch"]
LONGEST_HEADER = 100_000_000
"""Longest header of a safetensors file, as its library limits it."""

SUFFIXES = {
    ".onnx": "an ONNX graph",
    ".pb": "a TensorFlow graph",
    ".tflite": "a TensorFlow Lite graph",
    ".index": "the index of a TensorFlow checkpoint",
    ".msgpack": "weights of Flax",
    ".mlmodel": "a Core ML model",
}
_CONVERT = "convert it to a PyTorch state dict"
_WITHOUT_WEIGHTS = (
    "plain text",
    "a picture",
    "a PDF document",
    "a document of Office",
    "a Parquet file",
    "an Arrow file",
)
"""Kinds of files that hold no weights."""


def recognise(path: Path) -> Kind:
    """Return the kind of a weights file, whatever its suffix. Raises BadWeights, naming what else the file is."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(file_kinds.HEAD)
    except OSError as error:
        raise BadWeights(f"weights {path}: cannot be read ({error.strerror})") from None
    if head.startswith(b"PK"):
        _check_archive(path)
        return "torch"
    if _is_safetensors(path, head, size):  # first, as the length that it begins with may be any bytes
        return "safetensors"
    if (other := _other_kind(path, head)) is not None:
        raise BadWeights(f"weights {path}: {other}")
    if path.suffix == ".safetensors" and not head.startswith(b"\x80"):
        raise BadWeights(f"weights {path}: is not a safetensors file, despite its name; download or save it again")
    return "torch"


def _other_kind(path: Path, head: bytes) -> str | None:
    kind = file_kinds.kind_of(head)
    if path.suffix in SUFFIXES and kind in (None, file_kinds.TEXT):
        return f"is {SUFFIXES[path.suffix]}; {_CONVERT}"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"\0" not in head and text.startswith((b"{", b"[")):
        return _json_kind(head)
    if kind is None:
        return None
    if kind.words in _WITHOUT_WEIGHTS:
        return f"is {kind.words}, not weights; download the file itself"
    return file_kinds.described(kind, _CONVERT)


def _json_kind(head: bytes) -> str:
    if b"weight_map" in head or b"total_size" in head:
        return "is the index of weights in several files; save them as one"
    return "is JSON text, not weights"


def _is_safetensors(path: Path, head: bytes, size: int) -> bool:
    """Tell a safetensors file by its header. Raises BadWeights where it is cut short."""
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or not 0 < length <= LONGEST_HEADER:
        return False
    if 8 + length > size:
        raise cut_short(path)
    return True


def _check_archive(path: Path) -> None:
    """Raise BadWeights for a zip archive that torch.save has not written, or not whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        raise cut_short(path) from None
    inner = {name.partition("/")[2] or name for name in names}
    if "data.pkl" not in inner:
        kind = "a NumPy archive" if names and all(name.endswith(".npy") for name in names) else "a zip archive"
        listed = ", ".join(names[:3]) or "nothing"
        raise BadWeights(f"weights {path}: is {kind} without PyTorch weights (it holds {listed}); {_CONVERT}")
    if "constants.pkl" in inner:
        raise BadWeights(
            f"weights {path}: is a TorchScript program, not a state dict; save its state_dict(), or load it in a factory"
        )


def cut_short(path: Path) -> BadWeights:
    """Return the error for a file that ends too early."""
    return BadWeights(f"weights {path}: is cut short (truncated); download or save it again")
