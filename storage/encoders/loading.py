"""Load an encoder by its name."""

from __future__ import annotations

import functools

from storage.encoders import names
from storage.encoders.contract import Encoder


@functools.lru_cache(maxsize=1)
def load(name: str) -> Encoder:
    """Load an encoder. Raises UsageError or BadWeights, in one line that says how to get what is missing."""
    kind, _, rest = names.check(name).partition(":")
    if kind == names.DINO:
        from storage.encoders.dino import Dino

        return Dino()
    if kind == names.CONSE:
        from storage.encoders.conse import ConSE

        return ConSE()
    from storage.encoders import pretrained

    return pretrained.open_clip(rest) if kind == names.OPEN_CLIP else pretrained.transformers(rest)
