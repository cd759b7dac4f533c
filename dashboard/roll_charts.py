"""A roll's two charts: all of it as a strip with its cut plan, and a part of it in true proportions.

The strip is stretched along; what is marked on it is what the other shows, where a millimetre along the roll is as long
as one across. Colour and rim are the severity, shape the form; a false alarm is hollow: colour alone tells nothing.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from dashboard import stored_words, words
from dashboard.charts import (
    X2,
    Y2,
    Drawing,
    channel,
    in_long_units,
    in_short_units,
    layer,
    layered,
    spoken,
    tooltip,
)
from dashboard.language import _, figure
from dashboard.on_map import in_words
from dashboard.stored_words import said
from dashboard.theme import CHOSEN_COLOUR, FORM_SHAPES, GAP_COLOUR, SCORE_COLOUR, SEVERITY_COLOURS
from dashboard.units import units
from storage.grading.cut_plan import CutPlan
from storage.reads.roll_summary import UNKNOWN_WIDTH_MM, CameraCoverage, RollSummary

STRIP_PX, PART_PX = 260, 360
HATCHED_GAPS = 200  # more are drawn as plain bands
HATCH_LINES = 12  # across a band
WIDEST = 8  # what is sent of the part, in widths of the cloth; a screen shows less
STRIP_MARKS = 2000  # more are thinned out: they would lie on each other, and dragging over them would not be smooth
STRIP_CELLS = (160, 10)  # along, across: of each the most severe one is drawn then
PLAN_SHARE = 0.22  # of the cloth's width, below it, for the cut plan
RIMS = {"critical": 4.0, "major": 1.5, "minor": 0.5}  # px: severity is not told by colour alone
FIRST_COLOUR, SECOND_COLOUR = "#1A869F", "#4F5763"


def strip(
    roll: RollSummary,
    defects: pd.DataFrame,
    gaps: pd.DataFrame,
    plan: CutPlan | None,
    *,
    cameras: Sequence[CameraCoverage],
    from_m: float,
) -> Drawing:
    """All of a roll. Dragging over it gives "window" with x_m. defects, gaps: as for `part`; plan: None draws none;
    from_m: where the part begins that is marked."""
    length_m, width_mm = extent(roll, cameras)
    low = -PLAN_SHARE * width_mm if plan is not None and plan.pieces else 0.0
    x = channel(
        "x_m:Q",
        title=_("Along the roll ({unit})", unit=units().long),
        scale={"domain": [0, length_m], "nice": False},
        axis={"grid": False, "values": along_ticks(length_m), **in_long_units()},
    )
    y = _across(low, width_mm)
    layers = [_cloth(cameras, length_m, x, y), *_gaps(gaps, x, y)]
    if low and plan is not None:
        layers += _plan(plan, low, width_mm, x, y)
    layers += _series(defects, x, y)
    points = _points(thinned(defects, length_m, width_mm), x, y, sizes=[18, 160], legend=True)
    shown = pd.DataFrame(
        [{"x_m": from_m, "x2_m": min(length_m, from_m + 3 * width_mm / 1000), "y_mm": 0.0, "y2_mm": width_mm}]
    )
    chosen = {"color": CHOSEN_COLOUR, "opacity": 0.14, "stroke": CHOSEN_COLOUR, "strokeWidth": 2}
    marked = layer(shown, "rect", chosen, x=x, x2=X2, y=y, y2=Y2)
    brush = {"type": "interval", "encodings": ["x"], "mark": {"fill": CHOSEN_COLOUR}}
    window = {"name": "window", "select": brush, "views": [points["name"]]}
    return spoken(layered([*layers, marked, points], height=STRIP_PX, params=[window]), as_picture=True)


def part(
    roll: RollSummary,
    defects: pd.DataFrame,
    gaps: pd.DataFrame,
    *,
    cameras: Sequence[CameraCoverage],
    from_m: float,
    selected: int | None,
) -> Drawing:
    """From `from_m` on as much as fits, in true proportions, which zooming keeps. Clicking a defect gives its `id` in
    "pick". defects: of `RollMap`; gaps: of `merge_gaps`; both of these cameras only."""
    length_m, width_mm = extent(roll, cameras)
    last_m = from_m + WIDEST * width_mm / 1000
    near = defects[(defects["y1_mm"] >= from_m * 1000 - 1000) & (defects["y0_mm"] <= last_m * 1000)]
    gaps = gaps[(gaps["y1_mm"] >= from_m * 1000) & (gaps["y0_mm"] <= last_m * 1000)]
    x = channel(
        "x_m:Q",
        title=_("Along the roll ({unit}), in true proportions", unit=units().long),
        scale={
            "domainMin": from_m,
            "domainMax": {"expr": f"{from_m} + {width_mm / 1000} * width / height"},
            "nice": False,
            "zero": False,
        },
        axis={"grid": False, "tickCount": 10, **in_long_units()},
    )
    y = _across(0, width_mm)
    points = _points(near, x, y, sizes=[70, 500], legend=False)
    pick = {"type": "point", "fields": ["id"], "on": "click"}
    params: list[Drawing] = [
        {"name": "pick", "select": pick, "views": [points["name"]]},
        {"name": "zoom", "select": {"type": "interval"}, "bind": "scales", "views": [points["name"]]},
    ]
    layers = [_cloth(cameras, length_m, x, y), *_gaps(gaps, x, y), _extents(near, x, y), *_series(near, x, y)]
    layers += [_ring(near[near["id"] == selected], x, y), points]
    return spoken(layered(layers, height=PART_PX, params=params), as_picture=True)


def thinned(defects: pd.DataFrame, length_m: float, width_mm: float) -> pd.DataFrame:
    """What the strip draws of so many: of those that would lie on each other the most severe."""
    if len(defects) <= STRIP_MARKS:
        return defects
    middles = _middles(defects)
    rank = defects["severity"].map({name: place for place, name in enumerate(SEVERITY_COLOURS)})
    cells = pd.DataFrame(
        {
            "along": (middles["x_m"] / length_m * STRIP_CELLS[0]).astype(int),
            "across": (middles["y_mm"] / width_mm * STRIP_CELLS[1]).astype(int),
            "rank": rank + len(SEVERITY_COLOURS) * (defects["state"] == "rejected"),
        }
    ).sort_values("rank", kind="stable")
    return defects.loc[cells.drop_duplicates(["along", "across"]).index.sort_values()]


def extent(roll: RollSummary, cameras: Sequence[CameraCoverage]) -> tuple[float, float]:
    """Metres along, mm across."""
    return max(roll.length_mm / 1000, 0.001), max((camera.x1_mm for camera in cameras), default=UNKNOWN_WIDTH_MM)


def across_ticks(width_mm: float) -> list[float]:
    """mm, of round numbers in the viewer's own unit."""
    step = (200.0 if width_mm <= 1000 else 500.0) if units().short == "mm" else 10 * units().short_mm
    return [step * k for k in range(int(width_mm // step) + 1)]


def along_ticks(length_m: float) -> list[float]:
    """m, about a dozen round numbers in the viewer's own unit."""
    unit_m = units().long_mm / 1000
    rough = length_m / unit_m / 12
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough) * unit_m
    return [step * k for k in range(int(length_m // step) + 1)]


def _across(low_mm: float, width_mm: float) -> Drawing:
    return channel(
        "y_mm:Q",
        title=_("Across ({unit})", unit=units().short),
        scale={"domain": [low_mm, width_mm], "nice": False},
        axis={
            "grid": False,
            "values": across_ticks(width_mm),
            "labels": width_mm > UNKNOWN_WIDTH_MM,
            **in_short_units(),
        },
    )


def _cloth(cameras: Sequence[CameraCoverage], length_m: float, x: Drawing, y: Drawing) -> Drawing:
    table = pd.DataFrame(
        [{"x_m": 0.0, "x2_m": length_m, "y_mm": camera.x0_mm, "y2_mm": camera.x1_mm} for camera in cameras]
    )
    rim = {"stroke": SCORE_COLOUR, "strokeWidth": 1, "strokeOpacity": 0.5}
    return layer(table, "rect", {"color": SCORE_COLOUR, "opacity": 0.1, **rim, "clip": True}, x=x, x2=X2, y=y, y2=Y2)


def _gaps(gaps: pd.DataFrame, x: Drawing, y: Drawing) -> list[Drawing]:
    """Bands with slanted lines over them, as data, because a chart has no pattern fill."""
    if gaps.empty:
        return []
    table = pd.DataFrame(
        {
            "x_m": gaps["y0_mm"] / 1000,
            "x2_m": gaps["y1_mm"] / 1000,
            "y_mm": gaps["x0_mm"],
            "y2_mm": gaps["x1_mm"],
            "camera": gaps["camera"],
            "reason": gaps["reason"].map(stored_words.sentence),
            "span": [
                _("{start} to {end}", start=words.metres(a), end=words.metres(b))
                for a, b in zip(gaps["y0_mm"], gaps["y1_mm"], strict=True)
            ],
        }
    )
    bands = layer(
        table,
        "rect",
        {"color": GAP_COLOUR, "opacity": 0.4, "stroke": GAP_COLOUR, "strokeWidth": 1.5, "clip": True},
        **{"x": x, "x2": X2, "y": y, "y2": Y2},
        tooltip=tooltip(reason=_("Not inspected"), span=_("Where"), camera=_("Camera")),
    )
    largest = gaps.assign(length=gaps["y1_mm"] - gaps["y0_mm"]).nlargest(HATCHED_GAPS, "length")
    lines: list[tuple[float, float, float, float]] = []
    for y0, y1, x0, x1 in largest[["y0_mm", "y1_mm", "x0_mm", "x1_mm"]].to_numpy(dtype=float):
        step = (x1 - x0) / HATCH_LINES
        lines.extend((y0 / 1000, y1 / 1000, x0 + k * step, x0 + (k + 1) * step) for k in range(HATCH_LINES))
    drawn = pd.DataFrame(lines, columns=["x_m", "x2_m", "y_mm", "y2_mm"], dtype=float)
    thin = {"color": GAP_COLOUR, "strokeWidth": 1, "opacity": 0.9, "tooltip": None, "clip": True}
    hatches = layer(drawn, "rule", thin, x=x, x2=X2, y=y, y2=Y2)
    return [bands, hatches]


def _plan(plan: CutPlan, low: float, width_mm: float, x: Drawing, y: Drawing) -> list[Drawing]:
    """Pieces below the cloth, cuts as lines through it."""
    table = pd.DataFrame(
        [
            {
                "x_m": piece.y0_mm / 1000,
                "x2_m": piece.y1_mm / 1000,
                "middle": (piece.y0_mm + piece.y1_mm) / 2000,
                "y_mm": low * 0.9,
                "y2_mm": low * 0.3,
                "kind": _("First quality") if piece.first else _("Second"),
                "says": _(
                    "{length}, {points} points",
                    length=words.metres(piece.length_mm, ",.1f"),
                    points=figure(piece.points, "g"),
                ),
                "label": (_("1st") if piece.first else _("2nd")) + f" {words.metres(piece.length_mm, ',.1f')}",
            }
            for piece in plan.pieces
        ]
    )
    told = tooltip(kind=_("Cut plan"), says=_("Piece"))
    drawn = [
        layer(
            table[table["kind"] == kind],
            "rect",
            {"color": colour, "opacity": 0.85, "stroke": "white", "strokeWidth": 1},
            **{"x": x, "x2": X2, "y": y, "y2": Y2},
            tooltip=told,
        )
        for kind, colour in ((_("First quality"), FIRST_COLOUR), (_("Second"), SECOND_COLOUR))
    ]
    length_m = float(table["x2_m"].max())
    wide = table[(table["x2_m"] - table["x_m"]) > 0.06 * length_m]
    labels = pd.DataFrame({"x_m": wide["middle"], "y_mm": low * 0.6, "label": wide["label"]})
    white = {"color": "white", "fontSize": 11, "fontWeight": "bold"}
    drawn.append(layer(labels, "text", white, x=x, y=y, text=channel("label:N")))
    cuts = pd.DataFrame({"x_m": table["x_m"].iloc[1:], "y_mm": 0.0, "y2_mm": width_mm})
    dashed = {"color": FIRST_COLOUR, "strokeDash": [6, 3], "strokeWidth": 1.5}
    drawn.append(layer(cuts, "rule", dashed, x=x, y=y, y2=Y2))
    return drawn


def _middles(defects: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": defects["id"],
            "series": defects["series"],
            "x_m": (defects["y0_mm"] + defects["y1_mm"]) / 2000,
            "y_mm": (defects["x0_mm"] + defects["x1_mm"]) / 2,
        }
    )


def _series(defects: pd.DataFrame, x: Drawing, y: Drawing) -> list[Drawing]:
    """A line through the defects of each periodic series."""
    hits = defects[defects["series"] > 0]
    if hits.empty:
        return []
    dotted = {"color": CHOSEN_COLOUR, "strokeWidth": 1.5, "strokeDash": [2, 3], "clip": True, "tooltip": None}
    return [layer(_middles(hits), "line", dotted, x=x, y=y, detail=channel("series:N"), order=channel("x_m:Q"))]


def _extents(defects: pd.DataFrame, x: Drawing, y: Drawing) -> Drawing:
    """Each defect as large as it is."""
    table = pd.DataFrame(
        {
            "x_m": defects["y0_mm"] / 1000,
            "x2_m": defects["y1_mm"] / 1000,
            "y_mm": defects["x0_mm"],
            "y2_mm": defects["x1_mm"],
            "severity": defects["severity"],
        }
    )
    faint = {"fillOpacity": 0.25, "strokeWidth": 1, "clip": True, "tooltip": None}
    colour = _severity(title=_("Severity"), legend=None)
    return layer(table, "rect", faint, x=x, x2=X2, y=y, y2=Y2, color=colour, stroke=colour)


def _severity(**more: Any) -> Drawing:
    scale = {"domain": list(SEVERITY_COLOURS), "range": list(SEVERITY_COLOURS.values())}
    return channel("severity:N", scale=scale, **more)


def _severities() -> Drawing:
    """In words of the viewer; the data keep the stores'."""
    cases = "".join(f"datum.label == '{name}' ? {json.dumps(said(name))} : " for name in SEVERITY_COLOURS)
    return _legend(labelExpr=cases + "datum.label")


def _legend(**more: Any) -> Drawing:
    common = {"orient": "top", "direction": "horizontal", "symbolSize": 110, "symbolOpacity": 1}
    return {**common, "titleAnchor": "middle", **more}


def _ring(defects: pd.DataFrame, x: Drawing, y: Drawing) -> Drawing:
    """Around the defect that is shown below the map."""
    heavy = {"shape": "circle", "size": 1500, "color": CHOSEN_COLOUR, "strokeWidth": 3, "clip": True}
    return layer(_middles(defects), "point", heavy, x=x, y=y)


def _points(defects: pd.DataFrame, x: Drawing, y: Drawing, *, sizes: list[int], legend: bool) -> Drawing:
    defects = in_words(defects)
    forms = [form for form in FORM_SHAPES if form in set(defects["geometry"])]
    table = _middles(defects).assign(
        size=defects["size_mm"],
        severity=defects["severity"],
        rim=defects["severity"].map(RIMS),
        form=defects["geometry"].map({form: words.geometry(form) for form in forms}),
        fill=(defects["state"] != "rejected").map({True: 0.85, False: 0.0}),
        says=defects["says"],
        state=defects["state"].map({state: words.state(state) for state in set(defects["state"])}),
        place=defects["place"],
        when=defects["when"],
    )
    shapes = {"domain": [words.geometry(form) for form in forms], "range": [FORM_SHAPES[form] for form in forms]}
    neutral = {"symbolFillColor": GAP_COLOUR, "symbolStrokeColor": GAP_COLOUR}
    drawn = layer(
        table,
        "point",
        {"opacity": 1, "clip": True},
        x=x,
        y=y,
        color=_severity(title=_("Severity"), legend=_severities() if legend else None),
        fill=_severity(legend=None),
        strokeWidth=channel("rim:Q", scale=None, legend=None),
        fillOpacity=channel("fill:Q", scale=None, legend=None),
        shape=channel("form:N", title=_("Form"), scale=shapes, legend=_legend(**neutral) if legend else None),
        size=channel("size:Q", scale={"type": "sqrt", "range": sizes}, legend=None),
        tooltip=[
            channel("id:Q", title=_("Defect"), format="d"),
            *tooltip(says=_("What"), state=_("State"), place=_("Place"), when=_("Seen")),
        ],
    )
    return {**drawn, "name": "points"}
