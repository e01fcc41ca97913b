"""One of several writers of one store. `python racing.py STORE WHO ROUNDS [unsafe]` prints the versions it published.

In each round it commits a result of its own and one that all writers commit at the same time, and publishes both.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from storage.errors import Locked
from storage.store import disk, publishing
from storage.store.gc import gc
from storage.store.store import Store
from support import stores


def overwrite(source: Path, target: Path) -> None:
    os.replace(source, target)
    source.write_bytes(b"")


def main() -> None:
    root, who, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if sys.argv[4:] == ["unsafe"]:
        disk.link = overwrite
        publishing.locked = lambda path: nullcontext()  # type: ignore[attr-defined]
    store, published = Store(root), []
    sys.stdin.read(1)
    for number in range(rounds):
        own = stores.commit(store, "own", who * rounds + number)
        shared = stores.commit(store, "shared", number)
        published.append(store.publish("run", stores.contents([own, shared], who=who, number=number)))
        try:
            gc(store, older_than=3600)
        except Locked:
            continue
    print(json.dumps(published))


if __name__ == "__main__":
    main()
