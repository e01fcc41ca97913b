"""The versions of the libraries that compute, as they stand beside what they made."""

from __future__ import annotations

import functools
import importlib.metadata
import platform

NAMES = (
    *("actlas", "torch", "torchvision", "timm", "numpy", "scikit-learn", "umap-learn", "openTSNE", "faiss-cpu"),
    *("pyarrow", "zarr", "pillow", "pyvips-binary", "simplejpeg"),
)


@functools.cache
def versions() -> dict[str, str]:
    """Return the version of Python and of each library that is here, by name."""
    return {"python": platform.python_version()} | {name: found for name in NAMES if (found := _installed(name))}


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
