"""Recognise a weights file by its first bytes, and name a file that holds something else."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from storage.errors import BadWeights

Kind = Literal["safetensors", "torch"]
HEAD = 512
"""Bytes that tell what a file is."""
LONGEST_HEADER = 100_000_000
"""Longest header of a safetensors file, as its library limits it."""

SIGNATURES: dict[bytes, str] = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; `git lfs pull` fetches it",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes them; convert it to a PyTorch state dict",
    b"\x93NUMPY": "a NumPy array; convert it to a PyTorch state dict",
    b"GGUF": "a GGUF file of a language model; convert it to a PyTorch state dict",
    b"\x1f\x8b": "compressed (gzip); unpack it first",
    b"BZh": "compressed (bzip2); unpack it first",
    b"\xfd7zXZ": "compressed (xz); unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed (zstd); unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
SUFFIXES = {
    ".onnx": "an ONNX graph",
    ".pb": "a TensorFlow graph",
    ".tflite": "a TensorFlow Lite graph",
    ".index": "the index of a TensorFlow checkpoint",
    ".msgpack": "weights of Flax",
    ".mlmodel": "a Core ML model",
}
_CONVERT = "convert it to a PyTorch state dict"


def recognise(path: Path) -> Kind:
    """Return the kind of a weights file, whatever its suffix. Raises BadWeights, naming what else the file is."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise BadWeights(f"weights {path}: cannot be read ({error.strerror})") from None
    if not size:
        raise BadWeights(f"weights {path}: is empty; download or save it again")
    if (other := _other_kind(path, head)) is not None:
        raise BadWeights(f"weights {path}: is {other}")
    if head.startswith(b"PK"):
        _check_archive(path)
        return "torch"
    if _is_safetensors(path, head, size):
        return "safetensors"
    if path.suffix == ".safetensors" and not head.startswith(b"\x80"):
        raise BadWeights(f"weights {path}: is not a safetensors file, despite its name; download or save it again")
    return "torch"


def _other_kind(path: Path, head: bytes) -> str | None:
    known = next((kind for signature, kind in SIGNATURES.items() if head.startswith(signature)), None)
    if known is not None:
        return known
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    if path.suffix in SUFFIXES:
        return f"{SUFFIXES[path.suffix]}; {_CONVERT}"
    return _text_kind(head)


def _text_kind(head: bytes) -> str | None:
    """Name a file of text; None for one that is none."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return "a web page, not weights: the address of the download gave a page; download the file itself"
    if (head == bytes(len(head))) and head:
        return "nothing but zeros; download or save it again"
    if head and all(char in b"\t\n\r" or 32 <= char < 127 for char in head) and not text.startswith((b"{", b"[")):
        return "plain text, not weights; download the file itself"
    if b"\0" in head or not text.startswith((b"{", b"[")):
        return None
    if b"weight_map" in head or b"total_size" in head:
        return "the index of weights in several files; save them as one"
    return "JSON text, not weights"


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
