"""Samples from the running line, beside it: the metres of a golden roll, a frame that staff asked for, the reservoir of
low-score tiles, and the past frames from which staff choose."""

import zlib

import numpy as np

from inference_worker.beside import Beside
from inference_worker.inspect import Inspected, grid_cell_px
from inference_worker.pictures import encode
from inspection.errors import LoomwatchError
from inspection.tiling import origins_of
from inspection.types import FrameHeader, FrameReport
from storage.database import Database
from storage.past_frames import Ring, keep_frame
from storage.pictures import PictureStore
from storage.reservoir import reservoir_limit, trim_reservoir
from storage.rolls import roll_at
from storage.sample_captures import SampleCapture, count_taken, is_taken, list_captures
from storage.samples import Captured, Scored, add_sample

LOW = 0.5  # of its threshold: a tile that scores less is offered to the reservoir
FRAMES_WAITING = 4
NO_RING = Ring(frames=0, every_mm=1000.0)


class Collector(Beside):
    costs_a_frame = (LoomwatchError, OSError)

    def __init__(
        self, database: Database, pictures: PictureStore, *, poll_s: float, reservoir: int, past: Ring = NO_RING
    ) -> None:
        """reservoir: tiles kept of a style, 0: none; past: how many whole frames are kept."""
        super().__init__(name="collecting", poll_s=poll_s, frames=FRAMES_WAITING)
        self._database, self._pictures, self._reservoir = database, pictures, reservoir
        self._captures: tuple[SampleCapture, ...] = ()
        self._metres: set[tuple[int, str, int]] = set()  # capture, counter, metre: taken by this worker
        self._limits: dict[str, float] = {}
        self._past = past
        self._kept: dict[str, tuple[str, int]] = {}  # camera -> counter and stretch of the last frame kept

    def wants(self, inspected: Inspected) -> bool:
        header = inspected.report.header
        wanted = any(
            capture.camera == header.camera and _metre(capture, header) not in self._metres
            for capture in self._captures
        )
        limit = self._limits.get(inspected.report.style, 1.0 if self._reservoir else 0.0)
        return wanted or priority_of(header) < limit or self._goes_into_ring(header)

    def poll(self) -> None:
        self._captures = tuple(list_captures(self._database, running=True))
        self._metres = {each for each in self._metres if each[0] in {c.id for c in self._captures}}

    def see(self, inspected: Inspected) -> None:
        """Takes what is wanted of a frame. Raises `StorageError`."""
        header = inspected.report.header
        for capture in self._captures:
            metre = _metre(capture, header)
            if capture.camera == header.camera and metre not in self._metres:
                self._metres.add(metre)
                self._take(capture, inspected)
        if self._reservoir and not inspected.report.defects:
            self._offer_tile(inspected)
        if self._goes_into_ring(header):
            self._keep(inspected)

    def _goes_into_ring(self, header: FrameHeader) -> bool:
        stretch = header.session, self._past.stretch(header.position_mm)
        return self._past.frames > 0 and self._kept.get(header.camera) != stretch

    def _keep(self, inspected: Inspected) -> None:
        header, report = inspected.report.header, inspected.report
        # Before the attempt: a disk that is full is tried once a stretch, not with every frame
        self._kept[header.camera] = header.session, self._past.stretch(header.position_mm)
        fabric = inspected.fabric()
        keep_frame(
            self._pictures,
            encode(fabric, suffix=".png"),
            self._past,
            captured=captured_at(self._database, header, (0, fabric.shape[1], 0, fabric.shape[0])),
            scored=_scored(report),
            style=report.style,
            sequence=header.sequence,
            mm_per_px=header.mm_per_px,
            cell_px=grid_cell_px(header.mm_per_px),
            grid=report.score_grid,
        )

    def _take(self, capture: SampleCapture, inspected: Inspected) -> None:
        """The whole fabric of a frame."""
        header, report = inspected.report.header, inspected.report
        if count_taken(self._database, capture.id) >= capture.metres:
            return
        metre = int(header.position_mm // 1000)
        if capture.source == "roll" and is_taken(self._database, capture.id, counter=header.session, metre=metre):
            return
        fabric = inspected.fabric()
        box = (0, fabric.shape[1], 0, fabric.shape[0])
        captured = captured_at(self._database, header, box)
        add_sample(
            self._database,
            self._pictures,
            style=capture.style,
            png=encode(fabric, suffix=".png"),
            source=capture.source,
            roll_group=captured.group,
            mm_per_px=header.mm_per_px,
            by=capture.by,
            why=capture.why or ("golden roll" if capture.source == "roll" else "a frame of the running line"),
            captured=captured,
            scored=_scored(report),
            capture_id=capture.id,
        )
        count_taken(self._database, capture.id)

    def _offer_tile(self, inspected: Inspected) -> None:
        report, tiled = inspected.report, inspected.tiled
        header, style = report.header, report.style
        limit = self._limits[style] = reservoir_limit(self._database, style, size=self._reservoir)
        low = np.flatnonzero(report.tile_scores < LOW * report.threshold)
        priority = priority_of(header)
        if priority >= limit or not len(low):
            return
        tile = int(low[zlib.crc32(f"tile of {_name(header)}".encode()) % len(low)])
        top, column = origins_of(tiled)[tile]
        left = column - header.fabric_left_px
        captured = captured_at(self._database, header, (left, left + tiled.tile_px, top, top + tiled.tile_px))
        add_sample(
            self._database,
            self._pictures,
            style=style,
            png=encode(tiled.tiles[tile], suffix=".png"),
            source="reservoir",
            roll_group=captured.group,
            mm_per_px=header.mm_per_px,
            by="the line",
            why="by chance, of the tiles that score low",
            captured=captured,
            scored=Scored(model=report.model, score=float(report.tile_scores[tile]), threshold=report.threshold),
            priority=priority,
        )
        trim_reservoir(self._database, self._pictures, style, size=self._reservoir)


def captured_at(database: Database, header: FrameHeader, box_px: tuple[int, int, int, int]) -> Captured:
    """Where a part of a frame lies; box_px: x0, x1, y0, y1 on its fabric. Raises `StorageError`."""
    roll = roll_at(database, line=header.line, at=header.captured_at)
    x0, x1, y0, y1 = box_px
    scale = header.mm_per_px
    return Captured(
        line=header.line,
        roll=roll.name if roll is not None else "",
        day=f"{(roll.opened_at if roll is not None else header.captured_at):%Y-%m-%d}",
        camera=header.camera,
        counter=header.session,
        x0_mm=header.x_offset_mm + x0 * scale,
        x1_mm=header.x_offset_mm + x1 * scale,
        y0_mm=header.position_mm + y0 * scale,
        y1_mm=header.position_mm + y1 * scale,
        captured_at=header.captured_at,
    )


def _scored(report: FrameReport) -> Scored:
    return Scored(model=report.model, score=float(report.tile_scores.max()), threshold=report.threshold)


def priority_of(header: FrameHeader) -> float:
    """[0, 1), by the frame's key: the same whichever worker gets it, and nothing of its looks."""
    return zlib.crc32(f"sample of {_name(header)}".encode()) / 2**32


def _metre(capture: SampleCapture, header: FrameHeader) -> tuple[int, str, int]:
    """One frame of a golden roll each metre; of a frame asked for the first."""
    return capture.id, header.session, int(header.position_mm // 1000) if capture.source == "roll" else 0


def _name(header: FrameHeader) -> str:
    return f"{header.camera}/{header.session}/{header.sequence}"
