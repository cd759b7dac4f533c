"""Waiting for what other threads and processes do, with a deadline instead of a guess."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], *, seconds: float = 120.0) -> None:
    """Returns when the condition holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
