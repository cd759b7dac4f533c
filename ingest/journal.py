"""A camera session's account on disk: what it captured, and what of it is not done yet. Survives `kill -9`.

Append only, one checked line an event: the CRC-32 of the rest in hex, a space, JSON.
    total    the session's count so far; the first line, and the last one of an ended session
    passed   a frame or a gap was captured, with its place. Again with the same sequence: it became (another) gap
    done     a worker committed it
A line that fails its check is skipped: at the end of the file it is the one torn by a kill, and what it would have
told had not been acted upon; anywhere else it leaves a hole in the sequence, and a hole is a gap like any other.

A line is with the kernel before the record it tells of can leave the process, so a kill loses nothing; `sync` brings
it to the disk itself, for the case that the power fails. When the disk is full the lines of that time are missing,
so the next one that can be written is the whole account anew.
"""

import logging
import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from inspection.types import Capture, Gap, TiledFrame

log = logging.getLogger(__name__)

COMPACT_BYTES = 256 * 1024
RETRY_S = 1.0  # between tries to write to a full disk


class Passed(msgspec.Struct, frozen=True, tag="passed"):
    sequence: int
    captured_at_ns: int
    position_from_mm: float
    position_to_mm: float
    reason: str  # "" for a frame, else a gap's

    @property
    def length_mm(self) -> float:
        return self.position_to_mm - self.position_from_mm


def passed_of(record: TiledFrame | Gap) -> Passed:
    if isinstance(record, Gap):
        place = record.position_from_mm, record.position_to_mm
        return Passed(record.sequence, record.captured_at_ns, *place, record.reason)
    header = record.header
    end_mm = header.position_mm + header.length_mm
    return Passed(header.sequence, header.captured_at_ns, header.position_mm, end_mm, "")


class _Total(msgspec.Struct, frozen=True, tag="total"):
    capture: Capture
    end_mm: float  # where the last record ended


class _Done(msgspec.Struct, frozen=True, tag="done"):
    sequence: int


_Line = Passed | _Total | _Done
_lines: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(_Line)


class Journal:
    """`capture` is the session's count so far, `waiting` what is not done, by sequence. Not for two threads at once."""

    def __init__(self, path: Path, capture: Capture) -> None:
        self.path = path
        self.capture = capture
        self.waiting: dict[int, Passed] = {}
        self._end_mm = 0.0
        self._bytes = 0
        self._compact_at = COMPACT_BYTES
        self._stale = False  # the file lacks lines, because the disk was full
        self._retry_at = 0.0

    def passed(self, record: Passed) -> None:
        """A frame or gap was captured, or a waiting one became another gap."""
        self._apply(record)
        self._append(record)

    def done(self, sequence: int) -> None:
        if self.waiting.pop(sequence, None) is not None:
            self._append(_Done(sequence))

    def end(self) -> None:
        """The session captures no more."""
        if not self.capture.ended:
            self.capture = replace(self.capture, ended=True)
            self._append(_Total(self.capture, self._end_mm))

    def sync(self) -> None:
        """Brings the account to the disk itself."""
        if self._stale:
            return
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("%s: %s", self.path, error)

    def rewrite(self) -> None:
        """The account in as few lines as possible, in place of the file."""
        beside = self.path.with_suffix(".tmp")
        lines: list[_Line] = [_Total(self.capture, self._end_mm), *self.waiting.values()]
        data = b"".join(_encode(line) for line in lines)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            if not self._stale:
                log.error(
                    "%s: %s; what is captured now is not safe from a crash until it can be written", beside, error
                )
            self._stale = True
            self._retry_at = time.monotonic() + RETRY_S
            return
        self._stale = False
        self._bytes = len(data)
        self._compact_at = max(COMPACT_BYTES, 4 * len(data))

    def gap(self, passed: Passed) -> Gap:
        return Gap(
            line=self.capture.line,
            camera=self.capture.camera,
            session=self.capture.session,
            sequence=passed.sequence,
            captured_at_ns=passed.captured_at_ns,
            position_from_mm=passed.position_from_mm,
            position_to_mm=passed.position_to_mm,
            reason=passed.reason,
        )

    def _append(self, line: _Line) -> None:
        if self._stale and time.monotonic() < self._retry_at:
            return
        data = _encode(line)
        if self._stale or self._bytes + len(data) > self._compact_at:
            self.rewrite()
            return
        try:
            # Opened each time: a session that waits for a worker for days must not hold a descriptor.
            with self.path.open("ab", buffering=0) as file:
                if file.write(data) != len(data):
                    raise OSError("only part of a line was written")
        except OSError:
            self.rewrite()
        else:
            self._bytes += len(data)

    def _apply(self, line: _Line) -> None:
        match line:
            case _Total():
                self.capture, self._end_mm = line.capture, line.end_mm
            case _Done():
                self.waiting.pop(line.sequence, None)
            case Passed():
                frames = self.capture.frames
                if line.sequence >= frames:
                    for missing in _between(frames, self._end_mm, line):
                        self._count(missing)
                    self._count(line)
                elif (before := self.waiting.get(line.sequence)) is not None:
                    grown_mm = line.length_mm - before.length_mm
                    self.capture = replace(self.capture, captured_mm=self.capture.captured_mm + grown_mm)
                    self._end_mm = max(self._end_mm, line.position_to_mm)
                self.waiting[line.sequence] = line

    def _count(self, record: Passed) -> None:
        self.waiting[record.sequence] = record
        total_mm = self.capture.captured_mm + record.length_mm
        self.capture = replace(self.capture, frames=record.sequence + 1, captured_mm=total_mm)
        self._end_mm = record.position_to_mm


def read_journal(path: Path) -> Journal | None:
    """The account as it was last written, or None when there is none that tells whose it is. Raises `OSError`."""
    if not path.exists():
        return None
    journal: Journal | None = None
    bad = 0
    for line in _decode(path.read_bytes()):
        if line is None:
            bad += 1
        elif journal is not None:
            journal._apply(line)
        elif isinstance(line, _Total):
            journal = Journal(path, line.capture)
            journal._apply(line)
        else:
            bad += 1
    if bad:
        log.warning("%s: %d damaged line(s) left out", path, bad)
    return journal


def _between(frames: int, end_mm: float, after: Passed) -> Iterator[Passed]:
    """The records that should stand between sequence `frames` and `after`, their lengths shared out evenly."""
    missing = after.sequence - frames
    step_mm = max(after.position_from_mm - end_mm, 0.0) / missing if missing else 0.0
    for index in range(missing):
        from_mm = after.position_from_mm - (missing - index) * step_mm
        yield Passed(
            frames + index,
            after.captured_at_ns,
            from_mm,
            from_mm + step_mm,
            "spool_damaged: its line in the journal is gone",
        )


def _encode(line: _Line) -> bytes:
    data = msgspec.json.encode(line)
    return b"%08x %b\n" % (zlib.crc32(data), data)


def _decode(data: bytes) -> Iterator[_Line | None]:
    """Each line, or None for one that fails its check."""
    for line in data.splitlines():
        checksum, _, rest = line.partition(b" ")
        try:
            yield _lines.decode(rest) if int(checksum, 16) == zlib.crc32(rest) else None
        except (ValueError, msgspec.MsgspecError, RecursionError):
            yield None
