import asyncio
import threading

import pytest

from glamm.errors import BusyError
from glamm.serving.worker_pool import AnsweringThreads


def test_full_queue_is_busy_and_recovers():
    async def scenario() -> None:
        thread, gate = AnsweringThreads(max_running=1, max_waiting=2), threading.Event()
        running = [asyncio.ensure_future(thread.run(gate.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="2 questions are waiting"):
            await thread.run(gate.wait)
        gate.set()
        assert await asyncio.gather(*running) == [True] * 3
        assert await thread.run(lambda: "free") == "free"
        thread.shutdown()

    asyncio.run(scenario())


def test_work_runs_one_at_a_time_in_the_order_it_came():
    order: list[int] = []
    inside = threading.Semaphore(1)

    def work(index: int) -> None:
        assert inside.acquire(blocking=False)
        order.append(index)
        inside.release()

    async def scenario() -> None:
        thread = AnsweringThreads(max_running=1, max_waiting=50)
        await asyncio.gather(*(thread.run(lambda index=index: work(index)) for index in range(20)))
        thread.shutdown()

    asyncio.run(scenario())
    assert order == list(range(20))


def test_who_leaves_the_queue_costs_no_turn():
    ran: list[str] = []

    async def scenario() -> None:
        thread, gate = AnsweringThreads(max_running=1, max_waiting=1), threading.Event()
        first = asyncio.ensure_future(thread.run(gate.wait))
        left = asyncio.ensure_future(thread.run(lambda: ran.append("left")))
        await asyncio.sleep(0.01)
        left.cancel()
        await asyncio.sleep(0.01)
        stays = asyncio.ensure_future(thread.run(lambda: ran.append("stays")))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, stays)
        thread.shutdown()

    asyncio.run(scenario())
    assert ran == ["stays"]


def test_failure_of_work_reaches_the_asker_and_frees_the_place():
    async def scenario() -> None:
        thread = AnsweringThreads(max_running=1, max_waiting=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await thread.run(lambda: 1 / 0)
        thread.shutdown()

    asyncio.run(scenario())
