"""The running roll's map as the wall screen draws it: each place in percent of the roll's length and the cloth's width.

It shows what `roll_charts.strip` shows, with the same colours, shapes and rims.
"""

from collections.abc import Hashable
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import charts, data, roll_charts, stored_words, words
from dashboard.language import _, figure, ngettext
from dashboard.on_map import in_words
from dashboard.stored_words import said
from dashboard.theme import FORM_SHAPES, SEVERITY_COLOURS
from dashboard.units import units
from inspection.types import Roll
from storage.reads.gap_words import merge_gaps
from storage.reads.roll_map import PLACE, RollMap
from storage.reads.roll_summary import UNKNOWN_WIDTH_MM, CameraCoverage

AREAS_PX2 = (18.0, 160.0)  # of the smallest and the largest defect
FINEST = 1000  # parts of the roll's length: gaps that lie closer than one are drawn as one


@st.cache_data(ttl=data.GROWING_S, max_entries=20, show_spinner=False)
def maps(roll: Roll, seen: str) -> list[dict[str, Any]]:
    """One for the cameras that can share it. seen: the words, units and times of who looks."""
    drawn = data.roll_map(roll)
    gaps = merge_gaps(drawn.gaps)
    return [growing_map(drawn, gaps, cameras) for cameras in charts.lanes(drawn.summary)]


def growing_map(roll: RollMap, gaps: pd.DataFrame, cameras: list[CameraCoverage]) -> dict[str, Any]:
    """gaps: of `merge_gaps`.

    marks: x, y, radius in px, severity, form, whether hollow, and what it is; lanes and gaps:
    x, y, width, height, and a gap's reason; series: the places that one line joins; along, across: ticks."""
    length_m, width_mm = roll_charts.extent(roll.summary, cameras)
    names = [camera.camera for camera in cameras]
    defects, gaps = (table[table["camera"].isin(names)] for table in (roll.defects, gaps))

    shown = roll_charts.thinned(defects, length_m, width_mm)

    def x(along_mm: float) -> float:
        return round(along_mm / length_m / 10, 2)

    def y(across_mm: float) -> float:
        """From above, where the far edge is."""
        return round(100 - 100 * across_mm / width_mm, 2)

    def area(y0_mm: float, y1_mm: float, x0_mm: float, x1_mm: float) -> tuple[float, float, float, float]:
        return x(y0_mm), y(x1_mm), x(y1_mm - y0_mm), round(100 * (x1_mm - x0_mm) / width_mm, 2)

    def middle(each: dict[Hashable, Any]) -> tuple[float, float]:
        return x((each["y0_mm"] + each["y1_mm"]) / 2), y((each["x0_mm"] + each["x1_mm"]) / 2)

    def radius_px(size_mm: float) -> float:
        """A mark's area grows with the root of the size, as on `roll_charts.strip`."""
        least, most = AREAS_PX2
        return round(float((least + (most - least) * (size_mm / largest_mm) ** 0.5) ** 0.5) / 2, 1)

    severities, forms = list(SEVERITY_COLOURS), [form for form in FORM_SHAPES if form in set(defects["geometry"])]
    largest_mm = max(defects["size_mm"].max(), 1e-6) if len(defects) else 1.0
    marks = [
        (
            *middle(each),
            radius_px(each["size_mm"]),
            severities.index(each["severity"]),
            forms.index(each["geometry"]),
            each["state"] == "rejected",
            f"{each['says']}, {each['place']}, {each['when']}",
        )
        for each in in_words(shown).to_dict("records")
    ]
    return {
        "says": _(
            "Map of the roll: {defects}, {gaps}",
            defects=ngettext("{number} defect", "{number} defects", len(defects)),
            gaps=ngettext("{number} gap", "{number} gaps", len(gaps)),
        ),
        "lanes": [area(0.0, length_m * 1000, camera.x0_mm, camera.x1_mm) for camera in cameras],
        "gaps": [
            (*area(*(each[name] for name in PLACE)), stored_words.sentence(each["reason"]))
            for each in merge_gaps(gaps, touch_mm=1000 * length_m / FINEST).to_dict("records")
        ],
        "series": [
            [middle(hit) for hit in hits.to_dict("records")]
            for _number, hits in shown[shown["series"] > 0].sort_values("y0_mm").groupby("series")
        ],
        "marks": marks,
        "severities": [
            {"name": said(name), "colour": colour, "rim": roll_charts.RIMS[name]}
            for name, colour in SEVERITY_COLOURS.items()
        ],
        "forms": [{"name": words.geometry(form), "shape": FORM_SHAPES[form]} for form in forms],
        "titles": [
            _("Severity"),
            _("Form"),
            _("Along the roll ({unit})", unit=units().long),
            _("Across ({unit})", unit=units().short),
        ],
        "along": [
            (x(1000 * place), figure(units().along(1000 * place), ",.6g"))
            for place in roll_charts.along_ticks(length_m)
        ],
        "across": [
            (y(place), figure(units().across(place), ",.6g"))
            for place in roll_charts.across_ticks(width_mm)
            if width_mm > UNKNOWN_WIDTH_MM
        ],
    }
