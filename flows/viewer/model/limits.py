"""Limits on uploaded images."""

from __future__ import annotations

LARGEST = 16 << 20
"""Bytes of a picture that is sent."""

TOO_LARGE = f"the picture has more than {LARGEST >> 20} MiB; send a smaller one"
READ_AT_ONCE = 8
"""Pictures that may be on their way at once: more would be more memory than the model's."""

PIXELS_MOST = 40_000_000
ARRIVES = 30.0
"""Seconds in which it must have arrived."""
