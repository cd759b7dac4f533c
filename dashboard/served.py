"""Streamlit's own process: Streamlit's command line, which ends when the service that started it is gone, and which
gives way to the line's work where processors are short.

usage: python -m dashboard.served PARENT_PID ARGUMENTS...
"""

import os
import signal
import sys
import threading
import time

from streamlit.web import cli

NICENESS = 10
LOOK_S = 0.25
PATIENCE_S = 5.0


def end_with(parent: int) -> None:
    """Ends this process in order, or after a while at once, when its parent is no longer `parent`."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE_S)
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    os.nice(NICENESS)
    sys.argv = ["streamlit", *sys.argv[2:]]
    cli.main()
