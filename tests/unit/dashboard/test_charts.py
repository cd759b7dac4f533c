"""Charts: what they draw, in whatever state the line is."""

from datetime import UTC, date, datetime
from typing import Any, get_args

import altair as alt
import pandas as pd
import pytest

from dashboard import charts, trend_charts
from dashboard.sample_data import SOURCES
from dashboard.theme import SAMPLE_COLOURS, STATE_COLOURS, STATE_SHAPES
from inspection.types import Roll
from storage.reads.review_state import STATES
from storage.reads.roll_summary import CameraCoverage, RollSummary
from storage.samples import Source

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
    return CameraCoverage(
        camera=name, x0_mm=x0_mm, x1_mm=x1_mm, frames=1, inspected_mm=900.0, gaps=1, gap_mm=100.0, waiting_mm=0.0
    )


def summary(*cameras: CameraCoverage) -> RollSummary:
    return RollSummary(
        roll=ROLL,
        length_mm=1000.0,
        width_mm=max((each.x1_mm for each in cameras), default=0.0),
        cameras=cameras,
        unseen=(),
        by_state=dict.fromkeys(STATES, 1),
    )


def rows_of(made: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """The drawn rows that have a field."""
    return [row for table in made["datasets"].values() if field in table for row in table.to_dict("records")]


def check(made: dict[str, Any]) -> None:
    """Against Vega-Lite's schema; each layer draws a table that is sent."""
    assert {each["data"]["name"] for each in made.get("layer", [made])} == set(made["datasets"])
    alt.Chart.from_dict({key: value for key, value in made.items() if key != "datasets"})


def test_what_is_no_chart_is_found() -> None:
    made = charts.layered([charts.layer(pd.DataFrame({"a": [1]}), "no mark", {}, x=charts.channel("a:Q"))], height=9)
    with pytest.raises(Exception, match="boxplot"):  # jsonschema's own, of the first mark that it is not
        check(made)


def test_a_table_that_several_layers_draw_is_sent_once() -> None:
    one, other = pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]})
    layers = [charts.layer(table, "point", {}, x=charts.channel("a:Q")) for table in (one, other, one)]
    made = charts.layered(layers, height=9)
    assert [made["datasets"][each["data"]["name"]] is one for each in made["layer"]] == [True, False, True]
    assert len(made["datasets"]) == 2


@pytest.mark.parametrize("signals", [["", "", ""], ["", "high", "run"]])
def test_the_control_chart_has_its_limits_and_marks_what_is_out_of_control(signals: list[str]) -> None:
    table = pd.DataFrame({"name": list("abc"), "value": [1.0, 2.0, 3.0], "signal": signals})
    made = trend_charts.control_chart(table.assign(lower=0.0, center=1.0, upper=2.0), title="t", text_format=".1f")
    check(made)
    assert [each["encoding"]["y"]["field"] for each in made["layer"]][:4] == ["upper", "lower", "center", "value"]
    assert [row["why"] for row in rows_of(made, "why")] == [
        {"high": "Above its limit", "run": "Ninth or later on one side"}[signal] for signal in signals if signal
    ]


def test_a_year_s_axis_labels_some_of_its_days() -> None:
    days = [f"{day:%Y-%m-%d}" for day in pd.date_range("2026-01-01", periods=365)]
    table = pd.DataFrame({"day": days, "x_mm": 0.0, "defects": 1})
    for number in (1, trend_charts.MOST_LABELS, 365):
        made = trend_charts.width_map(table.head(number), band_mm=50.0, when="Day")
        labels = made["encoding"]["x"]["axis"]["values"]
        assert labels[0] == days[0]
        assert set(labels) <= set(days[:number])
        assert min(number, trend_charts.MOST_LABELS / 2) <= len(labels) <= trend_charts.MOST_LABELS


def test_weeks_hold_what_their_days_do_and_begin_on_mondays() -> None:
    days = [f"{day:%Y-%m-%d}" for day in pd.date_range("2025-06-01", periods=365)]
    every = pd.DataFrame({0.0: range(365), 50.0: 1}, index=pd.Index(days, name="day"))
    weeks = trend_charts.weekly(every)
    assert weeks.index.name == "day"
    assert weeks.sum().tolist() == every.sum().tolist()
    assert {date.fromisoformat(day).weekday() for day in weeks.index} == {0}
    assert weeks.loc["2026-01-05", 50.0] == 7


def test_the_other_charts_of_trends_are_charts() -> None:
    check(trend_charts.bars(pd.DataFrame({"name": ["a"], "value": [1.0]}), title="t", text_format=".1f"))
    check(trend_charts.pareto(pd.DataFrame({"kind": ["a"], "defects": [3], "share": [1.0]})))
    bands = pd.DataFrame({"day": ["2026-03-14"] * 2, "x_mm": [0.0, 50.0], "defects": [1, 0]})
    made = charts.spoken(trend_charts.width_map(bands, band_mm=50.0, when="Day"), as_picture=True)
    check(made)
    assert [(row["x_mm"], row["x2_mm"]) for row in rows_of(made, "x2_mm")] == [(0.0, 50.0), (50.0, 100.0)]
    days = pd.DataFrame({"day": ["2026-03-14"], "place": ["a"], "state": ["watch"], "psi": [0.1], "ks": [0.1]})
    made = trend_charts.drift_strip(days.assign(frames=100), words={"steady": "Steady", "watch": "Watch"})
    check(made)
    assert [row["state_text"] for row in rows_of(made, "state_text")] == ["Watch"]


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
    counts = pd.DataFrame({"style": ["twill"] * 3, "source": ["reservoir", "golden", "past"], "count": [5, 3, 4]})
    made = charts.sample_counts(counts, {**SOURCES, "golden": "given"})
    check(made)
    rows = [(row["origin"], row["count"]) for row in rows_of(made, "origin")]
    assert rows == [("by chance", 5), ("given", 3), ("a past frame chosen", 4)]
    scale = made["encoding"]["color"]["scale"]
    assert scale["domain"] == ["given", "a past frame chosen", "by chance"]
    assert scale["range"] == [SAMPLE_COLOURS[source] for source in ("golden", "past", "reservoir")]


def test_every_source_of_samples_has_a_name_and_a_colour() -> None:
    assert set(SOURCES) == set(SAMPLE_COLOURS) == set(get_args(Source))
