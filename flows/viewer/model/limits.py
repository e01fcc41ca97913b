"""Limits on uploaded images."""

from __future__ import annotations

LARGEST = 16 << 20
"""Bytes of an uploaded picture, at most."""

TOO_LARGE = f"the picture has more than {LARGEST >> 20} MiB; send a smaller one"
READ_AT_ONCE = 8
"""Uploads in progress at once; more would take more memory than the model does."""

PIXELS_MOST = 40_000_000
ARRIVES = 30.0
"""Seconds within which an upload must arrive."""
