"""Charts: what they draw, in whatever state the line is."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from dashboard import charts, words
from dashboard.theme import STATE_COLOURS, STATE_SHAPES
from inspection.types import Roll
from storage.reads.gap_words import merge_gaps
from storage.reads.review_state import STATES
from storage.reads.roll_map import PLACE
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


def defects(number: int) -> pd.DataFrame:
    rows = [
        {
            **dict(zip(PLACE, (10.0 * k, 10.0 * k + 5, 20.0, 30.0), strict=True)),
            "id": k,
            "area_mm2": 5.0 * k,
            "strength": 1.5,
            "state": STATES[k % 3],
            "camera": "a",
            "when": "12:00:00",
        }
        for k in range(number)
    ]
    return pd.DataFrame(rows, columns=["id", *PLACE, "area_mm2", "strength", "state", "camera", "when"])


def gaps(number: int) -> pd.DataFrame:
    rows = [(100.0 * k, 100.0 * k + 50, 0.0, 400.0, "a", "too_dark", "the frame was too dark") for k in range(number)]
    table = pd.DataFrame(rows, columns=[*PLACE, "camera", "code", "reason"])
    return merge_gaps(table.astype(dict.fromkeys(PLACE, float)))


def spec(number_of_defects: int, number_of_gaps: int, *, selected: int | None = None) -> dict[str, Any]:
    drawn = summary(camera("a", 0, 400))
    made: dict[str, Any] = charts.roll_map(
        drawn, defects(number_of_defects), gaps(number_of_gaps), cameras=list(drawn.cameras), selected=selected
    ).to_dict()
    return made


def rows_of(made: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """The drawn rows that have a field."""
    return [row for rows in made["datasets"].values() for row in rows if field in row]


def test_each_defect_is_a_mark_at_its_metre_and_width() -> None:
    marks = rows_of(spec(4, 0), "strength")
    assert [mark["x_m"] for mark in marks] == [0.0025, 0.0125, 0.0225, 0.0325]
    assert {mark["y_mm"] for mark in marks} == {25.0}
    assert [mark["state"] for mark in marks] == [words.STATE_WORDS[STATES[k % 3]] for k in range(4)]


def test_each_gap_is_a_band_with_its_reason_and_hatched() -> None:
    made = spec(0, 2)
    bands = rows_of(made, "reason")
    assert [(band["x_m"], band["x2_m"], band["reason"]) for band in bands] == [
        (0.0, 0.05, "The frame was too dark"),
        (0.1, 0.15, "The frame was too dark"),
    ]
    hatches = [row for row in rows_of(made, "y2_mm") if "reason" not in row and row["y2_mm"] - row["y_mm"] < 100]
    assert len(hatches) == 2 * charts.HATCH_LINES
    assert all(0 <= row["y_mm"] <= row["y2_mm"] <= 400 for row in hatches)


def test_a_clean_roll_and_a_roll_without_gaps_are_drawn() -> None:
    assert rows_of(spec(0, 0), "strength") == []


def test_a_click_names_the_defect() -> None:
    params = {param["name"]: param for param in spec(2, 0)["params"]}
    assert params["pick"]["select"]["fields"] == ["id"]
    assert params["zoom"]["bind"] == "scales"


def test_the_chosen_defect_has_a_ring() -> None:
    plain, chosen = spec(3, 0), spec(3, 0, selected=2)
    assert len(rows_of(chosen, "x_m")) == len(rows_of(plain, "x_m")) + 1


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
