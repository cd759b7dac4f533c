"""Garbage collection in the dashboard's server. Streamlit runs a full one after every drawing of a page or of a part of
one, over all that the process ever loaded, which takes several times as long as the drawing.

So what has lasted is set aside (`gc.freeze`), and Streamlit's collections look at what came since. Every `EVERY_S`
nothing is set aside for one true collection: what has become garbage meanwhile, ended sessions for one, goes then, and
the memory that it leaves is given back to the machine, which glibc keeps where anything younger lies above it.
"""

import ctypes
import gc
import threading
import time

EVERY_S = 120.0  # each takes a third of a second

give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc only


def set_aside() -> None:
    """A true collection; what is left of it is then set aside."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    if give_back is not None:
        give_back(0)


def keep_setting_aside() -> None:
    """At once, and from then on in a thread of its own."""
    set_aside()

    def run() -> None:
        while True:
            time.sleep(EVERY_S)
            set_aside()

    threading.Thread(target=run, name="collection", daemon=True).start()
