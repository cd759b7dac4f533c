"""Frozen sets: what a training learned from, picture by picture with its checksum, what it left to the gate, and every
setting that the result depends on. A set is never changed; a model names the one it came from, so that it can be
trained again to the same result (`retraining.training`)."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from inspection.errors import ChangedMeanwhile, StorageError
from storage.database import Database
from storage.pictures import PictureStore
from storage.samples import Sample
from storage.tables import SampleSetRow


@dataclass(frozen=True, slots=True, kw_only=True)
class SetItem:
    """One picture of a set: `picture` is its key in the picture store, `sha256` of its bytes."""

    sample: int
    style: str
    picture: str
    sha256: str
    group: str
    source: str
    mm_per_px: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSet:
    """`learned`, in the order of training; `held_out`: left to the gate; `recipe`: the settings."""

    id: int
    learned: tuple[SetItem, ...]
    held_out: tuple[SetItem, ...]
    recipe: dict[str, Any]
    sha256: str
    by: str
    at: datetime

    def to_dict(self) -> dict[str, Any]:
        return {"set": self.id, "sha256": self.sha256, "by": self.by, "at": self.at.isoformat(), **_content(self)}


def freeze_set(
    database: Database,
    pictures: PictureStore,
    *,
    learned: Sequence[Sample],
    held_out: Sequence[Sample],
    recipe: Mapping[str, Any],
    by: str,
) -> SampleSet:
    """Reads every picture's checksum and keeps the list under the next number; the same list again is the same set.

    Raises `StorageError` when a picture is gone.
    """
    frozen = SampleSet(
        id=0,
        learned=tuple(_item(sample, pictures) for sample in learned),
        held_out=tuple(_item(sample, pictures) for sample in held_out),
        recipe=dict(recipe),
        sha256="",
        by=by,
        at=datetime.now(UTC),
    )
    content = _content(frozen)
    digest = hashlib.sha256(_encode(content)).hexdigest()
    with database.session() as session:
        database.lock(session, "sample_sets")
        row = session.scalar(select(SampleSetRow).where(SampleSetRow.sha256 == digest))
        if row is None:
            row = SampleSetRow(content=content, sha256=digest, by=by, at=frozen.at)
            session.add(row)
            session.flush()
        return _set(row)


def read_set(database: Database, number: int) -> SampleSet:
    """Raises `StorageError` for an unknown one, and for one whose row was changed since."""
    with database.reading() as session:
        row = session.get(SampleSetRow, number)
        if row is None:
            raise StorageError(f"there is no set {number}: see loomwatch samples sets list")
        if hashlib.sha256(_encode(row.content)).hexdigest() != row.sha256:
            raise StorageError(f"set {number} was changed since it was frozen: no model can be trained from it again")
        return _set(row)


def list_sets(database: Database, *, limit: int = 50) -> list[SampleSet]:
    """The latest first."""
    with database.reading() as session:
        return [
            _set(row) for row in session.scalars(select(SampleSetRow).order_by(SampleSetRow.id.desc()).limit(limit))
        ]


def read_item(item: SetItem, pictures: PictureStore) -> bytes:
    """The picture as it was when the set was frozen. Raises `StorageError` when it cannot be had, `ChangedMeanwhile`
    when it is gone or another."""
    try:
        data = pictures.get(item.picture)
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise ChangedMeanwhile(str(error)) from error
        raise
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise ChangedMeanwhile(
            f"picture {item.picture} is not the one that its set was frozen with: restore it from a backup"
        )
    return data


def _item(sample: Sample, pictures: PictureStore) -> SetItem:
    return SetItem(
        sample=sample.id,
        style=sample.style,
        picture=sample.picture,
        sha256=hashlib.sha256(pictures.get(sample.picture)).hexdigest(),
        group=sample.roll_group,
        source=sample.source,
        mm_per_px=sample.mm_per_px,
    )


_COLUMNS = ("sample", "style", "picture", "sha256", "group", "source", "mm_per_px")


def _content(frozen: SampleSet) -> dict[str, Any]:
    """Rows of columns, not of names: a set of ten thousand pictures is read on every look at the list."""
    return {
        "columns": list(_COLUMNS),
        "learned": [[getattr(item, name) for name in _COLUMNS] for item in frozen.learned],
        "held_out": [[getattr(item, name) for name in _COLUMNS] for item in frozen.held_out],
        "recipe": frozen.recipe,
    }


def _encode(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _set(row: SampleSetRow) -> SampleSet:
    content = row.content
    names = content["columns"]
    learned, held_out = (
        tuple(SetItem(**dict(zip(names, values, strict=True))) for values in content[part])
        for part in ("learned", "held_out")
    )
    return SampleSet(
        id=row.id,
        learned=learned,
        held_out=held_out,
        recipe=content["recipe"],
        sha256=row.sha256,
        by=row.by,
        at=row.at,
    )
