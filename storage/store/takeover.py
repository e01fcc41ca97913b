"""Store a result under another key as well, when the rule that makes keys has changed."""

from __future__ import annotations

import logging

from storage.store import disk
from storage.store.result_checks import check_read, check_result, faults
from storage.store.results import Result
from storage.store.store import Store

log = logging.getLogger(__name__)


def take_over(store: Store, stage: str, old: str, new: str) -> bool:
    """Store the result under `old` under `new` as well; return whether it was there, and intact. Raises CannotTell.

    Its files are linked: they take no room, and stay when one of the two is removed.
    """
    result = store.find(stage, old)
    if result is None:
        return False
    damages = faults(check_result(store.places, stage, old, {result.digest}))
    check_read(damages)
    if damages:
        log.warning("%s; it is computed again", damages[0])
        return False
    _link(store, result, new)
    return True


def _link(store: Store, result: Result, key: str) -> None:
    with store.draft(result.stage, key) as draft:
        for name in result.files:
            disk.make_folders((draft.path / name).parent)
            disk.link(result.path / name, draft.path / name)
        draft.note(**result.happened(), taken_over=result.key)
        draft.commit(result.counts)
