"""Any vendor's GenICam cameras through its GenTL producer, a .cti file (extra `genicam`):
`genicam:///opt/vendor/producer.cti?device=SERIAL-OR-ID`, without `device` for the only one.

A producer is loaded once a process, and listing its devices anew would close those in use (harvesters), so cameras of
one producer share it, and it is loaded anew only when nobody uses it.

Pixels are taken from the producer's buffer by the format's own definition. harvesters' components are not used: they
leave the padding of lines in the picture and unpack to 16 bits what is then needed in 8.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ingest.features import Chunks, Value, exposure_and_gain, reason, set_features
from ingest.live_source import LiveSource, check_pixel_format
from ingest.pixel_formats import PixelFormat, to_pixels
from ingest.shots import Shot
from ingest.track import Grab
from inspection.errors import ImageError, SourceAwayError, SourceError
from inspection.settings import CameraSettings

try:
    from genicam import genapi, gentl
    from harvesters.core import Harvester, ParameterKey, ParameterSet
except ImportError as error:
    raise SourceError("a camera genicam://... needs harvesters: pip install 'loomwatch[genicam]'") from error

log = logging.getLogger(__name__)

SCHEME = "genicam://"
WAIT_S = 0.2  # for a frame, between looks whether to stop
QUIET_S = 2.0  # without a frame, between looks whether the camera is still there
BUFFERS = 8
PROBES = 32  # features looked at for a register by which a camera can be asked whether it is there
REGISTER_BYTES = 4


ERRORS = (genapi.GenericException, gentl.GenericException, LookupError)


class _Nodes:
    """GenApi's features as `ingest.features.Nodes`."""

    def __init__(self, nodes: Any) -> None:
        self._nodes = nodes

    def read(self, name: str) -> Value | None:
        try:
            value: Value | None = self._nodes.get_node(name).value
        except (*ERRORS, AttributeError):
            return None
        return value

    def write(self, name: str, text: str) -> None:
        self._node(name).from_string(text)

    def is_command(self, name: str) -> bool:
        return isinstance(self._node(name), genapi.ICommand)

    def execute(self, name: str) -> None:
        self._node(name).execute()

    def registers(self, name: str) -> Iterator[int]:
        """The addresses in the camera that a feature's value comes from, nearest first."""
        rests_on = [self._node(name)]
        for node in rests_on:  # grows meanwhile
            with contextlib.suppress(*ERRORS, AttributeError):
                yield int(node.address)
            with contextlib.suppress(*ERRORS, AttributeError):
                rests_on += list(node.node.children)[: PROBES - len(rests_on)]

    def _node(self, name: str) -> Any:
        if not self._nodes.has_node(name):
            raise LookupError(name)
        return self._nodes.get_node(name)


class _Producer:
    """A GenTL producer that is loaded, and the cameras of this process that use it."""

    def __init__(self, path: Path) -> None:
        self._harvester = Harvester()
        self._harvester.add_file(str(path), check_existence=True)
        self.path = path
        self.users = 0

    def open(self, wanted: str, *, camera: str) -> Any:
        """An image acquirer of the one device that `wanted` names by serial number, id or user-defined name."""
        if self.users:
            for info in self._harvester.device_info_list:
                info.parent.update_device_info_list(1000)
        else:
            self._harvester.update()
        there = list(self._harvester.device_info_list)
        if not there and not self.users and not self._harvester._systems:
            raise SourceError(f"camera {camera}: {self.path} cannot be used as a GenTL producer")
        found = [info for info in there if not wanted or wanted in _names(info)]
        names = ", ".join(_names(info)[0] for info in there) or "none"
        if not found:
            raise SourceAwayError(f"camera {camera}: {self.path} has no device {wanted!r}; those that answer: {names}")
        if len(found) > 1:
            raise SourceError(
                f"camera {camera}: {self.path} has {len(found)} devices: choose one with ?device= from {names}"
            )
        config = ParameterSet(
            {
                ParameterKey.TIMEOUT_PERIOD_ON_UPDATE_EVENT_DATA_CALL: int(WAIT_S * 500),
                ParameterKey.NUM_BUFFERS_FOR_FETCH_CALL: BUFFERS,
            }
        )
        return self._harvester.create(found[0], config=config)

    def close(self) -> None:
        self._harvester.reset()


def _names(info: Any) -> list[str]:
    names = []
    for key in ("serial_number", "id_", "user_defined_name"):
        with contextlib.suppress(*ERRORS):
            if value := getattr(info, key):
                names.append(str(value))
    return names or ["?"]


_producers: dict[Path, _Producer] = {}
_loading = threading.Lock()


