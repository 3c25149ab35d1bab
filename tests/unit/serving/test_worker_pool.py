import asyncio
import threading

import pytest

from glamm.errors import BusyError
from glamm.serving.worker_pool import WorkerPool


def test_full_queue_is_busy_and_recovers():
    async def scenario() -> None:
        pool, gate = WorkerPool(max_running=1, max_waiting=2), threading.Event()
        running = [asyncio.ensure_future(pool.run(gate.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="2 questions are waiting"):
            await pool.run(gate.wait)
        gate.set()
        assert await asyncio.gather(*running) == [True] * 3
        assert await pool.run(lambda: "free") == "free"
        pool.shutdown()

    asyncio.run(scenario())


def test_calls_run_one_at_a_time_in_their_order():
    order: list[int] = []
    inside = threading.Semaphore(1)

    def work(index: int) -> None:
        assert inside.acquire(blocking=False)
        order.append(index)
        inside.release()

    async def scenario() -> None:
        pool = WorkerPool(max_running=1, max_waiting=50)
        await asyncio.gather(*(pool.run(lambda index=index: work(index)) for index in range(20)))
        pool.shutdown()

    asyncio.run(scenario())
    assert order == list(range(20))


def test_call_that_is_canceled_while_waiting_never_runs():
    ran: list[str] = []

    async def scenario() -> None:
        pool, gate = WorkerPool(max_running=1, max_waiting=1), threading.Event()
        first = asyncio.ensure_future(pool.run(gate.wait))
        canceled = asyncio.ensure_future(pool.run(lambda: ran.append("canceled")))
        await asyncio.sleep(0.01)
        canceled.cancel()
        await asyncio.sleep(0.01)
        waits = asyncio.ensure_future(pool.run(lambda: ran.append("waits")))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, waits)
        pool.shutdown()

    asyncio.run(scenario())
    assert ran == ["waits"]


def test_error_reaches_the_caller_and_frees_the_slot():
    async def scenario() -> None:
        pool = WorkerPool(max_running=1, max_waiting=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError, match="zero"):
                await pool.run(lambda: 1 / 0)
        pool.shutdown()

    asyncio.run(scenario())
