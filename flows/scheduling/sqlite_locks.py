"""Let transactions of the server wait for each other in SQLite.

Prefect begins most of them as readers. One that has read cannot write once another has written, and no time-out helps:
SQLite refuses it at once, and each refusal is a traceback of 100 lines in the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from prefect.server.database.configurations import AioSqliteConfiguration


@contextmanager
def taken_at_once() -> Iterator[None]:
    """Take the lock for writing when a transaction begins, in this process; it waits for that as long as Prefect's time-out."""
    original = AioSqliteConfiguration.begin_transaction

    @asynccontextmanager
    async def begin(self: Any, session: Any, with_for_update: bool = False) -> AsyncIterator[Any]:
        async with original(self, session, with_for_update=True) as transaction:
            yield transaction

    AioSqliteConfiguration.begin_transaction = begin  # type: ignore[method-assign]
    try:
        yield
    finally:
        AioSqliteConfiguration.begin_transaction = original  # type: ignore[method-assign]
