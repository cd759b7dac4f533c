import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest

from inference_worker.receiver import Receiver
from ingest.service import run_ingest
from ingest.shots import Source
from inspection.errors import ServiceError, SettingsError, SourceAwayError, SourceError
from inspection.settings import CameraSettings, IngestSettings
from inspection.types import Capture, Gap, TiledFrame
from inspection.wire import Record
from tests.transport import ipc
from tests.unit.ingest.test_camera import Replayed, cloth, shot
from tests.waiting import wait_for


class Store:
    """What a database would hold: each key once, whichever came first; and a worker that fills it."""

    def __init__(self, endpoint: str) -> None:
        self.records: dict[tuple[str, int], TiledFrame | Gap] = {}
        self.counts: dict[str, Capture] = {}
        self._endpoint = endpoint
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Store":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        self._thread.join()

    def _work(self) -> None:
        with Receiver([self._endpoint], worker="worker", credit=3) as receiver:
            while not self._leave.is_set():
                if (record := receiver.receive(0.05)) is not None:
                    self._keep(record)
                    receiver.done(record)

    def _keep(self, record: Record) -> None:
        match record:
            case Capture():
                before = self.counts.get(record.session)
                if before is None or (record.frames, record.ended) >= (before.frames, before.ended):
                    self.counts[record.session] = record
            case Gap():
                self.records.setdefault((record.session, record.sequence), record)
            case TiledFrame():
                self.records.setdefault((record.header.session, record.header.sequence), record)

    def check(self) -> None:
        """Captured = inspected + gaps, to the frame and to the millimetre, in each session."""
        assert {session for session, _ in self.records} <= set(self.counts)
        for session, count in self.counts.items():
            kept = {sequence: record for (of, sequence), record in self.records.items() if of == session}
            assert count.ended
            assert sorted(kept) == list(range(count.frames))
            length_mm = sum(
                record.length_mm if isinstance(record, Gap) else record.header.length_mm for record in kept.values()
            )
            assert length_mm == pytest.approx(count.captured_mm)


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return ipc(tmp_path)


def some_settings(folder: Path, endpoint: str, *, source: str = "replayed", **changes: object) -> IngestSettings:
    values: dict[str, object] = {
        "cameras": (CameraSettings(name="camera-1", source=source, mm_per_px=0.5),),
        "endpoint": endpoint,
        "spool_dir": folder / "spool",
        "tile_px": 32,
        "heartbeat_s": 0.1,
    }
    return IngestSettings(**(values | changes))  # type: ignore[arg-type]


def opening(*sources: Source) -> Callable[[CameraSettings], Source]:
    rest = list(sources)
    return lambda camera: rest.pop(0)


def test_it_returns_when_every_source_has_ended_and_everything_is_done(tmp_path: Path, endpoint: str) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(12):
        cv2.imwrite(str(pictures / f"{number}.png"), cloth(number))
    (pictures / "5.png").write_bytes(b"not a picture")
    settings = some_settings(tmp_path, endpoint, source=str(pictures), spool_memory_mb=1)
    with Store(endpoint) as store:
        run_ingest(settings, threading.Event())
    store.check()
    assert len(store.records) == 12
    assert [key[1] for key, record in store.records.items() if isinstance(record, Gap)] == [5]
    assert sorted(path.name for path in settings.spool_dir.iterdir()) == ["lock"]


def test_several_cameras_share_a_process(tmp_path: Path, endpoint: str) -> None:
    cameras = tuple(CameraSettings(name=f"camera-{number}", source="x", mm_per_px=0.5) for number in range(3))
    settings = some_settings(tmp_path, endpoint, cameras=cameras)
    sources = [Replayed([shot(place, cloth()) for place in range(5 + number)]) for number in range(3)]
    with Store(endpoint) as store:
        run_ingest(settings, threading.Event(), open_source=opening(*sources))
    store.check()
    assert sorted(count.frames for count in store.counts.values()) == [5, 6, 7]


def test_what_a_stop_leaves_over_is_sent_first_at_the_next_start(tmp_path: Path, endpoint: str) -> None:
    settings = some_settings(tmp_path, endpoint, drain_s=0.0)
    stop = threading.Event()
    source = Replayed([shot(place, cloth()) for place in range(6)])
    running = threading.Thread(target=run_ingest, args=(settings, stop), kwargs={"open_source": opening(source)})
    running.start()
    wait_for(lambda: list(settings.spool_dir.glob("*/journal")))
    wait_for(lambda: settings.spool_dir.glob("*/journal").__next__().read_bytes().count(b"passed") == 6)
    stop.set()
    running.join(20)
    assert len(list(settings.spool_dir.glob("*/*.frame"))) == 6
    with Store(endpoint) as store:
        run_ingest(settings.model_copy(update={"cameras": ()}), threading.Event())
    store.check()
    assert [type(record) for record in store.records.values()] == [TiledFrame] * 6


def test_at_a_stop_workers_finish_what_is_spooled(tmp_path: Path, endpoint: str) -> None:
    class Endless(Replayed):
        def shots(self) -> Iterator[object]:  # type: ignore[override]
            place = 0
            while not self._closed.wait(0.002):
                yield shot(place, cloth())
                place += 1

    settings = some_settings(tmp_path, endpoint, drain_s=60.0)
    stop = threading.Event()
    running = threading.Thread(
        target=run_ingest, args=(settings, stop), kwargs={"open_source": opening(Endless([], live=True))}
    )
    with Store(endpoint) as store:
        running.start()
        wait_for(lambda: len(store.records) > 20)
        stop.set()
        running.join(60)
        assert not running.is_alive()
    store.check()
    assert sorted(path.name for path in settings.spool_dir.iterdir()) == ["lock"]


