"""Every chart. Colours of the marks suit the light and the dark background; axes and text follow Streamlit's theme."""

from typing import Any, TypeAlias

import altair as alt
import pandas as pd

from dashboard import words
from dashboard.theme import CHOSEN_COLOUR, GAP_COLOUR, LIMIT_COLOUR, SCORE_COLOUR, STATE_COLOURS, STATE_SHAPES
from storage.reads.review_state import STATES
from storage.reads.roll_summary import UNKNOWN_WIDTH_MM, CameraCoverage, RollSummary

Drawing: TypeAlias = Any  # altair's own return types change with what is layered

TREND_HEIGHT_PX = 110
MAP_HEIGHT_PX = 330
WALL_MAP_HEIGHT_PX = 210
HATCHED_GAPS = 200  # more are drawn as plain bands
HATCH_LINES = 16  # across a band


def score_trend(trend: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The latest frames' highest score in units of the limit; frames with defects are marked.

    Data and Vega-Lite specification: written out, because it is drawn for each camera each second and Altair's checks
    would cost more than all the rest of the page.
    """
    table = pd.DataFrame(
        {
            "frame": range(1 - len(trend), 1),
            "strength": trend["strength"],
            "defects": trend["defects"],
            "text": trend["strength"].map(words.strength),
        }
    )
    top = max(1.25, float(trend["strength"].max()) * 1.1)
    x = {"field": "frame", "type": "quantitative", "axis": None, "scale": {"domain": [min(1 - len(trend), -1), 0]}}
    y = {
        "field": "strength",
        "type": "quantitative",
        "scale": {"domain": [0, top]},
        "axis": {"title": None, "values": [0, 1], "labelExpr": "datum.value == 1 ? 'limit' : '0'", "grid": False},
    }
    tooltip = [
        {"field": "text", "type": "nominal", "title": "Highest score"},
        {"field": "defects", "type": "quantitative", "title": "Defects"},
    ]
    return table, {
        "height": TREND_HEIGHT_PX,
        "layer": [
            {
                "mark": {"type": "line", "color": SCORE_COLOUR, "strokeWidth": 2, "interpolate": "monotone"},
                "encoding": {"x": x, "y": y, "tooltip": tooltip},
            },
            {
                "data": {"values": [{"strength": 1.0}]},
                "mark": {"type": "rule", "color": LIMIT_COLOUR, "strokeDash": [5, 4]},
                "encoding": {"y": y},
            },
            {
                "transform": [{"filter": "datum.defects > 0"}],
                "mark": {
                    "type": "point",
                    "color": STATE_COLOURS["unreviewed"],
                    "filled": True,
                    "size": 60,
                    "opacity": 1,
                },
                "encoding": {"x": x, "y": y, "tooltip": tooltip},
            },
        ],
    }


def lanes(roll: RollSummary) -> list[list[CameraCoverage]]:
    """Cameras that can share one map. Those that claim the same part of the width get a map of their own."""
    groups: list[list[CameraCoverage]] = []
    for camera in roll.cameras:
        for group in groups:
            if all(
                min(camera.x1_mm, other.x1_mm) - max(camera.x0_mm, other.x0_mm) <= 0.5 * (camera.x1_mm - camera.x0_mm)
                for other in group
            ):
                group.append(camera)
                break
        else:
            groups.append([camera])
    return groups


def roll_map(
    roll: RollSummary,
    defects: pd.DataFrame,
    gaps: pd.DataFrame,
    *,
    cameras: list[CameraCoverage],
    selected: int | None,
    height_px: int = MAP_HEIGHT_PX,
) -> Drawing:
    """Defects at metre x width, uninspected cloth as hatched bands. Selecting a point gives its `id` in "pick".

    defects: `RollMap.defects` with `when` in words; gaps: of `merge_gaps`; both of these cameras only.
    """
    length_m = max(roll.length_mm / 1000, 0.001)
    width_mm = max((camera.x1_mm for camera in cameras), default=UNKNOWN_WIDTH_MM)
    x = alt.X(
        "x_m:Q",
        title="Along the roll (m)",
        scale=alt.Scale(domain=[0, length_m], nice=False),
        axis=alt.Axis(grid=False, tickCount=12),
    )
    y = alt.Y(
        "y_mm:Q",
        title="Across (mm)",
        scale=alt.Scale(domain=[0, width_mm], nice=False),
        axis=alt.Axis(grid=False, tickCount=5, labels=width_mm > UNKNOWN_WIDTH_MM),
    )
    layers = [_cloth(cameras, length_m, x, y), _gap_bands(gaps, x, y), _hatches(gaps, x, y)]
    if len(defects):
        layers += [_ring(defects[defects["id"] == selected], x, y), _defect_points(defects, x, y)]
    return alt.layer(*layers).properties(height=height_px)


def _cloth(cameras: list[CameraCoverage], length_m: float, x: alt.X, y: alt.Y) -> Drawing:
    table = pd.DataFrame(
        [{"x_m": 0.0, "x2_m": length_m, "y_mm": camera.x0_mm, "y2_mm": camera.x1_mm} for camera in cameras]
    )
    return (
        alt.Chart(table)
        .mark_rect(color=SCORE_COLOUR, opacity=0.1, stroke=SCORE_COLOUR, strokeWidth=1, strokeOpacity=0.5)
        .encode(x=x, x2="x2_m:Q", y=y, y2="y2_mm:Q")
    )


def _gap_bands(gaps: pd.DataFrame, x: alt.X, y: alt.Y) -> Drawing:
    table = pd.DataFrame(
        {
            "x_m": gaps["y0_mm"] / 1000,
            "x2_m": gaps["y1_mm"] / 1000,
            "y_mm": gaps["x0_mm"],
            "y2_mm": gaps["x1_mm"],
            "camera": gaps["camera"],
            "reason": gaps["reason"].map(words.sentence),
            "span": [f"{a / 1000:.2f} to {b / 1000:.2f} m" for a, b in zip(gaps["y0_mm"], gaps["y1_mm"], strict=True)],
        }
    )
    return (
        alt.Chart(table)
        .mark_rect(color=GAP_COLOUR, opacity=0.4, stroke=GAP_COLOUR, strokeWidth=1.5)
        .encode(
            x=x,
            x2="x2_m:Q",
            y=y,
            y2="y2_mm:Q",
            tooltip=[
                alt.Tooltip("reason:N", title="Not inspected"),
                alt.Tooltip("span:N", title="Where"),
                alt.Tooltip("camera:N", title="Camera"),
            ],
        )
    )


def _hatches(gaps: pd.DataFrame, x: alt.X, y: alt.Y) -> Drawing:
    """Slanted lines over each band, as data, because a chart has no pattern fill."""
    largest = gaps.assign(length=gaps["y1_mm"] - gaps["y0_mm"]).nlargest(HATCHED_GAPS, "length")
    lines: list[tuple[float, float, float, float]] = []
    for y0, y1, x0, x1 in largest[["y0_mm", "y1_mm", "x0_mm", "x1_mm"]].to_numpy(dtype=float):
        step = (x1 - x0) / HATCH_LINES
        lines.extend((y0 / 1000, y1 / 1000, x0 + k * step, x0 + (k + 1) * step) for k in range(HATCH_LINES))
    table = pd.DataFrame(lines, columns=["x_m", "x2_m", "y_mm", "y2_mm"], dtype=float)
    return (
        alt.Chart(table)
        .mark_rule(color=GAP_COLOUR, strokeWidth=1, opacity=0.9, tooltip=None)
        .encode(x=x, x2="x2_m:Q", y=y, y2="y2_mm:Q")
    )


def _ring(defects: pd.DataFrame, x: alt.X, y: alt.Y) -> Drawing:
    """Around the defect that is shown below the map."""
    table = pd.DataFrame(
        {
            "x_m": (defects["y0_mm"] + defects["y1_mm"]) / 2000,
            "y_mm": (defects["x0_mm"] + defects["x1_mm"]) / 2,
        }
    )
    return alt.Chart(table).mark_point(shape="circle", size=1300, color=CHOSEN_COLOUR, strokeWidth=3).encode(x=x, y=y)


def _defect_points(defects: pd.DataFrame, x: alt.X, y: alt.Y) -> Drawing:
    table = pd.DataFrame(
        {
            "id": defects["id"],
            "x_m": (defects["y0_mm"] + defects["y1_mm"]) / 2000,
            "y_mm": (defects["x0_mm"] + defects["x1_mm"]) / 2,
            "area": defects["area_mm2"],
            "area_text": defects["area_mm2"].map(words.area),
            "strength": defects["strength"].map(words.strength),
            "state": defects["state"].map(words.STATE_WORDS),
            "place": [
                f"{(a + b) / 2000:.2f} m, {(c + d) / 2:.0f} mm from the left edge"
                for a, b, c, d in zip(
                    defects["y0_mm"], defects["y1_mm"], defects["x0_mm"], defects["x1_mm"], strict=True
                )
            ],
            "camera": defects["camera"],
            "when": defects["when"],
        }
    )
    names = [words.STATE_WORDS[state] for state in STATES]
    legend = alt.Legend(
        orient="top", direction="horizontal", symbolSize=150, symbolOpacity=1, symbolStrokeWidth=0, title=None
    )
    pick = alt.selection_point(name="pick", fields=["id"], on="click", empty=False)
    zoom = alt.selection_interval(name="zoom", bind="scales", encodings=["x"])
    return (
        alt.Chart(table)
        .mark_point(filled=True, opacity=0.9)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "state:N",
                title=None,
                scale=alt.Scale(domain=names, range=[STATE_COLOURS[state] for state in STATES]),
                legend=legend,
            ),
            shape=alt.Shape(
                "state:N",
                title=None,
                scale=alt.Scale(domain=names, range=[STATE_SHAPES[state] for state in STATES]),
                legend=legend,
            ),
            size=alt.Size("area:Q", scale=alt.Scale(type="sqrt", range=[45, 600]), legend=None),
            tooltip=[
                alt.Tooltip("state:N", title="State"),
                alt.Tooltip("place:N", title="Place"),
                alt.Tooltip("area_text:N", title="Area"),
                alt.Tooltip("strength:N", title="Strength"),
                alt.Tooltip("camera:N", title="Camera"),
                alt.Tooltip("when:N", title="Seen"),
            ],
        )
        .add_params(pick, zoom)
    )


def sample_counts(counts: pd.DataFrame, sources: dict[str, str]) -> Drawing:
    """Samples a style, golden ones and those from reviews stacked."""
    table = counts.assign(origin=counts["source"].map(lambda source: sources.get(source, source)))
    return (
        alt.Chart(table)
        .mark_bar()
        .encode(
            y=alt.Y("style:N", title=None),
            x=alt.X("count:Q", title="Pictures of normal fabric", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color(
                "origin:N",
                title=None,
                scale=alt.Scale(domain=list(sources.values()), range=[SCORE_COLOUR, STATE_COLOURS["unreviewed"]]),
                legend=alt.Legend(orient="top", columns=1),
            ),
            tooltip=[
                alt.Tooltip("style:N", title="Style"),
                alt.Tooltip("origin:N", title="From"),
                alt.Tooltip("count:Q", title="Pictures"),
            ],
        )
        .properties(height=alt.Step(28))
    )
