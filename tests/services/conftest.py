"""A folder that the processes of containers may write to, and what has to be installed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.compose import program


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder outside /tmp, which confined processes have one of their own of."""
    folder = Path(tempfile.mkdtemp(prefix="actlas-services-", dir="/var/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def redis() -> str:
    found = program("redis-server")
    if found is None:
        pytest.skip("Redis is not installed: apt-get install redis-server")
    return found
