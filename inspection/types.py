"""The frozen types, one a stage: camera -> `Frame` -> `TiledFrame` -> `TileResult` -> `FrameReport` -> storage.

Axes. A frame's rows (y) run along the roll, its columns (x) across it. Row 0 passed the camera first.
Positions along the roll are in mm since the line's counter was reset; x is in mm from the left fabric edge.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (H, W) grey or (H, W, 3) RGB
Mask = NDArray[np.bool_]  # (H, W)
Scores = NDArray[np.float32]


class FrameKey(NamedTuple):
    """What makes a frame or a gap unique for ever: a session is one start of one camera."""

    camera: str
    session: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """One roll on one line, from `opened_at` until `closed_at` (none while it runs). A frame belongs to the roll that
    was open on its line when it was captured."""

    id: int
    line: str
    name: str
    style: str  # "" when staff entered none: every tile is then routed by itself
    opened_at: datetime
    closed_at: datetime | None
    automatic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeader:
    """What is known of a frame besides its pixels. `width_px` and the fabric edges count camera columns."""

    line: str
    camera: str
    session: str
    sequence: int  # counts up from 0 within a session, gaps included
    origin: str  # the file a frame came from, "" for a camera
    captured_at_ns: int  # UTC, nanoseconds since 1970
    position_mm: float  # of row 0
    mm_per_px: float
    height_px: int
    width_px: int
    fabric_left_px: int  # fabric is columns [left, right)
    fabric_right_px: int
    x_offset_mm: float  # of the camera's left fabric edge from the cloth's, 0 for a single camera
    exposure_us: float  # 0 when the camera does not tell
    gain: float  # 0 when the camera does not tell
    quality_flags: tuple[str, ...]
    background_level: float = -1.0  # median grey of what shows beside the fabric; -1 when nothing does

    @property
    def key(self) -> FrameKey:
        return FrameKey(self.camera, self.session, self.sequence)

    @property
    def length_mm(self) -> float:
        return self.height_px * self.mm_per_px

    @property
    def captured_at(self) -> datetime:
        return datetime.fromtimestamp(self.captured_at_ns / 1e9, tz=UTC)

    def gap(self, reason: str) -> "Gap":
        """What the frame becomes when it cannot be inspected."""
        return Gap(
            line=self.line,
            camera=self.camera,
            session=self.session,
            sequence=self.sequence,
            captured_at_ns=self.captured_at_ns,
            position_from_mm=self.position_mm,
            position_to_mm=self.position_mm + self.length_mm,
            reason=reason,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One block of lines as the camera gave it. pixels: (height_px, width_px[, 3]) uint8, grey or RGB."""

    header: FrameHeader
    pixels: Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class TiledFrame:
    """A frame's fabric, cut. The unit of work and of the wire: one message.

    tiles: (N, tile_px, tile_px, C) uint8, C = 1 or 3, row by row; where each lies follows from the header and the
    window (`tiling.origins_of`).
    """

    header: FrameHeader
    tile_px: int
    overlap_px: int
    tiles: Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Cloth that passed a camera and was not inspected, and why. Shares its sequence numbers with the frames."""

    line: str
    camera: str
    session: str
    sequence: int
    captured_at_ns: int
    position_from_mm: float
    position_to_mm: float
    reason: str  # a short code (`REASONS`), optionally ": detail"

    @property
    def key(self) -> FrameKey:
        return FrameKey(self.camera, self.session, self.sequence)

    @property
    def length_mm(self) -> float:
        return self.position_to_mm - self.position_from_mm

    @property
    def captured_at(self) -> datetime:
        return datetime.fromtimestamp(self.captured_at_ns / 1e9, tz=UTC)


REASONS = {
    "spool_full": "inspection could not keep up and the spool was full",
    "camera_lost": "the camera skipped or lost frames",
    "unreadable": "the picture could not be read",
    "too_dark": "the frame was too dark",
    "saturated": "the frame was overexposed",
    "blurred": "the frame was out of focus",
    "no_fabric": "no fabric was found in the frame",
    "too_narrow": "the fabric in the frame was narrower than a tile",
    "width_out_of_range": "the fabric was not as wide as it should be",
    "seam": "a seam passed",
    "model_mismatch": "the running model was trained for another tile size or scale",
    "refused": "the record of the frame contradicted itself or the camera's earlier ones",
    "spool_damaged": "the spooled frame was damaged on disk",
    "inspection_failed": "every worker that tried to inspect the frame failed",
    "ingest_restarted": "the ingest process died while the frame was only in its memory",
    # of no record, but of what is missing among them (`storage.coverage`)
    "waiting": "the cloth is captured and not inspected yet",
    "camera_silent": "the camera was silent while others saw the cloth",
}

# What an inspected frame may carry in `quality_flags`: the code, optionally ": detail". Those of WARNINGS are for
# staff to act upon, the others tell how the frame came to its place.
WARNINGS = {
    "brightness_drift": "the light has drifted",
    "focus_drift": "the focus is drifting",
    "dirty_lens": "a camera column stands out metre after metre: clean the lens, or look for a running warp fault",
}
FLAGS = WARNINGS | {
    "reversed": "the cloth went back before this frame; what was seen twice is left out",
    "encoder_reset": "the encoder's counter was reset",
    "encoder_glitch": "the encoder jumped; the position is counted from lines",
    "encoder_missing": "the camera gave no encoder counter; the position is counted from lines",
}


def warnings_of(flags: Iterable[str]) -> tuple[str, ...]:
    """Those of a frame's flags that staff should act upon."""
    return tuple(flag for flag in flags if flag.partition(":")[0] in WARNINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """The ingestor's own count of what a camera session has captured so far; the other side of `inspected + gaps`."""

    line: str
    camera: str
    session: str
    frames: int  # frames and gaps: the next sequence number
    captured_mm: float
    started_at_ns: int
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TileResult:
    """The model's answer for a frame's tiles, in tile order. maps: (N, tile_px, tile_px) raw scores (eq. 9)."""

    maps: Scores
    scores: Scores  # (N,), each map's maximum (eq. 10)
    styles: tuple[str, ...]  # the style each tile was compared with
    thresholds: Scores  # (N,), the style's


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A connected region over the threshold, placed on the roll. Boxes are half open, [x0, x1) x [y0, y1)."""

    x0_mm: float  # from the left fabric edge
    x1_mm: float
    y0_mm: float  # along the roll
    y1_mm: float
    x0_px: int  # in the frame, camera columns
    x1_px: int
    y0_px: int
    y1_px: int
    area_mm2: float
    area_px: int
    score: float  # highest raw score inside
    threshold: float
    style: str
    mask: Mask  # (y1_px - y0_px, x1_px - x0_px)
    hole: bool | None = None  # background shows through the cloth; None: could not be told


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameReport:
    """All that is stored of one inspected frame, in one transaction."""

    header: FrameHeader
    model: str  # bundle name
    style: str  # the roll's, or the one most tiles were routed to
    tile_px: int
    overlap_px: int
    tile_scores: Scores  # (N,), in tile order
    score_grid: Scores  # (rows, columns) maximum of the frame's map in coarse cells
    threshold: float
    received_at_ns: int
    scored_at_ns: int  # inference done
    defects: tuple[Defect, ...]
    crops: tuple[tuple[bytes, bytes], ...]  # a defect: PNG of its surroundings, PNG of the heat over the same place
    likenesses: tuple[bytes, ...] = ()  # a defect: what it looks like, float16; or none at all
