"""The combination that a resolver breaks silently.

Prefect 3.8.8's server does not start with a FastAPI of 0.151 or newer, and a CPU build of torch beside the registry's
torchvision takes lightning and segment_anything with it. `pip check` is clean both ways: only doing it shows it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BOOT = """
import socket, threading, time, urllib.request

import lightning, segment_anything, torchvision
import uvicorn
from prefect.server.api.server import create_app

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
server = uvicorn.Server(uvicorn.Config(create_app(), host="127.0.0.1", port=port, log_level="warning"))
thread = threading.Thread(target=server.run)
thread.start()
while not server.started and thread.is_alive():
    time.sleep(0.1)
with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health") as reply:
    assert reply.read() == b"true"
assert torchvision.ops.nms and segment_anything.sam_model_registry and lightning.Trainer
server.should_exit = True
thread.join()
"""


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_prefect_server_boots_beside_lightning_and_segment_anything(tmp_path: Path):
    environment = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_PLUGINS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }

    done = subprocess.run(
        [sys.executable, "-c", BOOT],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
