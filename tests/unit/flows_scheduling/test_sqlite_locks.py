"""Transactions of Prefect's server that read and then write wait for each other, where SQLite would refuse the second."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy
from prefect.server.database.configurations import AioSqliteConfiguration

from flows.scheduling import sqlite_locks


async def counted(path: Path) -> int:
    """Count to two by two transactions at once, each of which reads the number before it writes."""
    database = AioSqliteConfiguration(connection_url=f"sqlite+aiosqlite:///{path}")
    engine = await database.engine()
    async with engine.begin() as connection:
        await connection.execute(sqlalchemy.text("create table numbers (n integer)"))
        await connection.execute(sqlalchemy.text("insert into numbers values (0)"))
    both_have_read = asyncio.Event()

    async def add(waits: bool) -> None:
        session = await database.session(engine)
        async with session, database.begin_transaction(session):
            number = (await session.execute(sqlalchemy.text("select n from numbers"))).scalar_one()
            if waits:
                await asyncio.wait_for(both_have_read.wait(), 0.2) if not both_have_read.is_set() else None
            both_have_read.set()
            await session.execute(sqlalchemy.text(f"update numbers set n = {number + 1}"))

    async def first() -> None:
        try:
            await add(waits=True)
        except TimeoutError:  # the other one cannot read before this one ends
            await add(waits=False)

    await asyncio.gather(first(), add(waits=False))
    async with engine.connect() as connection:
        return int((await connection.execute(sqlalchemy.text("select n from numbers"))).scalar_one())


def test_transactions_wait_for_each_other(tmp_path: Path) -> None:
    with sqlite_locks.taken_at_once():
        assert asyncio.run(counted(tmp_path / "p.db")) == 2


def test_mutant_transactions_as_prefect_begins_them(tmp_path: Path) -> None:
    with pytest.raises(sqlalchemy.exc.OperationalError, match="database is locked"):
        asyncio.run(counted(tmp_path / "p.db"))
