"""The spool: every record waits here until a worker says it is done. Memory first, then a bounded folder, then gaps.

    SPOOL_DIR/lock                          one process at a time
    SPOOL_DIR/CAMERA@SESSION/journal        the session's account (`ingest.journal`): totals, what is not done yet
    SPOOL_DIR/CAMERA@SESSION/00000012.frame frame 12, when it lies on disk (`ingest.framefile`)

Camera threads `put`, the sender takes (`fresh`, `load`, `done`). What a process leaves behind, the next one sends
first (`ingest.recovery`), oldest first.
"""

import contextlib
import fcntl
import logging
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from ingest.buffers import FrameBuffers
from ingest.framefile import read_parts, write_frame
from ingest.journal import Journal, passed_of
from ingest.recovery import recover
from inspection.errors import ServiceError, WireError
from inspection.types import Capture, Gap, TiledFrame
from inspection.wakeup import Bell
from inspection.wire import Record, RecordKey, decode_to_worker, encode_record, key_of

log = logging.getLogger(__name__)

WAIT_S = 0.2  # between looks whether to stop, while a source waits for room
DISK_RETRY_S = 1.0  # after the disk refused
MANY_GAPS = 1000  # waiting; from then on neighbouring ones grow together


@dataclass(slots=True)
class _Entry:
    session: "Session"
    record: Record | None  # None: a frame on disk
    memory_bytes: int
    disk_bytes: int
    sent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolFigures:
    """What waits, now, and the gaps there have been since the start."""

    records: int
    gaps: int
    memory_bytes: int
    memory_limit_bytes: int
    disk_bytes: int
    disk_limit_bytes: int
    waiting: dict[str, int]  # records, by camera
    all_gaps: dict[tuple[str, str], int]  # by camera and code of their reason

    def gaps_of(self, camera: str) -> dict[str, int]:
        return {reason: count for (name, reason), count in self.all_gaps.items() if name == camera}


class Session:
    """One start of one camera, as its thread sees it: puts records in, in order. Made by `Spool.begin`."""

    def __init__(self, spool: "Spool", journal: Journal) -> None:
        self._spool = spool
        self.journal = journal
        self.told: RecordKey | None = None  # the newest count queued

    @property
    def next_sequence(self) -> int:
        return self.journal.capture.frames

    @property
    def folder(self) -> Path:
        return self.journal.path.parent

    def put(self, record: TiledFrame | Gap, *, wait: bool, stop: threading.Event) -> bool:
        """Hands over the record with sequence `next_sequence`. When the spool is full a frame waits for room, or,
        with `wait` False, becomes a gap. False when `stop` was set before there was room: it was not captured."""
        return self._spool._put(self, record, wait=wait, stop=stop)

    def count(self) -> None:
        """Sends the session's count so far, in place of one that still waits."""
        self._spool._count(self)

    def end(self) -> None:
        """Sends the session's last count."""
        self._spool._end(self)

    def path(self, sequence: int) -> Path:
        return self.folder / f"{sequence:08d}.frame"


