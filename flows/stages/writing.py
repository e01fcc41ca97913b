"""How a stage writes: one draft per result, committed as a whole."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.stages import libraries
from flows.stages.tasks import Make, Outcome
from storage.store.store import Store


class Writing:
    """One result being written. `counts` goes into the manifest, `happened` beside it, outside all comparisons.

    Files named in `twice` are kept with a copy, to be mended from.
    """

    def __init__(self, make: Make, path: Path) -> None:
        self.make, self.path = make, path
        self.counts: dict[str, int] = {}
        self.twice: tuple[str, ...] = ()
        self.happened: dict[str, Any] = {}
        self.outcome: Outcome | None = None

    def json(self, name: str, value: Mapping[str, Any]) -> None:
        (self.path / name).write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


@contextmanager
def writing(store: Store, make: Make) -> Iterator[Writing]:
    """Open a draft for `make` and commit it if the block ends well; the outcome is then set."""
    with store.draft(make.stage, make.key) as draft:
        page = Writing(make, draft.path)
        yield page
        draft.note(
            written=time.time(),
            host=platform.node(),
            cores=os.cpu_count(),
            libraries=libraries.versions(),
            **page.happened,
        )
        result = draft.commit(page.counts, page.twice)
    page.outcome = Outcome(make=make, manifest=result.digest, computed=True)


def outcome(page: Writing) -> Outcome:
    """Return the outcome of a committed page."""
    if page.outcome is None:
        raise RuntimeError(f"{page.make.title} was not committed")
    return page.outcome
