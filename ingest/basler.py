"""Basler cameras through pylon (extra `basler`): `basler://SERIAL`, `basler://USER-DEFINED-NAME`, or `basler://` for
the only one. With PYLON_CAMEMU=N in the environment pylon emulates N cameras, 0815-0000 and so on.

A frame lies in pylon's own buffer while it is cut into tiles, and goes back to the camera after that: one copy.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from ingest.features import Chunks, Value, exposure_and_gain, reason, set_features
from ingest.live_source import LiveSource, check_pixel_format
from ingest.pixel_formats import to_pixels
from ingest.shots import Shot
from ingest.track import Grab
from inspection.errors import ImageError, SourceAwayError, SourceError
from inspection.settings import CameraSettings

try:
    from pypylon import genicam, pylon
except ImportError as error:
    raise SourceError("a camera basler://... needs pypylon: pip install 'loomwatch[basler]'") from error

log = logging.getLogger(__name__)

SCHEME = "basler://"
WAIT_MS = 200  # for a frame, between looks whether to stop
TICKS_PER_S = 1_000_000_000  # of USB cameras' clocks
DriverError = genicam.GenericException
ERRORS = (DriverError, LookupError)


class _Nodes:
    """pylon's features as `ingest.features.Nodes`."""

    def __init__(self, nodes: Any) -> None:
        self._nodes = nodes

    def read(self, name: str) -> Value | None:
        try:
            node = self._nodes.GetNode(name)
            value: Value | None = node.Value if node is not None and node.IsReadable() else None
        except (DriverError, AttributeError):
            return None
        return value

    def write(self, name: str, text: str) -> None:
        self._node(name).FromString(text)

    def is_command(self, name: str) -> bool:
        return isinstance(self._node(name), pylon.CommandParameter)

    def execute(self, name: str) -> None:
        self._node(name).Execute()

    def _node(self, name: str) -> Any:
        node = self._nodes.GetNode(name)
        if node is None or not node.IsValid():
            raise LookupError(name)
        return node


class BaslerSource(LiveSource):
    """Raises `SourceAwayError` when the camera is not there or in use, `SourceError` for a setting it refuses."""

    def __init__(self, camera: CameraSettings) -> None:
        super().__init__(camera)
        self._device = _open(camera)
        try:
            self._nodes = _Nodes(self._device.GetNodeMap())
            if self._nodes.read("DeviceScanType") == "Linescan" and "Height" not in camera.features:
                set_features(self._nodes, {"Height": camera.frame_lines}, camera=camera.name, errors=ERRORS)
            set_features(self._nodes, camera.features, camera=camera.name, errors=ERRORS)
            self._form = check_pixel_format(str(self._nodes.read("PixelFormat")), camera=camera.name)
            self._ticks_per_s = int(self._nodes.read("GevTimestampTickFrequency") or TICKS_PER_S)
            self._exposure_us, self._gain = exposure_and_gain(self._nodes)
            self._chunks = Chunks(encoder=camera.encoder_chunk)
            self._chunks_on = camera.chunks and self._chunks.switch_on(self._nodes, ERRORS)
            self._require_counter(possible=self._chunks_on)
        except BaseException:
            self._release()
            raise

    def shots(self) -> Iterator[Shot]:
        try:
            self._start()
            while not self._closed.is_set():
                if not self._device.IsGrabbing() or self._device.IsCameraDeviceRemoved():
                    raise SourceAwayError(f"camera {self._camera.name}: the connection to it is lost")
                self.hear()
                result = self._device.RetrieveResult(WAIT_MS, pylon.TimeoutHandling_Return)
                if not result.IsValid():
                    continue
                try:
                    yield from self._track.shots(self._grab(result))
                finally:
                    result.Release()
        except DriverError as error:
            raise SourceAwayError(f"camera {self._camera.name}: {reason(error)}") from error
        finally:
            self._release()

    def _start(self) -> None:
        try:
            self._device.StartGrabbing(pylon.GrabStrategy_OneByOne)
        except DriverError as error:
            if not self._chunks_on:
                raise
            log.warning("camera %s goes on without chunk data: %s", self._camera.name, reason(error))
            self._chunks_on = False
            self._chunks.switch_off(self._nodes, ERRORS)
            self._device.StartGrabbing(pylon.GrabStrategy_OneByOne)

    def _grab(self, result: Any) -> Grab:
        received_ns = time.time_ns()
        if not result.GrabSucceeded():
            why = " ".join(str(result.GetErrorDescription()).split()) or "the frame is incomplete"
            return Grab(
                pixels=None,
                problem=f"camera_lost: {why}",
                lines=int(self._nodes.read("Height") or self._camera.frame_lines),
                received_ns=received_ns,
                frame_id=result.GetBlockID(),
            )
        width, height = result.GetWidth(), result.GetHeight()
        pixels, problem = None, ""
        try:
            pixels = to_pixels(
                result.GetMemoryView(), self._form, width=width, height=height, padding=result.GetPaddingX()
            )
        except ImageError as error:
            problem = f"unreadable: {error}"
        frame_id, timestamp, ticks = result.GetBlockID(), result.GetTimeStamp(), None
        exposure_us, gain = self._exposure_us, self._gain
        if self._chunks_on and result.IsChunkDataAvailable():
            nodes = _Nodes(result.GetChunkDataNodeMap())
            # The number of a block is the transport's, which a camera counts anew; a chunk's is the picture's.
            chunk_id = self._chunks.frame_id(nodes)
            frame_id = frame_id if chunk_id is None else chunk_id
            timestamp = self._chunks.timestamp(nodes) or timestamp
            ticks = self._chunks.ticks(nodes)
            exposure_us = self._chunks.exposure_us(nodes) or exposure_us
            gain = self._chunks.gain(nodes) or gain
        return Grab(
            pixels=pixels,
            problem=problem,
            lines=height,
            received_ns=received_ns,
            frame_id=frame_id,
            device_ns=timestamp * 1_000_000_000 // self._ticks_per_s if timestamp else None,
            ticks=ticks,
            exposure_us=exposure_us,
            gain=gain,
        )

    def _release(self) -> None:
        with contextlib.suppress(DriverError):
            self._device.StopGrabbing()
        with contextlib.suppress(DriverError):
            self._device.Close()


def _open(camera: CameraSettings) -> Any:
    name = camera.source.removeprefix(SCHEME)
    factory = pylon.TlFactory.GetInstance()
    there = list(factory.EnumerateDevices())
    found = [info for info in there if not name or name in (info.GetSerialNumber(), info.GetUserDefinedName())]
    names = ", ".join(SCHEME + info.GetSerialNumber() for info in there) or "none"
    if not found:
        raise SourceAwayError(f"camera {camera.name}: there is no {camera.source}; those that answer: {names}")
    if len(found) > 1:
        raise SourceError(f"camera {camera.name}: {camera.source} fits {len(found)} cameras: choose one of {names}")
    try:
        device = pylon.InstantCamera(factory.CreateDevice(found[0]))
        device.Open()
    except DriverError as error:
        raise SourceAwayError(
            f"camera {camera.name}: {camera.source} cannot be opened, another program may have it: {reason(error)}"
        ) from error
    return device
