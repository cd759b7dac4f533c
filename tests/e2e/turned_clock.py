"""A service of loomwatch whose clock goes an hour back as soon as a file is there: FILE SERVICE."""

import datetime as datetime_module
import sys
import time
from pathlib import Path

TURNED, SERVICE = Path(sys.argv[1]), sys.argv[2]
HOUR_NS = 3600 * 10**9
time_ns = time.time_ns


def turned_ns() -> int:
    return time_ns() - (HOUR_NS if TURNED.exists() else 0)


class Turned(datetime_module.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime_module.datetime.fromtimestamp(turned_ns() / 1e9, tz=tz)


time.time_ns = turned_ns
time.time = lambda: turned_ns() / 1e9

from ingest import camera  # noqa: E402  after the clock
from storage import frames  # noqa: E402

camera.datetime = Turned
frames.datetime = Turned

from loomwatch.cli import run  # noqa: E402

sys.exit(run([SERVICE]))
