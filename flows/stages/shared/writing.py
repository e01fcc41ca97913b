"""Write stage results: one draft per result, committed as a whole."""

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
    """One result being written. `counts` goes into the manifest, `happened` beside it, where no comparison sees it.

    Files named in `twice` are stored with a copy to repair them from.
    """

    def __init__(self, output: Output, path: Path) -> None:
        self.output, self.path = output, path
        self.counts: dict[str, int] = {}
        self.twice: tuple[str, ...] = ()
        self.happened: dict[str, Any] = {}
        self.outcome: Outcome | None = None

    def json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file of the result."""
        (self.path / name).write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


@contextmanager
def drafting(store: Store, output: Output) -> Iterator[ResultDraft]:
    """Open a draft of `output`; commit it and set its outcome if the block ends well."""
    with store.draft(output.stage, output.key) as store_draft:
        draft = ResultDraft(output, store_draft.path)
        yield draft
        store_draft.note(
            written=time.time(),
            host=platform.node(),
            cores=os.cpu_count(),
            libraries=libraries.versions(),
            **draft.happened,
        )
        result = store_draft.commit(draft.counts, draft.twice)
    draft.outcome = Outcome(output=output, manifest=result.digest, computed=True)


def outcome(draft: ResultDraft) -> Outcome:
    """Return the outcome of a committed draft."""
    if draft.outcome is None:
        raise RuntimeError(f"{draft.output.title} was not committed")
    return draft.outcome