class Spool:
    """Use with `with`. Memory holds at most `memory_bytes` of pixels (one frame more when that alone is larger, and
    those read from disk that workers have credit for), the folder `disk_bytes`. Rings `bell` when something new waits.

    Raises `ServiceError` when the folder cannot be used.
    """

    def __init__(self, folder: Path, *, memory_bytes: int, disk_bytes: int, bell: Bell) -> None:
        self.buffers = FrameBuffers()  # for the frames of all its cameras
        self._folder = folder
        self._memory_limit, self._disk_limit = memory_bytes, disk_bytes
        self._bell = bell
        self._changed = threading.Condition()  # guards all below
        self._entries: dict[RecordKey, _Entry] = {}
        self._sessions: dict[Path, Session] = {}
        self._fresh: deque[RecordKey] = deque()
        self._memory_bytes = self._disk_bytes = self._gaps = 0
        self._all_gaps: Counter[tuple[str, str]] = Counter()
        self._disk_retry_at = 0.0
        self._closed = False
        self._lock_file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = (self._folder / "lock").open("ab")
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._recover()
        except BlockingIOError as error:
            self._unlock()
            raise ServiceError(f"{self._folder} is the spool of another running ingest: give each its own") from error
        except OSError as error:
            self._unlock()
            raise ServiceError(f"the spool {self._folder} cannot be used: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, *, line: str, camera: str, session: str, started_at_ns: int) -> Session:
        """A camera starts."""
        total = Capture(
            line=line,
            camera=camera,
            session=session,
            frames=0,
            captured_mm=0.0,
            started_at_ns=started_at_ns,
            ended=False,
        )
        journal = Journal(self._folder / f"{camera}@{session}" / "journal", total)
        journal.rewrite()
        begun = Session(self, journal)
        with self._changed:
            self._sessions[begun.folder] = begun
        return begun

    def fresh(self) -> list[RecordKey]:
        """What came in since the last call, oldest first."""
        with self._changed:
            fresh = list(self._fresh)
            self._fresh.clear()
        return fresh

    def load(self, key: RecordKey) -> list[bytes | memoryview] | None:
        """A record's wire message, or None when it waits no more. A frame that the disk damaged has become a gap."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is None:
                return None
            entry.sent = True
            if entry.record is not None:
                return encode_record(entry.record)
            path = entry.session.path(key.sequence)
        try:
            parts = read_parts(path)
            frame = decode_to_worker(parts)
            if not isinstance(frame, TiledFrame) or key_of(frame) != key:
                raise WireError(f"{path.name} holds another frame")
        except (WireError, OSError) as error:
            log.error("%s: %s; the frame becomes a gap", path, error)
            reason = f"spool_damaged: {error if isinstance(error, WireError) else error.strerror}"
            with self._changed:
                return encode_record(self._turn_into_gap(key, entry, reason))
        with self._changed:
            if not entry.memory_bytes:
                entry.memory_bytes = entry.disk_bytes
                self._memory_bytes += entry.memory_bytes
        return parts

    def done(self, key: RecordKey) -> None:
        """A worker committed it. Harmless when that was known."""
        with self._changed:
            entry = self._entries.pop(key, None)
            if entry is None:
                return
            self._gaps -= isinstance(entry.record, Gap)
            self._release(key, entry)
            if key.kind == "record":
                entry.session.journal.done(key.sequence)
            self._forget_if_complete(entry.session)
            self._changed.notify_all()

    def give_up(self, key: RecordKey, reason: str) -> bool:
        """Turns a frame that waits into a gap; False when it is none, or waits no more."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is None or isinstance(entry.record, Gap | Capture):
                return False
            self._turn_into_gap(key, entry, reason)
            self._changed.notify_all()
            return True

    @property
    def empty(self) -> bool:
        with self._changed:
            return not self._entries

    @property
    def figures(self) -> SpoolFigures:
        with self._changed:
            return SpoolFigures(
                records=len(self._entries),
                gaps=self._gaps,
                memory_bytes=self._memory_bytes,
                memory_limit_bytes=self._memory_limit,
                disk_bytes=self._disk_bytes,
                disk_limit_bytes=self._disk_limit,
                waiting=Counter(key.camera for key in self._entries),
                all_gaps=dict(self._all_gaps),
            )

    def close(self) -> None:
        """Ends all sessions and writes what waits in memory to disk, for the next start; beyond the disk's bound, or
        when it refuses, a frame becomes a gap."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            for key, entry in self._entries.items():
                if not isinstance(entry.record, TiledFrame):
                    continue
                size = entry.record.tiles.nbytes
                if self._disk_bytes + size > self._disk_limit:
                    self._turn_into_gap(key, entry, "spool_full: at the stop")
                    continue
                try:
                    write_frame(entry.session.path(key.sequence), entry.record, sync=True)
                    self._disk_bytes += size
                except OSError as error:
                    log.error("%s: %s; the frame becomes a gap", entry.session.path(key.sequence), error)
                    self._turn_into_gap(key, entry, f"spool_full: {error.strerror}")
            for session in self._sessions.values():
                session.journal.end()
                session.journal.sync()
            if self._entries:
                log.info("%d record(s) wait in %s for the next start", len(self._entries), self._folder)
            self._unlock()
            self._changed.notify_all()

    # For `Session`.

    def _put(self, session: Session, record: TiledFrame | Gap, *, wait: bool, stop: threading.Event) -> bool:
        if isinstance(record, Gap):
            with self._changed:
                return not self._closed and self._add_gap(session, record)
        size = record.tiles.nbytes
        while True:
            with self._changed:
                if self._closed:
                    return False
                if self._memory_bytes == 0 or self._memory_bytes + size <= self._memory_limit:
                    self._add(session, record, _Entry(session, record, size, 0))
                    return True
                if self._disk_bytes + size <= self._disk_limit and time.monotonic() >= self._disk_retry_at:
                    self._disk_bytes += size  # reserved; the write itself must not hold up the sender
                elif not wait:
                    return self._add_gap(session, record.header.gap("spool_full"))
                elif stop.is_set():
                    return False
                else:
                    self._changed.wait(WAIT_S)
                    continue
            try:
                write_frame(session.path(record.header.sequence), record)
            except OSError as error:
                log.warning("%s: %s", session.folder, error)
                with self._changed:
                    self._disk_bytes -= size
                    self._disk_retry_at = time.monotonic() + DISK_RETRY_S
                    if not wait:
                        return self._add_gap(session, record.header.gap(f"spool_full: {error.strerror}"))
                continue
            with self._changed:
                self._add(session, record, _Entry(session, None, 0, size))
                return True

    def _count(self, session: Session) -> None:
        session.journal.sync()
        with self._changed:
            if not self._closed and not session.journal.capture.ended:
                self._queue_count(session)

    def _end(self, session: Session) -> None:
        with self._changed:
            if not self._closed and not session.journal.capture.ended:
                session.journal.end()
                self._queue_count(session)

    # Under the lock.

    def _queue_count(self, session: Session) -> None:
        key = key_of(session.journal.capture)
        if key == session.told:
            return
        if session.told is not None and (older := self._entries.get(session.told)) is not None and not older.sent:
            del self._entries[session.told]
        session.told = key
        self._entries[key] = _Entry(session, session.journal.capture, 0, 0)
        self._fresh.append(key)
        self._bell.ring()

    def _add(self, session: Session, record: TiledFrame | Gap, entry: _Entry) -> None:
        key = key_of(record)
        session.journal.passed(passed_of(record))
        self._entries[key] = entry
        self._memory_bytes += entry.memory_bytes
        self._gaps += isinstance(record, Gap)
        self._fresh.append(key)
        self._bell.ring()

    def _add_gap(self, session: Session, gap: Gap) -> bool:
        """With many gaps waiting, one that follows a gap which no worker has seen makes that longer instead: without
        any worker for days, a camera must not fill the memory with gaps."""
        self._count_gap(gap)
        before_key = RecordKey("record", gap.camera, gap.session, gap.sequence - 1)
        before = self._entries.get(before_key)
        if self._gaps >= MANY_GAPS and before is not None and not before.sent and isinstance(before.record, Gap):
            older = before.record
            if older.position_to_mm == gap.position_from_mm:
                same = older.reason.partition(":")[0] == gap.reason.partition(":")[0]
                reason = older.reason if same else "spool_full: and other reasons"
                before.record = replace(older, position_to_mm=gap.position_to_mm, reason=reason)
                session.journal.passed(passed_of(before.record))
                return True
        self._add(session, gap, _Entry(session, gap, 0, 0))
        return True

    def _count_gap(self, gap: Gap) -> None:
        self._all_gaps[gap.camera, gap.reason.partition(":")[0]] += 1

    def _turn_into_gap(self, key: RecordKey, entry: _Entry, reason: str) -> Gap:
        journal = entry.session.journal
        passed = msgspec.structs.replace(journal.waiting[key.sequence], reason=reason)
        journal.passed(passed)
        gap = journal.gap(passed)
        self._count_gap(gap)
        self._release(key, entry)
        entry.record, entry.memory_bytes, entry.disk_bytes = gap, 0, 0
        self._gaps += 1
        return gap

    def _release(self, key: RecordKey, entry: _Entry) -> None:
        self._memory_bytes -= entry.memory_bytes
        self._disk_bytes -= entry.disk_bytes
        if entry.disk_bytes:
            with contextlib.suppress(OSError):
                entry.session.path(key.sequence).unlink(missing_ok=True)

    def _forget_if_complete(self, session: Session) -> None:
        """Removes the folder of an ended session when nothing of it waits."""
        if session.journal.waiting or not session.journal.capture.ended:
            return
        if session.told in self._entries or session.told is None or session.told.kind != "end":
            return
        self._sessions.pop(session.folder, None)
        with contextlib.suppress(OSError):
            session.journal.path.unlink(missing_ok=True)
            for left_over in session.folder.iterdir():
                left_over.unlink()
            session.folder.rmdir()

    def _unlock(self) -> None:
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    # At the start, before any other thread.

    def _recover(self) -> None:
        folders = [path for path in self._folder.iterdir() if path.is_dir() and "@" in path.name]
        for folder in sorted(folders, key=lambda path: path.name.partition("@")[2]):
            self._recover_session(folder)
        if self._entries:
            log.info("%d record(s) of former runs wait in %s and are sent first", len(self._entries), self._folder)

    def _recover_session(self, folder: Path) -> None:
        former = recover(folder)
        if former is None:
            return
        journal, files = former
        session = Session(self, journal)
        self._sessions[folder] = session
        for sequence, passed in sorted(journal.waiting.items()):
            key = RecordKey("record", journal.capture.camera, journal.capture.session, sequence)
            if sequence in files:
                entry = _Entry(session, None, 0, files[sequence])
                self._disk_bytes += entry.disk_bytes
            else:
                gap = journal.gap(passed)
                self._count_gap(gap)
                entry = _Entry(session, gap, 0, 0)
                self._gaps += 1
            self._entries[key] = entry
            self._fresh.append(key)
        self._queue_count(session)
