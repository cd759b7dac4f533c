"""Which model inspects which style: what follows from all promotions and roll backs, in their order.

A promotion of a model as a whole puts it in charge of everything; one of a single style leaves the others as they are;
a roll back takes the last act that still stands away. It is one row each, so that every worker sees the former state or
the new one, thresholds included, and never a part of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.tables import ModelRow, PromotionRow, ShadowRow

LOCK = "promotions"  # of what is in force, and of the shadow beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """model: id of the one for all styles but those of `styles`: style -> id."""

    model: int
    styles: dict[str, int] = field(default_factory=dict)

    def of(self, style: str) -> int:
        return self.styles.get(style, self.model)

    @property
    def models(self) -> set[int]:
        return {self.model, *self.styles.values()}


def standing(session: Session) -> tuple[int, list[Standing]]:
    """Number of the latest act (0: none), and the states that still stand, the one in force last."""
    act, states = 0, list[Standing]()
    columns = PromotionRow.id, PromotionRow.model_id, PromotionRow.action, PromotionRow.style
    for number, model_id, action, style in session.execute(select(*columns).order_by(PromotionRow.id)):
        act = number
        if action == "rollback":
            states.pop()
        elif style:
            states.append(Standing(model=states[-1].model, styles={**states[-1].styles, style: model_id}))
        else:
            states.append(Standing(model=model_id))
    return act, states


def meant_for(manifest: Mapping[str, Any]) -> str:
    """The style that a training was asked for; "" when it was for all."""
    provenance = manifest.get("provenance")
    style = provenance.get("style") if isinstance(provenance, Mapping) else None
    return style if isinstance(style, str) and style in manifest["styles"] else ""


def end_shadow(session: Session) -> None:
    """Ends the shadow that runs when the model beside which it does is not in charge any more."""
    now = standing(session)[1][-1]
    for row in session.scalars(select(ShadowRow).where(ShadowRow.state == "running")):
        style = meant_for(session.get_one(ModelRow, row.model_id).manifest)
        if now.of(style) != row.against_id:
            itself = now.of(style) == row.model_id
            row.state, row.ended_at = "stopped", datetime.now(UTC)
            row.message = "it came in charge itself" if itself else "another model came in charge"
