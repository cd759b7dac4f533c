"""The reservoir: tiles of low score that workers keep of each style by chance, so that staff can add normal cloth of
every season without looking for it. Every tile has a priority drawn from its frame's key; the lowest ones stay
(bottom-k sampling), so that several workers keep one fair sample together, and it never grows. Nobody has looked at
them: the guard holds each, and what staff accept leaves the reservoir."""

from sqlalchemy import func, select

from storage.database import Database
from storage.pictures import PictureStore
from storage.tables import SampleRow

_IN_IT = (SampleRow.source == "reservoir", SampleRow.active, SampleRow.state.in_(("waits", "held")))


def reservoir_limit(database: Database, style: str, *, size: int) -> float:
    """The priority below which a tile of the style gets in, 1.0 while there is room."""
    with database.reading() as session:
        count, highest = session.execute(
            select(func.count(SampleRow.id), func.max(SampleRow.priority)).where(SampleRow.style == style, *_IN_IT)
        ).one()
    return 1.0 if count < size else float(highest or 0.0)


def trim_reservoir(database: Database, pictures: PictureStore, style: str, *, size: int) -> None:
    """Leaves the `size` lowest priorities; what a frozen set names was accepted and is none of these."""
    with database.session() as session:
        rows = session.scalars(
            select(SampleRow).where(SampleRow.style == style, *_IN_IT).order_by(SampleRow.priority).offset(size)
        ).all()
        gone = [row.picture for row in rows]
        for row in rows:
            session.delete(row)
    pictures.delete_all(gone)
