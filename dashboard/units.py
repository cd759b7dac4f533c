"""Metric or imperial, as who looks has set it: what is stored is metric, what is shown is converted here."""

from contextvars import ContextVar
from dataclasses import dataclass

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from storage.accounts.users import Units

KEY = "units"
YARD_MM, INCH_MM = 914.4, 25.4


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSet:
    """Along the roll: `long`; across it and sizes: `short`; each with how many mm it has."""

    long: str
    long_mm: float
    short: str
    short_mm: float

    def along(self, length_mm: float) -> float:
        return length_mm / self.long_mm

    def across(self, length_mm: float) -> float:
        return length_mm / self.short_mm

    def per_100_square(self, per_100_m2: float) -> float:
        """A rate per 100 m² as one per 100 m² or 100 yd²."""
        return per_100_m2 * (self.long_mm / 1000) ** 2

    def per_100_long(self, per_100_m: float) -> float:
        return per_100_m * self.long_mm / 1000

    def per_100_m(self, per_100_long: float) -> float:
        return per_100_long * 1000 / self.long_mm

    def metres(self, along: float) -> float:
        """What somebody gave in `long`, as it is stored."""
        return along * self.long_mm / 1000


SETS: dict[Units, UnitSet] = {
    "metric": UnitSet(long="m", long_mm=1000.0, short="mm", short_mm=1.0),
    "imperial": UnitSet(long="yd", long_mm=YARD_MM, short="in", short_mm=INCH_MM),
}


_chosen: ContextVar[Units | None] = ContextVar("units", default=None)


def choose(name: Units) -> None:
    """For the pages of this browser."""
    st.session_state[KEY] = name
    _chosen.set(name)


def units() -> UnitSet:
    """Of who looks."""
    if (name := _chosen.get()) is not None:
        return SETS[name]
    if get_script_run_ctx(suppress_warning=True) is None:
        return SETS["metric"]
    return SETS["imperial" if st.session_state.get(KEY) == "imperial" else "metric"]