class GenicamSource(LiveSource):
    """Raises `SourceAwayError` when the camera is not there or in use, `SourceError` for a setting it refuses."""

    def __init__(self, camera: CameraSettings) -> None:
        super().__init__(camera)
        path, wanted = _read_url(camera)
        self._acquirer: Any = None
        self._released = threading.Lock()
        self._producer, self._acquirer = _acquire(path, wanted, camera=camera.name)
        try:
            self._nodes = _Nodes(self._acquirer.remote_device.node_map)
            if self._nodes.read("DeviceScanType") == "Linescan" and "Height" not in camera.features:
                set_features(self._nodes, {"Height": camera.frame_lines}, camera=camera.name, errors=ERRORS)
            set_features(self._nodes, camera.features, camera=camera.name, errors=ERRORS)
            self._form: PixelFormat = check_pixel_format(str(self._nodes.read("PixelFormat")), camera=camera.name)
            self._exposure_us, self._gain = exposure_and_gain(self._nodes)
            self._chunks = Chunks(encoder=camera.encoder_chunk)
            self._chunks_on = camera.chunks and self._chunks.switch_on(self._nodes, ERRORS)
            self._require_counter(possible=self._chunks_on)
            # Register 0 holds the version of GigE Vision or USB3 Vision; other cameras have their width somewhere.
            self._probe = next(filter(self._answers, (0, *self._nodes.registers("Width"))), None)
        except BaseException:
            self._release()
            raise

    def shots(self) -> Iterator[Shot]:
        try:
            self._acquirer.start()
            while not self._closed.is_set():
                try:
                    buffer = self._acquirer.fetch(timeout=WAIT_S, is_raw=True)
                except gentl.TimeoutException:
                    if self._probe is not None and time.monotonic() - self.heard_at > QUIET_S:
                        if not self._answers(self._probe):
                            raise SourceAwayError(f"camera {self._camera.name}: it does not answer any more") from None
                        self.hear()
                    continue
                except ERRORS as error:
                    if not self._chunks_on:
                        raise
                    self._go_on_without_chunks(error)
                    continue
                self.hear()
                try:
                    yield from self._track.shots(self._grab(buffer))
                finally:
                    with contextlib.suppress(*ERRORS):
                        buffer.parent.queue_buffer(buffer)
        except ERRORS as error:
            raise SourceAwayError(f"camera {self._camera.name}: {reason(error)}") from error
        finally:
            self._release()

    def _go_on_without_chunks(self, error: Exception) -> None:
        log.warning("camera %s goes on without chunk data: %s", self._camera.name, reason(error))
        self._chunks_on = False
        self._acquirer.stop()
        self._chunks.switch_off(self._nodes, ERRORS)
        self._acquirer.start()

    def _answers(self, address: int) -> bool:
        """Whether the camera has a register there, and gives its value."""
        try:
            self._acquirer.remote_device.port.read(address, REGISTER_BYTES)
        except ERRORS:
            return False
        return True

    def _grab(self, buffer: Any) -> Grab:
        received_ns = time.time_ns()
        width, height = int(buffer.width), int(buffer.height)
        pixels, problem = None, ""
        try:
            data = memoryview(buffer.raw_buffer)[int(_of(buffer, "image_offset") or 0) :]
            padding = int(_of(buffer, "padding_x") or 0)
            pixels = to_pixels(data, self._form, width=width, height=height, padding=padding)
        except ImageError as error:
            problem = f"unreadable: {error}"
        frame_id, device_ns, ticks = _of(buffer, "frame_id"), _of(buffer, "timestamp_ns"), None
        exposure_us, gain = self._exposure_us, self._gain
        if self._chunks_on:
            chunk_id = self._chunks.frame_id(self._nodes)
            frame_id = frame_id if chunk_id is None else chunk_id
            device_ns = device_ns or self._chunks.timestamp(self._nodes)
            ticks = self._chunks.ticks(self._nodes)
            exposure_us = self._chunks.exposure_us(self._nodes) or exposure_us
            gain = self._chunks.gain(self._nodes) or gain
        return Grab(
            pixels=pixels,
            problem=problem,
            lines=height,
            received_ns=received_ns,
            frame_id=frame_id,
            device_ns=device_ns or None,
            ticks=ticks,
            exposure_us=exposure_us,
            gain=gain,
        )

    def _release(self) -> None:
        with self._released:
            acquirer, self._acquirer = self._acquirer, None
        if acquirer is None:
            return
        with contextlib.suppress(*ERRORS):
            acquirer.destroy()
        with _loading:
            self._producer.users -= 1
            if not self._producer.users:
                _producers.pop(self._producer.path, None)
                with contextlib.suppress(*ERRORS):
                    self._producer.close()


def _of(buffer: Any, name: str) -> int | None:
    """What not every producer tells."""
    try:
        value: int | None = getattr(buffer, name)
    except ERRORS:
        return None
    return value


def _acquire(path: Path, wanted: str, *, camera: str) -> tuple[_Producer, Any]:
    with _loading:
        producer = _producers.get(path)
        try:
            if producer is None:
                producer = _producers[path] = _Producer(path)
            acquirer = producer.open(wanted, camera=camera)
        except ERRORS as error:
            raise SourceAwayError(
                f"camera {camera}: device {wanted!r} of {path} cannot be opened, another program may have it: "
                f"{reason(error)}"
            ) from error
        finally:
            if producer is not None and not producer.users and not producer._harvester.image_acquirers:
                _producers.pop(path, None)
                producer.close()
        producer.users += 1
        return producer, acquirer


def _read_url(camera: CameraSettings) -> tuple[Path, str]:
    parts = urlsplit(camera.source)
    path = Path(unquote(parts.netloc + parts.path))
    query = parse_qs(parts.query)
    if unknown := sorted(set(query) - {"device"}):
        raise SourceError(f"camera {camera.name}: unknown parameter {unknown[0]!r} in {camera.source}: known is device")
    if path.suffix != ".cti" or not path.is_file():
        raise SourceError(
            f"camera {camera.name}: there is no GenTL producer {str(path)!r}: install the camera vendor's, and give "
            f"the place of its .cti file, {SCHEME}/PATH/NAME.cti?device=SERIAL"
        )
    return path, query.get("device", [""])[0]
