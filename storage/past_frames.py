"""The last metres of each camera, one whole frame every so often, from which staff choose samples after the fact.

Workers keep them in the picture store, `past/CAMERA/SLOT-COUNTER-SEQUENCE.png`: the slot follows from the position on
the roll, and a new frame takes the place of the one in its slot, so that there are never more than the settings allow.
PNG, since a sample is learned as it was scored, pixel for pixel. Where a frame came from, its model and its scores
stand in the file itself (a tEXt chunk): the ring is no part of the record, and whoever clears the folder loses nothing
else.
"""

import io
import json
import struct
import zlib
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from PIL import Image

from inspection.errors import ImageError, StorageError
from inspection.pictures import decode_picture
from inspection.types import Pixels, Scores
from storage.database import Database
from storage.pictures import PictureStore, picture_key
from storage.sample_parts import cut_part, place_of_part
from storage.samples import Captured, Sample, Scored, add_sample

FOLDER = "past"
FACTS = "loomwatch"  # the chunk's keyword
HEADER_END = 33  # of a PNG: signature and IHDR
HEAD_BYTES = 65536  # header and chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class PastFrame:
    """Fabric of a frame that ran by. `key`: of its picture; `grid`: (rows, columns), the highest score of each cell of
    `cell_px` pixels of the fabric; `style`: as it was inspected."""

    key: str
    captured: Captured
    scored: Scored
    style: str
    mm_per_px: float
    cell_px: int
    grid: Scores

    @property
    def name(self) -> str:
        """What staff call it by on the command line."""
        return self.key.rpartition("/")[2].removesuffix(".png")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """`frames` of each camera, one every `every_mm` of cloth; 0 frames: none are kept."""

    frames: int
    every_mm: float

    def stretch(self, position_mm: float) -> int:
        """Number of the stretch of cloth, of which one frame is kept."""
        return int(position_mm // self.every_mm)


def keep_frame(
    pictures: PictureStore,
    png: bytes,
    ring: Ring,
    *,
    captured: Captured,
    scored: Scored,
    style: str,
    sequence: int,
    mm_per_px: float,
    cell_px: int,
    grid: Scores,
) -> str:
    """Keeps a frame as PNG in place of the one in its slot; its key. Frames that a smaller ring leaves over go
    too. Raises `StorageError`, for a full disk say: the ring is as it was then."""
    slot = ring.stretch(captured.y0_mm) % ring.frames
    facts = {
        "captured": asdict(captured) | {"captured_at": captured.captured_at.isoformat()},
        "scored": asdict(scored),
        "style": style,
        "mm_per_px": mm_per_px,
        "cell_px": cell_px,
        "grid": [[round(float(score), 5) for score in row] for row in grid],
    }
    key = picture_key(FOLDER, captured.camera, f"{slot:05}-{captured.counter}-{sequence}.png")
    pictures.put(key, _with_facts(png, json.dumps(facts)))
    others = [each for each in pictures.keys_in(picture_key(FOLDER, captured.camera)) if each != key]
    pictures.delete_all([each for each in others if _slot(each) == slot or _slot(each) >= ring.frames])
    return key


def past_frames(pictures: PictureStore, camera: str) -> list[PastFrame]:
    """Of a camera, the latest first; one that is damaged, or goes meanwhile, is left out. Raises `StorageError`."""
    found = []
    for key in pictures.keys_in(picture_key(FOLDER, camera)):
        try:
            found.append(_read(key, pictures.head(key, HEAD_BYTES)))
        except StorageError:
            continue
    return sorted(found, key=lambda frame: frame.captured.captured_at, reverse=True)


def take_past_frame(
    database: Database,
    pictures: PictureStore,
    frame: PastFrame,
    *,
    style: str,
    by: str,
    box_px: tuple[int, int, int, int] | None = None,
    why: str = "",
) -> Sample:
    """A past frame, or the part left, right, top, bottom of it, as a sample, with the model and the highest score of
    that part then. It waits for the guard.

    Raises `StorageError` for a style without a name, a part that is none or is smaller than a tile of the running
    model, and when other cloth has taken the frame's place.
    """
    if not style.strip():
        raise StorageError("a sample needs the name of its style")
    pixels = read_past_picture(pictures, frame)
    height, width = pixels.shape[:2]
    box = box_px or (0, width, 0, height)
    png = cut_part(database, pixels, box)
    left, right, top, bottom = box
    cell = frame.cell_px
    cells = frame.grid[top // cell : -(-bottom // cell), left // cell : -(-right // cell)]
    return add_sample(
        database,
        pictures,
        style=style.strip(),
        png=png,
        source="past",
        roll_group=frame.captured.group,
        mm_per_px=frame.mm_per_px,
        by=by,
        why=why or "chosen from past frames",
        captured=place_of_part(frame.captured, box, mm_per_px=frame.mm_per_px),
        scored=replace(frame.scored, score=float(cells.max())),
    )


def read_past_picture(pictures: PictureStore, frame: PastFrame) -> Pixels:
    """(H, W) or (H, W, 3). Raises `StorageError` when other cloth has taken its place, or it is damaged."""
    if not pictures.exists(frame.key):
        raise StorageError(f"past frame {frame.name} of {frame.captured.camera} is gone: other cloth took its place")
    try:
        return decode_picture(pictures.get(frame.key), name=f"past frame {frame.name}")
    except ImageError as error:
        raise StorageError(str(error)) from error


def _with_facts(png: bytes, facts: str) -> bytes:
    """The same picture with a tEXt chunk behind its header (PNG, 11.3.3.3): to write it is not to encode it again."""
    chunk = b"tEXt" + FACTS.encode() + b"\0" + facts.encode("ascii")
    return b"".join(
        (
            png[:HEADER_END],
            struct.pack(">I", len(chunk) - 4),
            chunk,
            struct.pack(">I", zlib.crc32(chunk)),
            png[HEADER_END:],
        )
    )


def _slot(key: str) -> int:
    number = key.rpartition("/")[2].partition("-")[0]
    return int(number) if number.isdecimal() else -1


def _read(key: str, head: bytes) -> PastFrame:
    try:
        facts: dict[str, Any] = json.loads(Image.open(io.BytesIO(head)).info[FACTS])
        captured = facts["captured"] | {"captured_at": datetime.fromisoformat(facts["captured"]["captured_at"])}
        return PastFrame(
            key=key,
            captured=Captured(**captured),
            scored=Scored(**facts["scored"]),
            style=facts["style"],
            mm_per_px=facts["mm_per_px"],
            cell_px=facts["cell_px"],
            grid=np.array(facts["grid"], np.float32),
        )
    except (OSError, SyntaxError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"past frame {key} cannot be read: {error}") from error
