"""Whose code raised an exception: a user's, ours, or what stops a process or a task from outside."""

from __future__ import annotations

import asyncio

import pytest
from prefect.exceptions import TerminationSignal

from storage.models import user_code


class OfTheUser(BaseException):
    """No `Exception`, as a user's code may have it."""


@pytest.mark.parametrize(
    ("error", "is_the_users"),
    [
        (ValueError("x"), True),
        (SystemExit(3), True),
        (OfTheUser(), True),
        (BaseException("x"), True),
        (KeyboardInterrupt(), False),
        (asyncio.CancelledError(), False),
        (GeneratorExit(), False),
        (TerminationSignal(15), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_stops_a_task_is_no_fault_of_the_code_that_it_stops(error: BaseException, is_the_users: bool) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011, each of them
        raise error  # here, in a file that is none of ours
    assert (user_code.place(caught.value) is not None) == is_the_users
