"""Samples: pictures of normal fabric that models learn from, each with where it came from.

`golden` ones are given by staff (the first model's normal fabric), `review` ones are crops of rejected defects
(`storage.reviews`). What was captured together carries one `roll_group` and stays on one side of every split.
"""

import hashlib
import math
import struct
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from inspection.errors import StorageError
from storage import audit
from storage.database import Database
from storage.pictures import PictureStore, picture_key
from storage.tables import SampleRow, StyleRow

PNG_HEADER = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`picture`: its key in the picture store."""

    id: int
    style: str
    picture: str
    source: str
    roll_group: str
    defect_id: int | None
    mm_per_px: float
    active: bool
    by: str
    created_at: datetime


def add_sample(
    database: Database,
    pictures: PictureStore,
    *,
    style: str,
    png: bytes,
    source: str,
    roll_group: str,
    mm_per_px: float,
    by: str,
    defect_id: int | None = None,
) -> Sample:
    """Keeps a picture and registers it. The same picture of the same style and group again is the same sample, made
    active again.

    Raises `StorageError` when the bytes are no picture, or for a style without a name.
    """
    if not style or not math.isfinite(mm_per_px) or mm_per_px <= 0:
        raise StorageError(f"a sample needs a style and a scale, got style {style!r} and {mm_per_px} mm/px")
    picture_size(png, "the sample")
    digest = hashlib.sha256(roll_group.encode() + b"\0" + png).hexdigest()
    key = picture_key("samples", style, f"{digest[:32]}.png")
    pictures.put(key, png)
    with database.session() as session:
        now = datetime.now(UTC)
        database.insert_new(session, StyleRow, name=style, created_at=now)
        new = database.insert_new(
            session,
            SampleRow,
            style=style,
            picture=key,
            source=source,
            roll_group=roll_group,
            defect_id=defect_id,
            mm_per_px=mm_per_px,
            active=True,
            by=by,
            created_at=now,
        )
        row = session.scalars(select(SampleRow).where(SampleRow.picture == key)).one()
        if new is not None or not row.active:
            row.active = True
            audit.record(
                session, by=by, action="sample.add", subject=key, detail={"style": style, "roll_group": roll_group}
            )
        return _sample(row)


def list_samples(database: Database, *, active_only: bool = True) -> list[Sample]:
    """All samples, by style, the oldest first."""
    with database.reading() as session:
        query = select(SampleRow).order_by(SampleRow.style, SampleRow.id)
        if active_only:
            query = query.where(SampleRow.active)
        return [_sample(row) for row in session.scalars(query)]


def picture_size(png: bytes, name: str) -> tuple[int, int]:
    """(height, width) of a PNG from its first `PNG_HEADER` bytes. Raises `StorageError` when it is none."""
    if len(png) < PNG_HEADER or not png.startswith(b"\x89PNG\r\n\x1a\n") or png[12:16] != b"IHDR":
        raise StorageError(f"{name} is no PNG picture: give it as PNG")
    width, height = struct.unpack(">II", png[16:24])
    return height, width


def _sample(row: SampleRow) -> Sample:
    return Sample(
        id=row.id,
        style=row.style,
        picture=row.picture,
        source=row.source,
        roll_group=row.roll_group,
        defect_id=row.defect_id,
        mm_per_px=row.mm_per_px,
        active=row.active,
        by=row.by,
        created_at=row.created_at,
    )
