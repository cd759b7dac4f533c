"""The charts of the page Trends. As in `charts`: marks that suit both backgrounds, text as Streamlit's theme has it."""

import pandas as pd

from dashboard.charts import Drawing, channel, in_short_units, layer, layered, tooltip
from dashboard.language import _, figure
from dashboard.theme import DRIFT_COLOURS, DRIFT_SHAPES, GAP_COLOUR, LIMIT_COLOUR, SCORE_COLOUR
from dashboard.units import units
from inspection.language import N_

CONTROL_HEIGHT_PX = 260
MANY = 100  # points that are drawn as one picture
MOST_LABELS = 24  # on an axis of names
SIGNAL_WORDS = {"high": N_("Above its limit"), "low": N_("Below its limit"), "run": N_("Ninth or later on one side")}
SIGNAL_SHAPES = {"high": "triangle-up", "low": "triangle-down", "run": "square"}
HEAT_COLOURS = ["#E8EEF2", "#93C4E0", "#2F7FB8", "#123A5C"]  # from few to many; lightness alone tells them apart


def control_chart(table: pd.DataFrame, *, title: str, text_format: str) -> Drawing:
    """table: order, name, value, center, upper, lower, signal; limits NaN where there are none."""
    x = channel("name:O", title=None, sort=None, axis=_some(table["name"]))
    y = channel("value:Q", title=title, axis={"format": text_format, "tickCount": 5}, scale={"zero": False})
    limit = {"strokeDash": [5, 4], "color": LIMIT_COLOUR, "interpolate": "step", "strokeWidth": 1.5}
    center = {"color": GAP_COLOUR, "strokeWidth": 1.5}
    course = {"color": SCORE_COLOUR, "strokeWidth": 2, "point": {"size": 28 if len(table) < MANY else 8}}
    told = tooltip(
        name=_("When"),
        value=(title, text_format),
        lower=(_("Lower limit"), text_format),
        upper=(_("Upper limit"), text_format),
    )
    layers = [
        layer(table, "line", limit, x=x, y=channel("upper:Q", title=title)),
        layer(table, "line", limit, x=x, y=channel("lower:Q", title=title)),
        layer(table, "line", center, x=x, y=channel("center:Q", title=title)),
        layer(table, "line", course, x=x, y=y, tooltip=told),
    ]
    marked = table[table["signal"] != ""].assign(
        why=lambda found: found["signal"].map(lambda signal: _(SIGNAL_WORDS[signal]))
    )
    if len(marked):
        shown = [signal for signal in SIGNAL_WORDS if signal in set(marked["signal"])]
        shapes = {
            "domain": [_(SIGNAL_WORDS[signal]) for signal in shown],
            "range": [SIGNAL_SHAPES[signal] for signal in shown],
        }
        legend = {"orient": "top", "symbolFillColor": LIMIT_COLOUR, "symbolStrokeColor": LIMIT_COLOUR}
        layers.append(
            layer(
                marked,
                "point",
                {"filled": True, "size": 130, "color": LIMIT_COLOUR, "opacity": 1},
                x=x,
                y=y,
                shape=channel("why:N", title=None, scale=shapes, legend=legend),
                tooltip=tooltip(name=_("When"), why=_("Signal")),
            )
        )
    return layered(layers, height=CONTROL_HEIGHT_PX)


