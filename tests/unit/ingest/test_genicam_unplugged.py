"""A GenICam camera unplugged in the middle and plugged in again, at the GenTL interface: a producer of the test's own
(`unpluggable_producer.c`), which is the virtual camera of `test_genicam_source` but for its cable."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import pytest

from ingest import camera as camera_module
from ingest import genicam_source
from ingest.camera import Camera
from ingest.pixel_formats import PixelFormat
from ingest.sources import open_source
from ingest.spool import Spool
from inspection.errors import SourceAwayError
from inspection.settings import CameraSettings, IngestSettings
from inspection.types import Capture, Gap, Pixels, TiledFrame
from inspection.wakeup import Bell
from inspection.wire import Record, decode_to_worker
from tests.unit.ingest.test_camera import cloth
from tests.unit.ingest.test_genicam_source import CTI
from tests.waiting import wait_for

COMPILER = shutil.which("cc")
if COMPILER is None and not os.environ.get("CI"):
    pytest.skip("no C compiler is installed", allow_module_level=True)

LINES, WIDTH, MM_PER_PX = 200, 400, 0.5


@pytest.fixture(scope="module")
def unpluggable(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The producer, and the file that unplugs its cameras."""
    folder = tmp_path_factory.mktemp("producer")
    producer, switch = folder / "unpluggable.cti", folder / "unplugged"
    source = Path(__file__).with_name("unpluggable_producer.c")
    names = [f'-DSWITCH="{switch}"', f'-DPRODUCER="{CTI}"']
    options = ["-shared", "-fPIC", "-Wall", "-Werror", *names, "-Wl,--no-as-needed"]
    subprocess.run([COMPILER, *options, "-o", str(producer), str(source), str(CTI), "-ldl"], check=True)
    return producer, switch


def woven(_data: memoryview, _form: PixelFormat, *, width: int, height: int, padding: int) -> Pixels:
    """The virtual camera's pictures are black: cloth lies before it."""
    return cloth(width_px=width, height_px=height)


class Running:
    """The camera's thread over a real spool; `records` are what it has put there so far, in order."""

    def __init__(self, settings: CameraSettings, folder: Path) -> None:
        source = open_source(settings)
        ingest = IngestSettings(line="line-1", tile_px=32, cameras=(settings,), spool_dir=folder)
        self.stop, self._bell = threading.Event(), Bell()
        self._spool = Spool(folder, memory_bytes=10**8, disk_bytes=0, bell=self._bell).__enter__()
        self.camera = Camera(
            settings, source, settings=ingest, spool=self._spool, stop=self.stop, open_source=open_source
        )
        self.records: list[Record] = []
        self.camera.start()

    def until(self, enough: Callable[[], bool]) -> None:
        wait_for(lambda: self._take() or enough())

    def finish(self) -> None:
        self.stop.set()
        self.camera.close()
        self.camera.join(20)
        assert not self.camera.is_alive()
        self._take()
        self._spool.close()
        self._bell.close()

    def _take(self) -> None:
        for key in self._spool.fresh():
            if (parts := self._spool.load(key)) is not None:
                record = decode_to_worker(parts)
                assert isinstance(record, TiledFrame | Gap | Capture)
                self.records.append(record)
                self._spool.done(key)

    @property
    def frames(self) -> list[TiledFrame]:
        return [record for record in self.records if isinstance(record, TiledFrame)]

    @property
    def sessions(self) -> set[str]:
        return {frame.header.session for frame in self.frames}


@pytest.fixture
def running(
    unpluggable: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Running, Path]]:
    monkeypatch.setattr(camera_module, "BACK_OFF_S", (0.1,))
    monkeypatch.setattr(genicam_source, "QUIET_S", 0.5)
    monkeypatch.setattr(genicam_source, "to_pixels", woven)
    producer, switch = unpluggable
    features = {"PixelFormat": "Mono8", "Width": WIDTH, "Height": LINES, "AcquisitionFrameRate": 50.0}
    settings = CameraSettings(
        name="c", source=f"genicam://{producer}?device=0", mm_per_px=MM_PER_PX, features=features, min_sharpness=0
    )
    run = Running(settings, tmp_path / "spool")
    yield run, switch
    switch.unlink(missing_ok=True)
    if run.camera.is_alive():
        run.finish()


@pytest.mark.parametrize("kind", ["silent", "fails"])
def test_a_camera_unplugged_in_the_middle_is_opened_again_and_its_outage_is_a_gap(
    running: tuple[Running, Path], kind: str
) -> None:
    run, switch = running
    run.until(lambda: len(run.frames) >= 5)
    switch.write_text(kind)
    run.until(lambda: run.camera.tally.count().state == "away")
    assert run.camera.tally.count().reconnects == 0
    before = len(run.frames)
    switch.unlink()
    run.until(lambda: len(run.frames) >= before + 5)
    run.finish()

    assert len(run.sessions) == 2
    assert run.camera.tally.count().reconnects == 1
    counts = {record.session: record for record in run.records if isinstance(record, Capture) and record.ended}
    passed = [record for record in run.records if isinstance(record, TiledFrame | Gap)]
    sessions = [list(group) for _, group in groupby(passed, key=_session)]
    assert len(sessions) == 2
    for records in sessions:
        assert [_sequence(record) for record in records] == list(range(counts[_session(records[0])].frames))
    outage = sessions[1][0]
    assert isinstance(outage, Gap)
    assert outage.reason.startswith("camera_lost: away for")
    last = sessions[0][-1]
    assert isinstance(last, TiledFrame)
    assert outage.position_from_mm == last.header.position_mm + LINES * MM_PER_PX


def test_an_unplugged_camera_is_away_until_it_is_plugged_in(unpluggable: tuple[Path, Path]) -> None:
    producer, switch = unpluggable
    settings = CameraSettings(name="c", source=f"genicam://{producer}?device=0", mm_per_px=MM_PER_PX)
    switch.write_text("silent")
    try:
        with pytest.raises(SourceAwayError, match="has no device '0'; those that answer: none"):
            open_source(settings)
    finally:
        switch.unlink()
    open_source(settings)._release()  # type: ignore[attr-defined]


def _session(record: TiledFrame | Gap) -> str:
    return record.header.session if isinstance(record, TiledFrame) else record.session


def _sequence(record: TiledFrame | Gap) -> int:
    return record.header.sequence if isinstance(record, TiledFrame) else record.sequence
