"""The roll's strip and part: what they draw, in whatever state the roll is."""

import json
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from dashboard import roll_charts, words
from dashboard.language import speaking
from dashboard.theme import FORM_SHAPES, SEVERITY_COLOURS
from storage.defects.geometry import GEOMETRIES
from storage.grading.cut_plan import CutPiece, CutPlan
from storage.grading.severity import SEVERITIES
from storage.reads.gap_words import merge_gaps
from storage.reads.review_state import STATES
from storage.reads.roll_map import PLACE
from tests.unit.dashboard.test_charts import camera, check, rows_of, summary


def defects(number: int) -> pd.DataFrame:
    rows = [
        {
            **dict(zip(PLACE, (10.0 * k, 10.0 * k + 5, 20.0, 30.0), strict=True)),
            "id": k,
            "size_mm": 5.0 * k,
            "geometry": GEOMETRIES[k % len(GEOMETRIES)],
            "severity": SEVERITIES[k % 3],
            "series": 7 if k % 2 else 0,
            "state": STATES[k % 3],
            "camera": "a",
            "code": "",
            "captured_at": datetime(2026, 3, 14, 12, tzinfo=UTC),
        }
        for k in range(number)
    ]
    columns = ["id", *PLACE, "size_mm", "geometry", "severity", "series", "state", "camera", "code", "captured_at"]
    return pd.DataFrame(rows, columns=columns)


def gaps(number: int) -> pd.DataFrame:
    rows = [(100.0 * k, 100.0 * k + 50, 0.0, 400.0, "a", "too_dark", "the frame was too dark") for k in range(number)]
    table = pd.DataFrame(rows, columns=[*PLACE, "camera", "code", "reason"])
    return merge_gaps(table.astype(dict.fromkeys(PLACE, float)))


PLAN = CutPlan(
    pieces=(
        CutPiece(y0_mm=0, y1_mm=400, points=1, rate=1, first=True),
        CutPiece(y0_mm=400, y1_mm=1000, points=9, rate=9, first=False),
    ),
    value_mm=400,
    whole_value_mm=0,
)


def strip(number_of_defects: int, number_of_gaps: int, plan: CutPlan | None = None) -> dict[str, Any]:
    drawn = summary(camera("a", 0, 400))
    made = roll_charts.strip(
        drawn, defects(number_of_defects), gaps(number_of_gaps), plan, cameras=drawn.cameras, from_m=0.2
    )
    check(made)
    return made


def part(number_of_defects: int, *, from_m: float = 0.0, selected: int | None = None) -> dict[str, Any]:
    drawn = summary(camera("a", 0, 400))
    made = roll_charts.part(
        drawn, defects(number_of_defects), gaps(1), cameras=drawn.cameras, from_m=from_m, selected=selected
    )
    check(made)
    return made


def test_each_defect_is_a_mark_at_its_metre_and_width_by_form_and_severity() -> None:
    for made in (strip(4, 0), part(4)):
        marks = rows_of(made, "says")
        assert [mark["x_m"] for mark in marks] == [0.0025, 0.0125, 0.0225, 0.0325]
        assert {mark["y_mm"] for mark in marks} == {25.0}
        assert [mark["severity"] for mark in marks] == [SEVERITIES[k % 3] for k in range(4)]
        assert [mark["form"] for mark in marks] == [words.FORMS[GEOMETRIES[k]] for k in range(4)]
        assert [mark["fill"] == 0 for mark in marks] == [STATES[k % 3] == "rejected" for k in range(4)]


def test_the_part_is_as_long_as_its_height_and_the_screen_s_shape_say() -> None:
    """One mm along is as long as one across: x spans width / height of what y spans."""
    [scale] = [
        layer["encoding"]["x"]["scale"]
        for layer in part(1, from_m=2.5)["layer"]
        if "domainMax" in layer["encoding"]["x"].get("scale", {})
    ][:1]
    assert scale["domainMin"] == 2.5
    assert scale["domainMax"] == {"expr": "2.5 + 0.4 * width / height"}


def test_only_what_can_come_into_view_is_sent() -> None:
    assert len(rows_of(part(2000), "says")) < 400
    assert len(rows_of(strip(2000, 0), "says")) == 2000


def test_defects_that_repeat_are_joined_by_a_line() -> None:
    assert [row["id"] for row in rows_of(strip(6, 0), "series") if "says" not in row] == [1, 3, 5]


def test_each_gap_is_a_band_with_its_reason_and_hatched() -> None:
    made = strip(0, 2)
    bands = rows_of(made, "reason")
    assert [(band["x_m"], band["x2_m"], band["reason"]) for band in bands] == [
        (0.0, 0.05, "The frame was too dark"),
        (0.1, 0.15, "The frame was too dark"),
    ]
    hatches = [row for row in rows_of(made, "y2_mm") if "reason" not in row and row["y2_mm"] - row["y_mm"] < 100]
    assert len(hatches) == 2 * roll_charts.HATCH_LINES
    assert all(0 <= row["y_mm"] <= row["y2_mm"] <= 400 for row in hatches)


def test_the_cut_plan_lies_below_the_cloth_and_cuts_go_through_it() -> None:
    made = strip(1, 0, PLAN)
    assert {(row["x_m"], row["x2_m"], row["kind"]) for row in rows_of(made, "kind")} == {
        (0.0, 0.4, "First quality"),
        (0.4, 1.0, "Second"),
    }
    assert [row["x_m"] for row in rows_of(made, "y2_mm") if set(row) == {"x_m", "y_mm", "y2_mm"}] == [0.4]


def test_a_clean_roll_is_drawn() -> None:
    assert rows_of(strip(0, 0), "says") == rows_of(part(0), "says") == []


def test_a_click_names_the_defect_and_dragging_the_stretch() -> None:
    params = {param["name"]: param for param in part(2)["params"]}
    assert params["pick"]["select"]["fields"] == ["id"]
    assert params["zoom"]["bind"] == "scales"
    [window] = [param for param in strip(2, 0)["params"] if param["name"] == "window"]
    assert window["select"]["encodings"] == ["x"]


def test_the_chosen_defect_has_a_ring() -> None:
    assert len(rows_of(part(3, selected=2), "x_m")) == len(rows_of(part(3), "x_m")) + 1


def test_forms_differ_by_shape_and_severities_by_colour() -> None:
    assert set(FORM_SHAPES) == set(GEOMETRIES)
    assert len(set(FORM_SHAPES.values())) == len(GEOMETRIES)
    assert len({SEVERITY_COLOURS[severity] for severity in SEVERITIES}) == 3


def test_a_chart_speaks_german() -> None:
    with speaking("de"):
        made = json.dumps(strip(3, 2), ensure_ascii=False, default=str)
    assert "Entlang der Rolle (m)" in made
    assert "datum.label == 'critical' ? \\\"kritisch\\\"" in made
    assert '"decimal": ","' in made


def test_a_strip_of_thousands_keeps_the_most_severe_of_those_that_lie_on_each_other() -> None:
    many = defects(10_000).assign(state="unreviewed")
    drawn = roll_charts.thinned(many, 100.0, 400.0)
    assert len(drawn) <= roll_charts.STRIP_CELLS[0] * roll_charts.STRIP_CELLS[1]
    assert (drawn["severity"] == "critical").all(), "one lies in every cell"
    assert len(roll_charts.thinned(many.head(100), 100.0, 400.0)) == 100
