"""Charts: what they draw, in whatever state the line is."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from dashboard import charts
from dashboard.theme import STATE_COLOURS, STATE_SHAPES
from inspection.types import Roll
from storage.reads.review_state import STATES
from storage.reads.roll_summary import CameraCoverage, RollSummary

ROLL = Roll(
    id=1,
    line="line-1",
    name="r",
    style="",
    opened_at=datetime(2026, 3, 14, tzinfo=UTC),
    closed_at=None,
    automatic=False,
)


def camera(name: str, x0_mm: float, x1_mm: float) -> CameraCoverage:
    return CameraCoverage(camera=name, x0_mm=x0_mm, x1_mm=x1_mm, frames=1, inspected_mm=900.0, gaps=1, gap_mm=100.0)


def summary(*cameras: CameraCoverage) -> RollSummary:
    return RollSummary(
        roll=ROLL,
        length_mm=1000.0,
        width_mm=max((each.x1_mm for each in cameras), default=0.0),
        cameras=cameras,
        by_state=dict.fromkeys(STATES, 1),
    )


def rows_of(made: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """The drawn rows that have a field."""
    return [row for rows in made["datasets"].values() for row in rows if field in row]


def test_states_differ_by_shape_as_well_as_by_colour() -> None:
    assert len(set(STATE_COLOURS.values())) == len(set(STATE_SHAPES.values())) == len(STATES)


def test_cameras_side_by_side_share_a_map_and_those_on_one_place_do_not() -> None:
    left, right, same = camera("a", 0, 500), camera("b", 490, 1000), camera("c", 0, 500)
    groups = charts.lanes(summary(left, right, same))
    assert [[each.camera for each in group] for group in groups] == [["a", "b"], ["c"]]


def test_the_score_trend_marks_the_limit_and_the_frames_with_defects() -> None:
    trend = pd.DataFrame({"strength": [0.5, 1.4, 0.6], "defects": [0, 1, 0]})
    data, made = charts.score_trend(trend)
    assert list(data["frame"]) == [-2, -1, 0]
    assert made["layer"][1]["data"]["values"][0]["strength"] == 1.0
    assert made["layer"][0]["encoding"]["y"]["scale"]["domain"][1] >= 1.4


def test_samples_are_stacked_by_their_source() -> None:
    counts = pd.DataFrame({"style": ["twill"], "source": ["golden"], "count": [3]})
    [row] = rows_of(charts.sample_counts(counts, {"golden": "given", "review": "false alarms"}).to_dict(), "origin")
    assert (row["origin"], row["count"]) == ("given", 3)
