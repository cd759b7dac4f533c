"""A real worker with a constant score that misbehaves over one frame: KIND SEQUENCE ONCE_FILE.

KIND is die (the process kills itself in the middle of the frame), hang (it never comes back), or raise. With a file it
happens once, ever; with "" each time. Everything else is `loomwatch worker`, from the environment.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from inference_worker import worker as module
from inspection.errors import LoomwatchError
from inspection.logs import start_logging
from inspection.settings import StoreSettings, WorkerSettings, load
from loomwatch.stopping import stop_on_signal
from loomwatch.supervisor import watch_parent

KIND, SEQUENCE, ONCE = sys.argv[1], int(sys.argv[2]), sys.argv[3]
score_frame = module.score_frame


def misbehave(scorer, tiled, **options):
    if tiled.header.sequence == SEQUENCE and not (ONCE and Path(ONCE).exists()):
        if ONCE:
            Path(ONCE).touch()
        if KIND == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif KIND == "hang":
            threading.Event().wait()
        else:
            raise RuntimeError("a frame nobody was prepared for")
    return score_frame(scorer, tiled, **options)


module.score_frame = misbehave
start_logging("worker", level="info", file=None)
with stop_on_signal() as stop:
    watch_parent(stop)
    try:
        module.Worker(load(StoreSettings), load(WorkerSettings), stop).run()
    except LoomwatchError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
