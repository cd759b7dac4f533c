"""Figures in sentences of the stores, in the viewer's language and units. Lengths are stored in m and mm, rates per
100 m."""

import re

from dashboard.language import _, figure
from dashboard.units import UnitSet, units

RATES = ("rate", "running", "limit")  # of what refers to 100 m
FIGURES = ("loss", "share")  # further figures with decimals
LENGTH = re.compile(r"\{(\w+)\} (m|mm)\b(?!/)")  # a scale in mm/px is the model's and stays


def in_own_units(sentence: str, **values: str) -> str:
    """A sentence in the viewer's language."""
    own, shown = units(), _(sentence)
    lengths = dict(LENGTH.findall(shown))
    if "100 m" in shown:
        values |= {name: _number(values[name], own.per_100_long(1)) for name in RATES if name in values}
    values |= {name: _number(values[name], 1.0) for name in FIGURES if name in values}
    values |= {name: _length(values[name], unit, own) for name, unit in lengths.items()}
    shown = LENGTH.sub(lambda found: f"{{{found[1]}}} {own.long if found[2] == 'm' else own.short}", shown)
    return shown.replace("100 m", f"100 {own.long}").format(**values)


def _length(value: str, unit: str, own: UnitSet) -> str:
    if unit == "m":
        return _number(value, 1000 / own.long_mm)
    return _number(value, 1 / own.short_mm, decimals=2 if own.short == "in" else None)


def _number(value: str, factor: float, *, decimals: int | None = None) -> str:
    """A stored figure times `factor`, with as many decimals as it had; what is none stays."""
    try:
        number = float(value.replace(",", ""))
    except ValueError:
        return value
    kept = len(value.partition(".")[2]) if decimals is None else decimals
    return figure(number * factor, f"{',' if ',' in value else ''}.{kept}f")
