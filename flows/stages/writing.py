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

from flows.planning import libraries
from flows.planning.tasks import Outcome, Output
from storage.store.store import Store


class ResultDraft:
    """One result being written. `counts` goes into the manifest, `happened` beside it, outside all comparisons.

    Files named in `twice` are kept with a copy, to be mended from.
    """

    def __init__(self, output: Output, path: Path) -> None:
        self.output, self.path = output, path
        self.counts: dict[str, int] = {}
        self.twice: tuple[str, ...] = ()
        self.happened: dict[str, Any] = {}
        self.outcome: Outcome | None = None

    def json(self, name: str, value: Mapping[str, Any]) -> None:
        (self.path / name).write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


@contextmanager
def drafting(store: Store, output: Output) -> Iterator[ResultDraft]:
    """Open a draft for `make` and commit it if the block ends well; the outcome is then set."""
    with store.draft(output.stage, output.key) as draft:
        page = ResultDraft(output, draft.path)
        yield page
        draft.note(
            written=time.time(),
            host=platform.node(),
            cores=os.cpu_count(),
            libraries=libraries.versions(),
            **page.happened,
        )
        result = draft.commit(page.counts, page.twice)
    page.outcome = Outcome(output=output, manifest=result.digest, computed=True)


def outcome(page: ResultDraft) -> Outcome:
    """Return the outcome of a committed page."""
    if page.outcome is None:
        raise RuntimeError(f"{page.output.title} was not committed")
    return page.outcome
