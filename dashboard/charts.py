"""Every chart. Colours of the marks suit the light and the dark background; axes and text follow Streamlit's theme."""

from typing import Any, TypeAlias

import altair as alt
import pandas as pd

from dashboard import words
from dashboard.language import _, language
from dashboard.theme import LIMIT_COLOUR, SCORE_COLOUR, STATE_COLOURS
from dashboard.units import units
from storage.reads.roll_summary import CameraCoverage, RollSummary

Drawing: TypeAlias = Any  # altair's own return types change with what is layered

alt.utils.schemapi.disable_debug_mode()  # a chart is checked as a whole when it is drawn, not each of its parts before

TREND_HEIGHT_PX = 110
NUMBERS = {  # as d3 takes a language's way of writing them
    "en": {"decimal": ".", "thousands": ",", "grouping": [3], "currency": ["", ""]},
    "de": {"decimal": ",", "thousands": ".", "grouping": [3], "currency": ["", ""]},
}


def spoken(chart: Drawing, *, as_picture: bool = False) -> Drawing:
    """With numbers on axes and in tooltips as the language writes them. as_picture: thousands of marks are then one
    picture, whose words are the page's (`alt=`), instead of as many that each say nothing."""
    renderer = {"renderer": "canvas"} if as_picture else {}
    return chart.properties(usermeta={"embedOptions": {"formatLocale": NUMBERS[language()], **renderer}})


def in_long_units() -> dict[str, Any]:
    """What an axis in m needs to show the viewer's own unit along the roll."""
    return {} if units().long == "m" else {"labelExpr": f"format(datum.value / {units().long_mm / 1000}, ',.2~f')"}


def in_short_units() -> dict[str, Any]:
    """The same for an axis in mm."""
    return {} if units().short == "mm" else {"labelExpr": f"format(datum.value / {units().short_mm}, ',.1~f')"}


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
    limit = _("limit")
    limit_label = f"datum.value == 1 ? {limit!r} : '0'"
    y = {
        "field": "strength",
        "type": "quantitative",
        "scale": {"domain": [0, top]},
        "axis": {"title": None, "values": [0, 1], "labelExpr": limit_label, "grid": False},
    }
    tooltip = [
        {"field": "text", "type": "nominal", "title": _("Highest score")},
        {"field": "defects", "type": "quantitative", "title": _("Defects")},
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


def sample_counts(counts: pd.DataFrame, sources: dict[str, str]) -> Drawing:
    """Samples a style, golden ones and those from reviews stacked."""
    table = counts.assign(origin=counts["source"].map(lambda source: sources.get(source, source)))
    return (
        alt.Chart(table)
        .mark_bar()
        .encode(
            y=alt.Y("style:N", title=None),
            x=alt.X("count:Q", title=_("Pictures of normal fabric"), axis=alt.Axis(tickMinStep=1)),
            color=alt.Color(
                "origin:N",
                title=None,
                scale=alt.Scale(domain=list(sources.values()), range=[SCORE_COLOUR, STATE_COLOURS["unreviewed"]]),
                legend=alt.Legend(orient="top", columns=1),
            ),
            tooltip=[
                alt.Tooltip("style:N", title=_("Style")),
                alt.Tooltip("origin:N", title=_("From")),
                alt.Tooltip("count:Q", title=_("Pictures")),
            ],
        )
        .properties(height=alt.Step(28))
    )
