"""The charts of the page Trends. As in `charts`: marks that suit both backgrounds, text as Streamlit's theme has it."""

from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts import Drawing, in_short_units
from dashboard.language import N_, _, figure
from dashboard.theme import DRIFT_COLOURS, DRIFT_SHAPES, GAP_COLOUR, LIMIT_COLOUR, SCORE_COLOUR
from dashboard.units import units

CONTROL_HEIGHT_PX = 260
SIGNAL_WORDS = {"high": N_("Above its limit"), "low": N_("Below its limit"), "run": N_("Ninth or later on one side")}
SIGNAL_SHAPES = {"high": "triangle-up", "low": "triangle-down", "run": "square"}
HEAT_COLOURS = ["#E8EEF2", "#93C4E0", "#2F7FB8", "#123A5C"]  # from few to many; lightness alone tells them apart


def control_chart(table: pd.DataFrame, *, title: str, text_format: str) -> Drawing:
    """table: order, name, value, center, upper, lower, signal; limits NaN where there are none."""
    count = max(1, len(table))
    x = alt.X("name:O", title=None, sort=None, axis=alt.Axis(labelOverlap=True, labelAngle=0, tickCount=min(12, count)))
    y = alt.Y("value:Q", title=title, axis=alt.Axis(format=text_format, tickCount=5), scale=alt.Scale(zero=False))
    base = alt.Chart(table)
    limit: dict[str, Any] = {"strokeDash": [5, 4], "color": LIMIT_COLOUR, "interpolate": "step", "strokeWidth": 1.5}
    layers = [
        base.mark_line(**limit).encode(x=x, y=alt.Y("upper:Q", title=title)),
        base.mark_line(**limit).encode(x=x, y=alt.Y("lower:Q", title=title)),
        base.mark_line(color=GAP_COLOUR, strokeWidth=1.5).encode(x=x, y=alt.Y("center:Q", title=title)),
        base.mark_line(
            color=SCORE_COLOUR, strokeWidth=2, point=alt.OverlayMarkDef(size=28 if count < 120 else 8)
        ).encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("name:N", title=_("When")),
                alt.Tooltip("value:Q", title=title, format=text_format),
                alt.Tooltip("lower:Q", title=_("Lower limit"), format=text_format),
                alt.Tooltip("upper:Q", title=_("Upper limit"), format=text_format),
            ],
        ),
    ]
    marked = table[table["signal"] != ""].assign(
        why=lambda found: found["signal"].map(lambda signal: _(SIGNAL_WORDS[signal]))
    )
    if len(marked):
        shown = [signal for signal in SIGNAL_WORDS if signal in set(marked["signal"])]
        layers.append(
            alt.Chart(marked)
            .mark_point(filled=True, size=130, color=LIMIT_COLOUR, opacity=1)
            .encode(
                x=x,
                y=y,
                shape=alt.Shape(
                    "why:N",
                    title=None,
                    scale=alt.Scale(
                        domain=[_(SIGNAL_WORDS[signal]) for signal in shown],
                        range=[SIGNAL_SHAPES[signal] for signal in shown],
                    ),
                    legend=alt.Legend(orient="top", symbolFillColor=LIMIT_COLOUR, symbolStrokeColor=LIMIT_COLOUR),
                ),
                tooltip=[alt.Tooltip("name:N", title=_("When")), alt.Tooltip("why:N", title=_("Signal"))],
            )
        )
    return alt.layer(*layers).properties(height=CONTROL_HEIGHT_PX)


def bars(table: pd.DataFrame, *, title: str, text_format: str) -> Drawing:
    """table: name, value; in its order."""
    y = alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=180))
    x = alt.X("value:Q", title=title, axis=alt.Axis(format=text_format, tickCount=5))
    tooltip = [alt.Tooltip("name:N", title=" "), alt.Tooltip("value:Q", title=title, format=text_format)]
    return (
        alt.Chart(table).mark_bar(color=SCORE_COLOUR).encode(x=x, y=y, tooltip=tooltip).properties(height=alt.Step(28))
    )


