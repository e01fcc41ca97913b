"""One of several writers of one store. `python racing.py STORE WHO ROUNDS [unsafe]` prints what it did, as JSON.

In each round it commits a result of its own and one that all writers commit at the same time, and publishes both. Now and
then it collects garbage of any age, verifies the store and repairs it. It prints the versions that it `published`, and the
`alarms` that verify raised.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from storage.store import disk, publishing, verify
from storage.store.gc import gc
from storage.store.repair import repair
from storage.store.store import Store
from support import stores

OFTEN = 25
"""Rounds between two looks at the whole store."""


def overwrite(source: Path, target: Path) -> None:
    os.replace(source, target)
    source.write_bytes(b"")


def look_after(store: Store) -> list[str]:
    """Collect garbage, verify, and repair whatever verify says."""
    gc(store, older_than=0, wait=True)
    damages = verify.verify(store)
    repair(store, damages)
    return [str(damage) for damage in damages]


def main() -> None:
    root, who, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if sys.argv[4:] == ["unsafe"]:
        disk.link = overwrite
        publishing.locked = lambda path: nullcontext()  # type: ignore[attr-defined]
    store, published, alarms = Store(root), list[int](), list[str]()
    sys.stdin.read(1)
    for number in range(rounds):
        with store.writing():
            own = stores.commit(store, "own", who * rounds + number)
            shared = stores.commit(store, "shared", number)
            published.append(store.publish("run", stores.contents([own, shared], who=who, number=number)))
        if number % OFTEN == who:
            alarms += look_after(store)
    print(json.dumps({"published": published, "alarms": alarms}))


if __name__ == "__main__":
    main()
