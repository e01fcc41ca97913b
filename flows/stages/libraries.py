"""The libraries that compute: which enter the key of which stage, which are only recorded beside what they made.

Another version of a library in a key may give other bytes, so results are filed under it, and a worker must have it.
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform

DECODERS = ("pillow", "simplejpeg", "pyvips-binary")
"""What turns files into pixels."""

KEYED = {
    "images": DECODERS,
    "collect": ("torch", *DECODERS),
    "field": ("torch", *DECODERS),
    "moment": ("numpy",),
    "layout umap": ("umap-learn", "faiss-cpu", "numba", "numpy", "scikit-learn"),
    "layout tsne": ("openTSNE", "faiss-cpu", "numpy", "scikit-learn"),
    "layout pca": ("numpy", "scikit-learn"),
    "icons": ("torch",),
    "tiles": ("pyvips-binary", "pillow"),
    "attribution": ("torch", "pillow", "simplejpeg"),
    "influence": ("torch", "pillow", "simplejpeg"),
    "gradients": ("torch", "pillow", "simplejpeg"),
    "gallery": ("torch",),
}
"""By stage, and for the layout by its method."""

RECORDED = ("actlas", "torchvision", "timm", "pyarrow", "zarr")
"""Libraries that enter no key."""

IN_KEYS = tuple(dict.fromkeys(name for names in KEYED.values() for name in names))
"""Libraries of some key: a worker has the same versions, or computes nothing."""


def of_key(stage: str) -> dict[str, str]:
    """Return the versions of the libraries that enter a stage's key, as the key names them."""
    return {f"lib {name}": importlib.metadata.version(name) for name in KEYED[stage]}


@functools.cache
def versions() -> dict[str, str]:
    """Return the version of Python and of each library that is here, by name."""
    names = (*RECORDED, *IN_KEYS)
    return {"python": platform.python_version()} | {name: found for name in names if (found := _installed(name))}


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
