"""How encoders are named; checked before torch is loaded."""

from __future__ import annotations

from storage.errors import UsageError

DINO, CONSE, OPEN_CLIP, TRANSFORMERS = "dino", "conse", "open_clip", "transformers"
DEFAULT = DINO
FORMS = f"{DINO}, {CONSE}, {OPEN_CLIP}:NAME or {TRANSFORMERS}:NAME"


def check(name: str) -> str:
    """Return the name of an encoder. Raises UsageError for one of another form."""
    kind, _, rest = name.partition(":")
    if name not in (DINO, CONSE) and not (kind in (OPEN_CLIP, TRANSFORMERS) and rest):
        raise UsageError(f"encoder {name!r}: write {FORMS}")
    return name
