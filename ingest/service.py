"""The ingest service: cameras -> spool -> sender, put together, and taken apart in the right order.

Start: sources (a wrong setting is refused before anything else begins), spool, sender, camera threads.
Stop: cameras, so that nothing new comes in; then the workers have `drain_s` to finish what is spooled; then the sender;
last the spool, which writes what is left to disk for the next start.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from pathlib import Path

import cv2
import zmq

from ingest.admission import Admission
from ingest.camera import Camera, OpenSource
from ingest.sender import Sender
from ingest.shots import Source
from ingest.sources import open_source
from ingest.spool import Spool
from ingest.watch import Watch
from inspection.endpoints import parse_endpoint, refuse_plain
from inspection.errors import ServiceError, SettingsError, SourceAwayError
from inspection.monitor import Monitor
from inspection.settings import CameraSettings, IngestSettings
from inspection.wakeup import Bell
from inspection.wire import MAX_NAME

log = logging.getLogger(__name__)

LOOK_S = 0.1  # between looks whether all is done
CAMERA_STOP_S = 5.0
MB = 1_000_000
PREFIX = "LOOMWATCH_INGEST_"


def run_ingest(settings: IngestSettings, stop: threading.Event, *, open_source: OpenSource = open_source) -> None:
    """Runs the cameras of `settings`. Returns when `stop` is set, or when all sources have ended and workers have done
    everything.

    Raises `SettingsError`, `SourceError` for a source that cannot be opened as it is set, `ServiceError` for an
    endpoint or a spool in use and when the sender fails.
    """
    if not settings.endpoint:
        raise SettingsError("no endpoint: set LOOMWATCH_INGEST_ENDPOINT to a ZeroMQ address such as ipc:///PATH")
    refuse_plain(
        parse_endpoint(settings.endpoint),
        keys=bool(settings.keys_dir),
        allow_plain_tcp=settings.allow_plain_tcp,
        prefix=PREFIX,
    )
    cv2.setNumThreads(1)  # a thread a camera is the rule here; OpenCV's own would wait busily for each other
    with contextlib.ExitStack() as stack:
        sources = [(camera, _open(camera, open_source, stack)) for camera in settings.cameras]
        bell = stack.enter_context(contextlib.closing(Bell()))
        spool = stack.enter_context(
            Spool(
                settings.spool_dir,
                memory_bytes=settings.spool_memory_mb * MB,
                disk_bytes=settings.spool_disk_mb * MB,
                bell=bell,
            )
        )
        if not settings.cameras and spool.empty:
            raise SettingsError("no cameras: set LOOMWATCH_INGEST_CAMERAS, or [[ingest.cameras]] in loomwatch.toml")
        context = stack.enter_context(zmq.Context[zmq.Socket[bytes]]())
        admission = None
        if settings.keys_dir:
            admission = stack.enter_context(Admission(context, Path(settings.keys_dir), settings.key))
        name = settings.name or f"{socket.gethostname()}-{os.getpid()}"
        watch = Watch(name[:MAX_NAME], line=settings.line, spool=spool, admission=admission)
        sender = stack.enter_context(
            Sender(
                context,
                settings.endpoint,
                spool,
                bell,
                lease_s=settings.lease_s,
                heartbeat_s=settings.heartbeat_s,
                tries=settings.tries,
                admission=admission,
                watch=watch,
            )
        )
        stack.enter_context(
            Monitor(
                "ingest",
                host=settings.monitor_host,
                port=settings.monitor_port,
                problems=watch.problems,
                collect=watch.collect,
            )
        )
        halt = threading.Event()
        cameras = [
            Camera(camera, source, settings=settings, spool=spool, stop=halt, open_source=open_source)
            for camera, source in sources
        ]
        for camera in cameras:
            watch.add(camera.tally)
            camera.start()
        try:
            while sender.alive and (any(camera.is_alive() for camera in cameras) or not spool.empty):
                if stop.wait(LOOK_S):
                    break
        finally:
            _stop(cameras, halt)
        _drain(sender, spool, settings.drain_s)
        if sender.error is not None:
            raise ServiceError(f"sending failed: {sender.error}") from sender.error


def _open(camera: CameraSettings, open_source: OpenSource, stack: contextlib.ExitStack) -> Source | None:
    """None for a camera that does not answer yet: it is waited for, while a wrong setting is refused."""
    try:
        return stack.enter_context(open_source(camera))
    except SourceAwayError as error:
        log.error("%s; waiting for it", error)
        return None


def _stop(cameras: list[Camera], halt: threading.Event) -> None:
    halt.set()
    for camera in cameras:
        camera.close()
    deadline = time.monotonic() + CAMERA_STOP_S
    for camera in cameras:
        camera.join(max(deadline - time.monotonic(), 0.0))
        if camera.is_alive():
            log.warning("%s did not stop in %g s and is left behind", camera.name, CAMERA_STOP_S)


def _drain(sender: Sender, spool: Spool, drain_s: float) -> None:
    """Without a worker nothing is waited for: the spool keeps it."""
    deadline = time.monotonic() + drain_s
    while not spool.empty and sender.alive and sender.workers and time.monotonic() < deadline:
        time.sleep(LOOK_S / 2)