def pareto(table: pd.DataFrame) -> Drawing:
    """table: kind, defects, share (running sum, 0 to 1); the most frequent first."""
    x = alt.X("kind:N", title=None, sort=None, axis=alt.Axis(labelAngle=-35, labelLimit=130, labelOverlap=False))
    tooltip = [
        alt.Tooltip("kind:N", title=_("Kind")),
        alt.Tooltip("defects:Q", title=_("Defects"), format=","),
        alt.Tooltip("share:Q", title=_("Together with those before"), format=".0%"),
    ]
    found = (
        alt.Chart(table)
        .mark_bar(color=SCORE_COLOUR)
        .encode(x=x, y=alt.Y("defects:Q", title=_("Defects"), axis=alt.Axis(tickCount=5)), tooltip=tooltip)
    )
    together = (
        alt.Chart(table)
        .mark_line(color=LIMIT_COLOUR, point=alt.OverlayMarkDef(color=LIMIT_COLOUR, size=40), strokeWidth=2)
        .encode(
            x=x,
            y=alt.Y(
                "share:Q",
                title=_("Together"),
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format=".0%", tickCount=5, grid=False),
            ),
            tooltip=tooltip,
        )
    )
    return alt.layer(found, together).resolve_scale(y="independent").properties(height=CONTROL_HEIGHT_PX)


def width_map(table: pd.DataFrame, *, band_mm: float) -> Drawing:
    """table: day (ISO), x_mm, defects. One column a day, one row a band of the cloth."""
    placed = table.assign(
        x2_mm=table["x_mm"] + band_mm, place=[figure(units().across(x_mm), ".0f") for x_mm in table["x_mm"]]
    )
    return (
        alt.Chart(placed)
        .mark_rect()
        .encode(
            x=alt.X("day:O", title=None, axis=alt.Axis(labelOverlap=True, labelAngle=0)),
            y=alt.Y(
                "x_mm:Q",
                title=_("Across, from the left edge ({unit})", unit=units().short),
                axis=alt.Axis(grid=False, tickCount=6, **in_short_units()),
            ),
            y2="x2_mm:Q",
            color=alt.Color(
                "defects:Q",
                title="Defects",
                scale=alt.Scale(range=HEAT_COLOURS, domainMin=0),
                legend=alt.Legend(orient="right", tickCount=4, format="d"),
            ),
            tooltip=[
                alt.Tooltip("day:N", title=_("Day")),
                alt.Tooltip("place:N", title=_("From ({unit})", unit=units().short)),
                alt.Tooltip("defects:Q", title=_("Defects"), format=","),
            ],
        )
        .properties(height=CONTROL_HEIGHT_PX)
    )


def drift_strip(table: pd.DataFrame, *, words: dict[str, str]) -> Drawing:
    """table: day (ISO), place (camera and style), state, psi, ks, p_value, frames. words: of each state."""
    drawn = table.assign(state_text=table["state"].map(words))
    return (
        alt.Chart(drawn)
        .mark_point(filled=True, size=110, opacity=1)
        .encode(
            x=alt.X("day:O", title=None, axis=alt.Axis(labelOverlap=True, labelAngle=0)),
            y=alt.Y("place:N", title=None, axis=alt.Axis(labelLimit=220)),
            color=alt.Color(
                "state_text:N",
                title=None,
                scale=alt.Scale(domain=list(words.values()), range=[DRIFT_COLOURS[state] for state in words]),
                legend=alt.Legend(orient="top"),
            ),
            shape=alt.Shape(
                "state_text:N",
                title=None,
                scale=alt.Scale(domain=list(words.values()), range=[DRIFT_SHAPES[state] for state in words]),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[
                alt.Tooltip("day:N", title=_("Day")),
                alt.Tooltip("place:N", title=_("Camera and style")),
                alt.Tooltip("state_text:N", title=_("State")),
                alt.Tooltip("psi:Q", title=_("Stability index"), format=".3f"),
                alt.Tooltip("ks:Q", title=_("Largest distance"), format=".3f"),
                alt.Tooltip("frames:Q", title=_("Frames"), format=","),
            ],
        )
        .properties(height=alt.Step(34))
    )
