"""What the tests of the store share: no waiting for a disk, and a small store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import stores

from storage.store import verify
from storage.store.store import Store


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Write without syncing, and judge a fault again at once. Hooks still see each sync; only the medium doesn't."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(verify, "SETTLE", 0.0)
        yield


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Twelve small results, one with arrays and a table, one that no version names; three versions."""
    return stores.small(Store(tmp_path / "store"))
