import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ingest import camera as module
from ingest import spool as spool_module
from ingest.camera import Camera
from ingest.shots import Shot, Source
from ingest.spool import Spool
from inspection.errors import SourceError
from inspection.settings import CameraSettings, IngestSettings
from inspection.tiling import join
from inspection.types import Capture, Gap, Pixels, TiledFrame
from inspection.wakeup import Bell
from inspection.wire import Record, decode_to_worker
from tests.waiting import wait_for

MM_PER_PX = 0.5
HEIGHT_PX, WIDTH_PX, TILE_PX = 64, 160, 32


def cloth(seed: int = 0, *, height_px: int = HEIGHT_PX, width_px: int = WIDTH_PX, level: int = 120) -> Pixels:
    """Something woven: yarns every 4 px each way, with some noise."""
    y, x = np.mgrid[:height_px, :width_px]
    weave = 30 * np.sin(x * np.pi / 2) * np.sin(y * np.pi / 2 + (x // 4) * np.pi)
    noise = np.random.default_rng(seed).normal(0, 3, (height_px, width_px))
    return np.clip(level + weave + 12 * ((x // 2 + y // 2) % 2) + noise, 0, 255).astype(np.uint8)


def shot(place: int = 0, pixels: Pixels | None = None, *, problem: str = "") -> Shot:
    return Shot(
        pixels=pixels,
        problem=problem,
        origin=f"{place}.png",
        captured_at_ns=1_700_000_000_000_000_000 + place,
        position_mm=place * HEIGHT_PX * MM_PER_PX,
        length_mm=HEIGHT_PX * MM_PER_PX,
        exposure_us=100.0,
        gain=2.0,
    )


class Replayed(Source):
    """Gives the shots it was made with; an error among them is raised."""

    def __init__(self, shots: list[Shot | Exception], *, live: bool = False) -> None:
        super().__init__()
        self.live = live
        self._shots = shots

    def shots(self) -> Iterator[Shot]:
        for each in self._shots:
            if isinstance(each, Exception):
                raise each
            if self._closed.is_set():
                return
            yield each


class Line:
    """One camera and its spool, without a sender."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bell = Bell()
        self.spool = Spool(folder, memory_bytes=10**8, disk_bytes=10**8, bell=self.bell).__enter__()
        self.stop = threading.Event()
        self.reopened: list[Source] = []

    def camera(self, source: Source | None, *, of_camera: dict[str, object] | None = None, **changes: object) -> Camera:
        mine = {"name": "camera-1", "source": "replayed", "mm_per_px": MM_PER_PX, "x_offset_mm": 7.0}
        settings = CameraSettings.model_validate(mine | (of_camera or {}))
        values = {"line": "line-1", "tile_px": TILE_PX, "cameras": (settings,), "spool_dir": self.folder / "spool"}
        ingest = IngestSettings(**(values | changes))  # type: ignore[arg-type]

        def reopen(_camera: CameraSettings) -> Source:
            if not self.reopened:
                raise SourceError("still unplugged")
            return self.reopened.pop(0)

        return Camera(settings, source, settings=ingest, spool=self.spool, stop=self.stop, open_source=reopen)

    def run(self, *shots: Shot | Exception, **changes: object) -> list[Record]:
        """Runs a camera to its end; everything it put into the spool, in order, the counts last."""
        self.camera(Replayed(list(shots)), **changes).run()  # type: ignore[arg-type]
        return self.drain()

    def drain(self) -> list[Record]:
        records: list[Record] = []
        for key in self.spool.fresh():
            if (parts := self.spool.load(key)) is not None:
                record = decode_to_worker(parts)
                assert isinstance(record, TiledFrame | Gap | Capture)
                records.append(record)
                self.spool.done(key)
        return sorted(records, key=lambda record: isinstance(record, Capture))


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path)
    yield line
    line.spool.close()
    line.bell.close()


def reasons(records: list[Record]) -> list[str]:
    return [record.reason.partition(":")[0] if isinstance(record, Gap) else "" for record in records
            if not isinstance(record, Capture)]  # fmt: skip


def test_a_frame_is_cut_and_says_all_that_is_known_of_it(line: Line) -> None:
    pixels = cloth()
    tiled, count = line.run(shot(3, pixels))
    assert isinstance(tiled, TiledFrame)
    header = tiled.header
    assert (header.line, header.camera, header.sequence, header.origin) == ("line-1", "camera-1", 0, "3.png")
    assert (header.position_mm, header.mm_per_px, header.length_mm) == (96.0, MM_PER_PX, 32.0)
    assert (header.height_px, header.width_px) == (HEIGHT_PX, WIDTH_PX)
    assert (header.exposure_us, header.gain, header.x_offset_mm) == (100.0, 2.0, 7.0)
    assert header.captured_at_ns == 1_700_000_000_000_000_003
    fabric = pixels[:, header.fabric_left_px : header.fabric_right_px]
    np.testing.assert_array_equal(join(tiled)[:, :, 0], fabric)
    assert isinstance(count, Capture)
    assert (count.frames, count.captured_mm, count.ended, count.session) == (1, 32.0, True, header.session)


def test_what_cannot_be_inspected_is_a_gap_with_its_reason_and_its_place(line: Line) -> None:
    shots = [
        shot(0, problem="unreadable: 0.png: truncated"),
        shot(1, np.full((HEIGHT_PX, WIDTH_PX), 200, np.uint8)),
        shot(2, cloth(level=100)),
        shot(3, problem="camera_lost: 2 frames"),
        replace(shot(4, cloth(height_px=TILE_PX - 1)), length_mm=(TILE_PX - 1) * MM_PER_PX),
    ]
    records = line.run(*shots)
    assert reasons(records) == ["unreadable", "no_fabric", "", "camera_lost", "too_narrow"]
    gaps = [record for record in records if isinstance(record, Gap)]
    assert [record.position_from_mm for record in gaps] == [0.0, 32.0, 96.0, 128.0]
    assert [record.sequence for record in gaps] == [0, 1, 3, 4]
    assert gaps[0].reason == "unreadable: 0.png: truncated"
    assert "px of fabric, a tile is 32 px" in gaps[-1].reason
    inspected = sum(record.header.length_mm for record in records if isinstance(record, TiledFrame))
    (count,) = [record for record in records if isinstance(record, Capture)]
    assert count.captured_mm == pytest.approx(inspected + sum(record.length_mm for record in gaps))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"dark_level": 250.0}, "too_dark"), ({"bright_level": 1.0}, "saturated"), ({"tile_px": 200}, "too_narrow")],
)
def test_the_settings_decide_what_is_inspectable(line: Line, changes: dict[str, object], reason: str) -> None:
    assert reasons(line.run(shot(0, cloth()), **changes)) == [reason]


def test_a_jump_in_position_is_a_gap_over_the_cloth_between(line: Line) -> None:
    records = line.run(shot(0, cloth()), shot(3, cloth()), shot(4, cloth()))
    assert reasons(records) == ["", "camera_lost", "", ""]
    lost = records[1]
    assert isinstance(lost, Gap)
    assert (lost.position_from_mm, lost.position_to_mm, lost.sequence) == (32.0, 96.0, 1)


def test_a_counter_that_starts_again_is_no_gap(line: Line) -> None:
    records = line.run(shot(5, cloth()), shot(0, cloth()), shot(1, cloth()))
    assert reasons(records) == ["", "", ""]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda pixels: pixels.astype(np.float64) * np.nan,
        lambda pixels: np.zeros((0, 0), np.uint8),
        lambda pixels: np.zeros((HEIGHT_PX, WIDTH_PX, 7), np.uint8),
        lambda pixels: "not an array",
    ],
)
def test_a_frame_nobody_was_prepared_for_is_a_gap_and_the_next_is_inspected(
    line: Line, break_it: Callable[[Pixels], Pixels]
) -> None:
    records = line.run(shot(0, break_it(cloth())), shot(1, cloth()))
    assert isinstance(records[0], Gap)
    assert isinstance(records[1], TiledFrame)
    assert records[1].header.sequence == 1


def test_a_value_no_worker_would_take_is_a_gap(line: Line) -> None:
    records = line.run(replace(shot(0, cloth()), gain=float("nan")), shot(1, cloth()))
    assert reasons(records) == ["unreadable", ""]
    assert isinstance(records[0], Gap)
    assert "gain" in records[0].reason


def test_a_file_name_that_is_no_text_still_travels(line: Line) -> None:
    records = line.run(replace(shot(0, cloth()), origin="caf\udce9\0.png"), shot(1, problem="unreadable: \udce9"))
    assert isinstance(records[0], TiledFrame)
    assert records[0].header.origin == "caf??.png"
    assert isinstance(records[1], Gap)


def test_a_session_is_new_at_each_start_and_later_ones_sort_after(line: Line) -> None:
    first = line.run(shot(0, cloth()))[0]
    second = line.run(shot(0, cloth()))[0]
    assert isinstance(first, TiledFrame)
    assert isinstance(second, TiledFrame)
    assert first.header.session < second.header.session


def test_a_file_that_fails_ends_its_session_with_what_it_gave(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    records = line.run(shot(0, cloth()), SourceError("video.mp4 breaks off"), shot(1, cloth()))
    assert reasons(records) == [""]
    assert isinstance(records[-1], Capture)
    assert records[-1].ended
    assert "video.mp4 breaks off" in caplog.text


def test_a_lost_camera_is_opened_again_as_a_new_session(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S", (0.01,))
    camera = line.camera(Replayed([shot(0, cloth()), RuntimeError("driver crashed")], live=True))
    camera.start()
    wait_for(lambda: line.spool.figures.records >= 2)
    line.reopened.append(Replayed([shot(0, cloth()), shot(1, cloth())], live=True))
    camera.join(20)
    assert not camera.is_alive()
    records = line.drain()
    sessions = {record.header.session for record in records if isinstance(record, TiledFrame)}
    counts = [record for record in records if isinstance(record, Capture)]
    assert len(sessions) == 2
    assert sorted(count.frames for count in counts) == [1, 3]
    assert all(count.ended for count in counts)
    assert reasons(records) == ["", "camera_lost", "", ""]


def test_a_lost_camera_does_not_hold_up_a_stop(line: Line) -> None:
    camera = line.camera(Replayed([SourceError("unplugged")], live=True))
    camera.start()
    line.stop.set()
    camera.close()
    camera.join(20)
    assert not camera.is_alive()


@pytest.mark.parametrize("live", [True, False])
def test_with_a_full_spool_a_camera_goes_on_with_gaps_and_a_file_waits(
    tmp_path: Path, live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "WAIT_S", 0.01)
    line = Line(tmp_path)
    line.spool._memory_limit, line.spool._disk_limit = 1, 0
    camera = line.camera(Replayed([shot(place, cloth()) for place in range(5)], live=live))
    camera.start()
    if live:
        camera.join(20)
        assert reasons(line.drain()) == ["", *["spool_full"] * 4]
    else:
        records: list[Record] = []

        def all_came() -> bool:
            records.extend(line.drain())
            return len(reasons(records)) == 5

        wait_for(all_came)
        camera.join(20)
        assert reasons(records) == [""] * 5
    line.spool.close()
    line.bell.close()


def frames_and_gaps(records: list[Record]) -> list[TiledFrame | Gap]:
    return [record for record in records if isinstance(record, TiledFrame | Gap)]


def places(records: list[Record]) -> list[tuple[float, float]]:
    return [
        (record.position_from_mm, record.position_to_mm)
        if isinstance(record, Gap)
        else (record.header.position_mm, record.header.position_mm + record.header.length_mm)
        for record in frames_and_gaps(records)
    ]


def lose_and_find(line: Line, before: list[Shot], after: list[Shot], monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """A live camera that gives some shots, is lost, and comes back with others."""
    monkeypatch.setattr(module, "BACK_OFF_S", (0.01,))
    camera = line.camera(Replayed([*before, SourceError("unplugged")], live=True))
    line.reopened.append(Replayed(list(after), live=True))
    camera.start()
    camera.join(20)
    assert not camera.is_alive()
    return line.drain()


SECOND = 1_000_000_000


def timed(place: int, at_s: float, **changes: object) -> Shot:
    return replace(shot(place, cloth()), captured_at_ns=round(at_s * SECOND), **changes)  # type: ignore[arg-type]


def test_cloth_that_ran_while_the_camera_was_away_is_a_gap_by_time_and_the_count_goes_on(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [timed(place, 1000 + place) for place in range(4)]  # 32 mm/s
    records = lose_and_find(line, before, [timed(0, 1013), timed(1, 1014)], monkeypatch)
    assert reasons(records) == ["", "", "", "", "camera_lost", "", ""]
    assert places(records)[3:] == [(96, 128), (128, 448), (448, 480), (480, 512)]
    gap = frames_and_gaps(records)[4]
    assert isinstance(gap, Gap)
    assert gap.reason == "camera_lost: away for 10 s, length by time and last speed"
    assert gap.captured_at_ns == 1003 * SECOND


def test_with_an_encoder_the_cloth_that_ran_while_the_camera_was_away_is_known_to_the_mm(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [timed(place, 1000 + place, absolute=True) for place in range(2)]
    records = lose_and_find(line, before, [timed(10, 1100, absolute=True)], monkeypatch)
    assert reasons(records) == ["", "", "camera_lost", ""]
    assert places(records)[2:] == [(64, 320), (320, 352)]


def test_an_encoder_that_was_reset_while_the_camera_was_away_is_a_gap_of_unknown_length(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [timed(place, 1000 + place, absolute=True) for place in (50, 51)]
    records = lose_and_find(line, before, [timed(2, 1100, absolute=True)], monkeypatch)
    assert reasons(records) == ["", "", "camera_lost", ""]
    assert places(records)[2:] == [(64, 64), (64, 96)]


def test_a_camera_that_does_not_answer_at_the_start_is_waited_for(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S", (0.01,))
    camera = line.camera(None)
    camera.start()
    line.reopened.append(Replayed([shot(0, cloth())], live=True))
    camera.join(20)
    assert not camera.is_alive()
    assert reasons(line.drain()) == ["camera_lost", ""]


def test_an_outage_that_ends_with_a_stop_is_told_at_the_stop(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S", (0.01,))
    camera = line.camera(Replayed([timed(0, 1000), timed(1, 1001), SourceError("unplugged")], live=True))
    tried = threading.Event()

    def reopen(_camera: CameraSettings) -> Source:
        tried.set()
        raise SourceError("still unplugged")

    camera._open = reopen
    camera.start()
    wait_for(tried.is_set)
    line.stop.set()
    camera.close()
    camera.join(20)
    assert reasons(line.drain()) == ["", "", "camera_lost"]


def test_a_driver_that_raises_anything_at_the_opening_is_tried_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S", (0.0, 0.01))
    tries = iter([OSError("bus error"), ValueError("driver"), Replayed([shot(0, cloth())], live=True)])

    def reopen(_camera: CameraSettings) -> Source:
        found = next(tries)
        if isinstance(found, Exception):
            raise found
        return found

    camera = line.camera(Replayed([SourceError("unplugged")], live=True))
    camera._open = reopen
    camera.run()
    assert reasons(line.drain()) == [""]


def test_a_new_epoch_of_the_encoder_is_a_new_session_that_counts_from_its_own_zero(line: Line) -> None:
    shots = [
        replace(shot(100, cloth()), absolute=True),
        replace(shot(0, cloth()), absolute=True, new_epoch=True, flags=("encoder_reset",)),
        replace(shot(1, cloth()), absolute=True),
    ]
    records = line.run(*shots)
    frames = [record.header for record in records if isinstance(record, TiledFrame)]
    assert [header.position_mm for header in frames] == [3200, 0, 32]
    assert [header.sequence for header in frames] == [0, 0, 1]
    assert frames[0].session < frames[1].session == frames[2].session
    assert frames[1].quality_flags == ("encoder_reset",)
    counts = {record.session: record for record in records if isinstance(record, Capture)}
    assert {count.captured_mm for count in counts.values()} == {32.0, 64.0}
    assert all(count.ended for count in counts.values())


def test_what_a_source_tells_of_a_frame_travels_with_it_whatever_it_says(line: Line) -> None:
    odd = "encoder_glitch: " + "x" * 300 + "\0"
    (tiled, _) = line.run(replace(shot(0, cloth()), flags=("reversed", odd)))
    assert isinstance(tiled, TiledFrame)
    assert tiled.header.quality_flags[0] == "reversed"
    assert tiled.header.quality_flags[1].startswith("encoder_glitch: xxx")


def test_a_warning_is_logged_when_it_begins_and_not_with_every_frame(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    line.run(*(replace(shot(place, cloth()), flags=("encoder_missing",)) for place in range(5)))
    assert caplog.text.count("encoder_missing") == 1


# The same cloth in two cameras: the left one sees columns 0 to 160, the right one 100 to 260; 60 px = 30 mm are shared.


def test_neighbours_share_their_overlap_and_together_inspect_each_column_once(line: Line) -> None:
    whole = cloth(width_px=260)
    left = line.camera(
        Replayed([shot(0, whole[:, :160])]), of_camera={"name": "left", "x_offset_mm": 0.0, "overlap_right_mm": 30.0}
    )
    right = line.camera(
        Replayed([shot(0, whole[:, 100:])]), of_camera={"name": "right", "x_offset_mm": 50.0, "overlap_left_mm": 30.0}
    )
    left.run()
    right.run()
    frames = {record.header.camera: record for record in line.drain() if isinstance(record, TiledFrame)}
    inspected = []
    for camera in ("left", "right"):
        header = frames[camera].header
        width = header.fabric_right_px - header.fabric_left_px
        inspected.append((header.x_offset_mm, header.x_offset_mm + width * MM_PER_PX))
        first = round(header.x_offset_mm / MM_PER_PX)
        np.testing.assert_array_equal(join(frames[camera])[:, :, 0], whole[:, first : first + width])
    assert inspected == [(0.0, 65.0), (65.0, 130.0)]


def test_a_camera_whose_cloth_is_all_its_neighbours_says_so(line: Line) -> None:
    pixels = cloth(width_px=400)
    pixels[:, 100:] = 230  # the cloth ends in what the left neighbour inspects
    camera = line.camera(Replayed([shot(0, pixels)]), of_camera={"overlap_left_mm": 120.0})
    camera.run()
    (gap, _) = line.drain()
    assert isinstance(gap, Gap)
    assert gap.reason == "no_fabric: all of it is a neighbour's"
