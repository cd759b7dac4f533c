"""Every chart. Colours of the marks suit the light and the dark background; axes and text follow Streamlit's theme.

Charts are Vega-Lite specifications written out: to make the same by Altair, which checks each of their parts against
its schema, takes longer than everything else on a page.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import pandas as pd

from dashboard import words
from dashboard.language import _, language
from dashboard.theme import LIMIT_COLOUR, SAMPLE_COLOURS, SCORE_COLOUR, STATE_COLOURS
from dashboard.units import units
from storage.reads.roll_summary import CameraCoverage, RollSummary

Drawing: TypeAlias = dict[str, Any]  # a Vega-Lite specification, or a part of one
TYPES = {"Q": "quantitative", "N": "nominal", "O": "ordinal"}

TREND_HEIGHT_PX = 110
LEGEND_PX = 400  # of a word, before it is cut
NUMBERS = {  # as d3 takes a language's way of writing them
    "en": {"decimal": ".", "thousands": ",", "grouping": [3], "currency": ["", ""]},
    "de": {"decimal": ",", "thousands": ".", "grouping": [3], "currency": ["", ""]},
}


def spoken(chart: Drawing, *, as_picture: bool = False) -> Drawing:
    """With numbers on axes and in tooltips as the language writes them. What who does not see it is told of it is the
    page's (`alt=`): Vega's own words of axes and marks are English and name columns. as_picture: thousands of marks are
    then one picture."""
    picture: Drawing = {"usermeta": {"embedOptions": {"renderer": "canvas"}}} if as_picture else {}
    config = {
        "legend": {"labelLimit": LEGEND_PX},
        **chart.get("config", {}),
        "locale": {"number": NUMBERS[language()]},
        "aria": False,
        "mark": {"aria": False},
    }
    return {**chart, **picture, "config": config}  # Streamlit drops embedOptions' own formatLocale


def layered(layers: Sequence[Drawing], *, height: Any, **more: Any) -> Drawing:
    """layers: of `layer`, the first one lowest. height: in px, or as Vega-Lite takes it."""
    tables: list[pd.DataFrame] = []
    drawn = []
    for each in layers:
        if not any(table is each["data"] for table in tables):
            tables.append(each["data"])
        number = next(number for number, table in enumerate(tables) if table is each["data"])
        drawn.append({**each, "data": {"name": f"table-{number}"}})
    datasets = {f"table-{number}": table for number, table in enumerate(tables)}
    marks = drawn[0] if len(drawn) == 1 else {"layer": drawn}
    return {**marks, "datasets": datasets, "height": height, **more}


def layer(table: pd.DataFrame, mark: str, /, style: Drawing, **encoding: Any) -> Drawing:
    """One kind of marks. style: the mark's own properties; encoding: of `channel`, `tooltip` and `X2`, `Y2`."""
    return {"data": table, "mark": {"type": mark, **style}, "encoding": encoding}


def channel(what: str, **more: Any) -> Drawing:
    """what: a column with its kind, as in x_m:Q."""
    field, _colon, kind = what.partition(":")
    return {"field": field, "type": TYPES[kind], **more}


X2, Y2 = {"field": "x2_m"}, {"field": "y2_mm"}  # where marks that span something end


def tooltip(**told: Any) -> list[Drawing]:
    """column -> its title, or title and number format. A column whose format is given is a number."""
    found = []
    for field, told_of in told.items():
        title, form = told_of if isinstance(told_of, tuple) else (told_of, None)
        found.append(channel(f"{field}:{'Q' if form else 'N'}", title=title, **({"format": form} if form else {})))
    return found


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
    chart: Drawing = {
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
    return table, spoken(chart)


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
    """Samples a style, stacked by where they came from, in the order of `sources`."""
    present = [source for source in sources if (counts["source"] == source).any()]
    table = counts.assign(origin=counts["source"].map(sources), place=counts["source"].map(list(sources).index))
    colours = {
        "domain": [sources[source] for source in present],
        "range": [SAMPLE_COLOURS[source] for source in present],
    }
    bars = layer(
        table,
        "bar",
        {},
        y=channel("style:N", title=None),
        x=channel("count:Q", title=_("Pictures of normal fabric"), axis={"tickMinStep": 1}),
        color=channel("origin:N", title=None, scale=colours, legend={"orient": "top", "columns": 1}),
        order=channel("place:Q"),
        tooltip=[
            *tooltip(style=_("Style"), origin=_("From")),
            channel("count:Q", title=_("Pictures")),
        ],
    )
    return layered([bars], height={"step": 28})
