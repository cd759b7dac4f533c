"""A killed supervisor leaves no Redis behind."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.waiting import wait_for

pytestmark = pytest.mark.integration

PARENT = """
import sys, time
from pathlib import Path
from storage.redis_server import start_private_redis
folder = Path(sys.argv[1])
print(start_private_redis(folder, folder / "redis.log").pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
def test_the_private_redis_dies_with_a_killed_parent(tmp_path):
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        server = int(parent.stdout.readline())
        assert psutil.pid_exists(server)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        wait_for(lambda: not psutil.pid_exists(server) or psutil.Process(server).status() == psutil.STATUS_ZOMBIE)
