"""Functions of an embedding program: coroutine functions and ordinary ones."""

from __future__ import annotations

import functools
import threading

import pytest

from tusfleet.gateway.callables import asynchronous

pytestmark = pytest.mark.anyio


async def test_a_coroutine_function_runs_on_the_loop() -> None:
    async def double(number: int) -> tuple[int, int]:
        return number * 2, threading.get_ident()

    assert await asynchronous(double)(4) == (8, threading.get_ident())


async def test_an_ordinary_function_runs_in_a_thread() -> None:
    def double(number: int) -> tuple[int, int]:
        return number * 2, threading.get_ident()

    result, thread = await asynchronous(double)(4)
    assert result == 8
    assert thread != threading.get_ident()


async def test_an_object_with_an_asynchronous_call_runs_on_the_loop() -> None:
    class Doubler:
        async def __call__(self, number: int) -> tuple[int, int]:
            return number * 2, threading.get_ident()

    assert await asynchronous(Doubler())(4) == (8, threading.get_ident())


async def test_a_lambda_around_a_coroutine_function_is_awaited() -> None:
    async def times(factor: int, number: int) -> int:
        return factor * number

    assert await asynchronous(lambda number: times(2, number))(4) == 8
    assert await asynchronous(functools.partial(times, 3))(4) == 12


async def test_what_it_raises_comes_out() -> None:
    def refuse(number: int) -> int:
        raise PermissionError(number)

    with pytest.raises(PermissionError):
        await asynchronous(refuse)(4)
