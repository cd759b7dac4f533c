"""What staff did with models, and what the next one would learn from."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from sqlalchemy import func, select

from storage.database import Database
from storage.samples import to_be_learned
from storage.tables import ModelRow, PromotionRow, SampleRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """An act that made a model the running one."""

    model: str
    action: str  # promote or rollback
    style: str  # that it is for alone, "" for all
    reason: str
    by: str
    at: datetime


def promotions(database: Database, *, limit: int = 1000) -> list[Promotion]:
    """Newest first."""
    with database.reading() as session:
        rows = session.execute(
            select(
                ModelRow.name,
                PromotionRow.action,
                PromotionRow.style,
                PromotionRow.reason,
                PromotionRow.by,
                PromotionRow.at,
            )
            .join(ModelRow, ModelRow.id == PromotionRow.model_id)
            .order_by(PromotionRow.id.desc())
            .limit(limit)
        )
        return [
            Promotion(model=model, action=action, style=style, reason=reason, by=by, at=at)
            for model, action, style, reason, by, at in rows
        ]


def sample_counts(database: Database) -> pd.DataFrame:
    """Samples that are learned, or will be unless the guard holds them: style, source, count; by style and source."""
    with database.reading() as session:
        rows = session.execute(
            select(SampleRow.style, SampleRow.source, func.count(SampleRow.id))
            .where(to_be_learned())
            .group_by(SampleRow.style, SampleRow.source)
            .order_by(SampleRow.style, SampleRow.source)
        )
        return pd.DataFrame([tuple(row) for row in rows], columns=["style", "source", "count"])