def test_a_source_that_cannot_be_opened_is_refused_before_anything_starts(tmp_path: Path, endpoint: str) -> None:
    settings = some_settings(tmp_path, endpoint, source=str(tmp_path / "nowhere"))
    with pytest.raises(SourceError, match="nowhere"):
        run_ingest(settings, threading.Event())
    assert not settings.spool_dir.exists()


def test_plain_tcp_beyond_this_machine_is_refused_unless_a_setting_says_so(tmp_path: Path) -> None:
    source = Replayed([shot(0, cloth())])
    settings = some_settings(tmp_path, "tcp://0.0.0.0:0")
    with pytest.raises(SettingsError, match="LOOMWATCH_INGEST_ALLOW_PLAIN_TCP=true"):
        run_ingest(settings, threading.Event(), open_source=opening(source))
    assert not settings.spool_dir.exists()
    stop = threading.Event()
    stop.set()
    run_ingest(settings.model_copy(update={"allow_plain_tcp": True}), stop, open_source=opening(source))


def test_no_endpoint_and_no_camera_are_refused(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(SettingsError, match="LOOMWATCH_INGEST_ENDPOINT"):
        run_ingest(some_settings(tmp_path, ""), threading.Event())
    with pytest.raises(SettingsError, match="LOOMWATCH_INGEST_CAMERAS"):
        run_ingest(some_settings(tmp_path, endpoint, cameras=()), threading.Event())


def test_a_port_in_use_is_one_clear_error_and_leaves_the_spool_as_it_was(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        settings = some_settings(tmp_path, endpoint)
        with pytest.raises(ServiceError, match=f"{endpoint} is in use"):
            run_ingest(settings, threading.Event(), open_source=opening(Replayed([shot(0, cloth())])))
    assert [path.name for path in settings.spool_dir.iterdir()] == ["lock"]


def test_a_sender_that_fails_ends_the_service_with_its_reason(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> None:
        raise RuntimeError("no more sockets")

    monkeypatch.setattr("ingest.sender.Sender._keep_alive", fail)
    settings = some_settings(tmp_path, endpoint)
    with pytest.raises(ServiceError, match="sending failed: no more sockets"):
        run_ingest(settings, threading.Event(), open_source=opening(Replayed([shot(0, cloth())])))
    assert len(list(settings.spool_dir.glob("*/*.frame"))) == 1


@pytest.mark.parametrize("live", ["live", "file"])
def test_after_kill_9_in_the_middle_each_frame_is_stored_once_or_is_a_gap(
    tmp_path: Path, endpoint: str, live: str
) -> None:
    command = [sys.executable, "-m", "tests.unit.ingest.ingest_process", str(tmp_path / "spool"), endpoint]
    with Store(endpoint) as store:
        for enough in (60, 120):
            process = subprocess.Popen([*command, "100000", "1", live])
            wait_for(lambda enough=enough: len(store.records) > enough)
            process.send_signal(signal.SIGKILL)
            assert process.wait(20) == -signal.SIGKILL
        assert subprocess.run([*command, "20", "1", live], timeout=60).returncode == 0
    store.check()
    assert len(store.counts) == 3
    assert sum(isinstance(record, TiledFrame) for record in store.records.values()) > 20
    assert sorted(path.name for path in (tmp_path / "spool").iterdir()) == ["lock"]


def test_killed_without_any_worker_nothing_that_was_captured_is_forgotten(tmp_path: Path, endpoint: str) -> None:
    spool = tmp_path / "spool"
    command = [sys.executable, "-m", "tests.unit.ingest.ingest_process", str(spool), endpoint]
    process = subprocess.Popen([*command, "100000", "1", "live"])

    def captured() -> int:
        return sum(path.read_bytes().count(b'"passed"') for path in spool.glob("*/journal"))

    wait_for(lambda: captured() > 100)
    process.kill()
    process.wait(20)
    passed = captured()
    with Store(endpoint) as store:
        assert subprocess.run([*command, "0", "1", "live"], timeout=60).returncode == 0
    store.check()
    assert len(store.records) >= 100
    assert len(store.records) == passed
    kinds = {
        record.reason.partition(":")[0] if isinstance(record, Gap) else "frame" for record in store.records.values()
    }
    assert kinds == {"frame", "unreadable", "ingest_restarted", "spool_full"}


def test_a_camera_that_does_not_answer_at_the_start_holds_up_no_other_and_is_waited_for(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.camera.BACK_OFF_S", (0.01,))
    tries: dict[str, int] = {}

    def open_source(camera: CameraSettings) -> Source:
        tries[camera.name] = tries.get(camera.name, 0) + 1
        if camera.name == "late" and tries["late"] < 4:
            raise SourceAwayError("late does not answer")
        return Replayed([shot(place, cloth()) for place in range(3)], live=camera.name == "late")

    cameras = tuple(CameraSettings(name=name, source="replayed", mm_per_px=0.5) for name in ("late", "there"))
    with Store(endpoint) as store:
        run_ingest(some_settings(tmp_path, endpoint, cameras=cameras), threading.Event(), open_source=open_source)
    store.check()
    assert tries == {"late": 4, "there": 1}
    frames = [record.header.camera for record in store.records.values() if isinstance(record, TiledFrame)]
    assert sorted(frames) == ["late"] * 3 + ["there"] * 3
    assert next(record.reason for record in store.records.values() if isinstance(record, Gap)).startswith("camera_lost")