def _some(names: "pd.Series[str]") -> Drawing:
    """An axis that labels some of its names: a browser lays out each label, and leaves most of a year's away again."""
    different = list(dict.fromkeys(names))
    return {"labelOverlap": True, "labelAngle": 0, "values": different[:: max(1, -(-len(different) // MOST_LABELS))]}


def bars(table: pd.DataFrame, *, title: str, text_format: str) -> Drawing:
    """table: name, value; in its order."""
    y = channel("name:N", title=None, sort=None, axis={"labelLimit": 180})
    x = channel("value:Q", title=title, axis={"format": text_format, "tickCount": 5})
    told = tooltip(name=" ", value=(title, text_format))
    return layered([layer(table, "bar", {"color": SCORE_COLOUR}, x=x, y=y, tooltip=told)], height={"step": 28})


def pareto(table: pd.DataFrame) -> Drawing:
    """table: kind, defects, share (running sum, 0 to 1); the most frequent first."""
    x = channel("kind:N", title=None, sort=None, axis={"labelAngle": -35, "labelLimit": 130, "labelOverlap": False})
    told = tooltip(kind=_("Kind"), defects=(_("Defects"), ","), share=(_("Together with those before"), ".0%"))
    found = channel("defects:Q", title=_("Defects"), axis={"tickCount": 5})
    together = channel(
        "share:Q",
        title=_("Together"),
        scale={"domain": [0, 1]},
        axis={"format": ".0%", "tickCount": 5, "grid": False},
    )
    line = {"color": LIMIT_COLOUR, "point": {"color": LIMIT_COLOUR, "size": 40}, "strokeWidth": 2}
    layers = [
        layer(table, "bar", {"color": SCORE_COLOUR}, x=x, y=found, tooltip=told),
        layer(table, "line", line, x=x, y=together, tooltip=told),
    ]
    return layered(layers, height=CONTROL_HEIGHT_PX, resolve={"scale": {"y": "independent"}})


def width_map(table: pd.DataFrame, *, band_mm: float, when: str) -> Drawing:
    """table: day (ISO), x_mm, defects. One column a day, one row a band of the cloth. when: what a day stands for."""
    places = {x_mm: figure(units().across(x_mm), ".0f") for x_mm in table["x_mm"].unique()}
    placed = table.assign(x2_mm=table["x_mm"] + band_mm, place=table["x_mm"].map(places))
    across = channel(
        "x_mm:Q",
        title=_("Across, from the left edge ({unit})", unit=units().short),
        axis={"grid": False, "tickCount": 6, **in_short_units()},
    )
    colour = channel(
        "defects:Q",
        title=_("Defects"),
        scale={"range": HEAT_COLOURS, "domainMin": 0},
        legend={"orient": "right", "tickCount": 4, "format": "d"},
    )
    cells = layer(
        placed,
        "rect",
        {},
        x=channel("day:O", title=None, axis=_some(table["day"])),
        y=across,
        y2={"field": "x2_mm"},
        color=colour,
        tooltip=tooltip(day=when, place=_("From ({unit})", unit=units().short), defects=(_("Defects"), ",")),
    )
    return layered([cells], height=CONTROL_HEIGHT_PX)


def weekly(every: pd.DataFrame) -> pd.DataFrame:
    """every: defects, days (ISO) x places across. The same by weeks, named by their Mondays: a year's days are narrower
    than an eye tells apart, and a browser lays out each cell."""
    mondays = pd.to_datetime(every.index).to_period("W").start_time.strftime("%Y-%m-%d")
    return every.groupby(mondays).sum().rename_axis("day")


def drift_strip(table: pd.DataFrame, *, words: dict[str, str]) -> Drawing:
    """table: day (ISO), place (camera and style), state, psi, ks, p_value, frames. words: of each state."""
    drawn = table[["day", "place", "psi", "ks", "frames"]].assign(state_text=table["state"].map(words))
    colours = {"domain": list(words.values()), "range": [DRIFT_COLOURS[state] for state in words]}
    shapes = {"domain": list(words.values()), "range": [DRIFT_SHAPES[state] for state in words]}
    legend = {"orient": "top"}
    points = layer(
        drawn,
        "point",
        {"filled": True, "size": 110, "opacity": 1},
        x=channel("day:O", title=None, axis=_some(table["day"])),
        y=channel("place:N", title=None, axis={"labelLimit": 220}),
        color=channel("state_text:N", title=None, scale=colours, legend=legend),
        shape=channel("state_text:N", title=None, scale=shapes, legend=legend),
        tooltip=tooltip(
            day=_("Day"),
            place=_("Camera and style"),
            state_text=_("State"),
            psi=(_("Stability index"), ".3f"),
            ks=(_("Largest distance"), ".3f"),
            frames=(_("Frames"), ","),
        ),
    )
    return layered([points], height={"step": 34})
