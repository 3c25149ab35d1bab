"""Workers do the work in order, and end with the process that started them."""

import os
import subprocess
import sys
from functools import partial

import pytest

from glamm.process_pool import worker_pool
from tests.builders.processes import children_of, is_running, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

RUN_POOL = """
import os, pathlib, sys, time
from glamm.process_pool import worker_pool

def work(path):
    pathlib.Path(path).with_suffix(f".{os.getpid()}").touch()
    time.sleep(600)

if __name__ == "__main__":
    with worker_pool(2) as run:
        list(run(work, [sys.argv[1]] * 2))
"""


def test_workers_end_when_the_parent_is_killed(start_parent, tmp_path):
    (tmp_path / "run_pool.py").write_text(RUN_POOL)
    parent = start_parent(tmp_path / "run_pool.py", tmp_path / "worker.pid")
    wait_until(lambda: len(list(tmp_path.glob("worker.*"))) == 2)
    family = children_of(parent)

    parent.kill()

    wait_until(lambda: not any(map(is_running, family)))


@pytest.mark.parametrize("workers", [1, 2, 3], ids="workers-{}".format)
def test_results_come_in_the_order_of_the_items(workers):
    with worker_pool(workers) as run:
        assert list(run(abs, range(-20, 0))) == list(range(20, 0, -1))


@pytest.mark.parametrize("workers", [1, 2], ids="workers-{}".format)
def test_few_items_are_under_way_at_a_time(workers):
    num_taken = 0

    def items():
        nonlocal num_taken
        for item in range(50):
            num_taken += 1
            yield item

    with worker_pool(workers) as run:
        ahead = [num_taken - num_results for num_results, _ in enumerate(run(abs, items()))]

    assert max(ahead) <= workers + 2


@pytest.mark.parametrize("workers", [1, 2], ids="workers-{}".format)
def test_error_of_an_item_is_raised_at_its_result(workers):
    with worker_pool(workers) as run:
        results = run(partial(divmod, 12), [3, 4, 0, 2, 1])

        assert [next(results), next(results)] == [(4, 0), (3, 0)]
        with pytest.raises(ZeroDivisionError, match="zero"):
            next(results)


def test_initializer_runs_in_every_worker():
    with worker_pool(2, initializer=partial(os.putenv, "GLAMM_TEST_WORKER", "1")) as run:
        command = [sys.executable, "-c", "import os; os._exit('GLAMM_TEST_WORKER' in os.environ)"]
        assert list(run(subprocess.call, [command] * 4)) == [1] * 4
