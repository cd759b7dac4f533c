"""A model's manifest in words: its figures, its limits and how each was set. The manifest is read, not trusted."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

METRICS = {
    "image_auroc": "Frames told apart (image AUROC)",
    "pixel_auroc": "Places told apart (pixel AUROC)",
    "image_ap": "Frames ranked (image AP)",
    "pixel_ap": "Places ranked (pixel AP)",
    "aupro": "Regions found (AUPRO)",
    "routing_accuracy": "Styles recognized",
    "held_out_normal_tiles": "Held-out tiles",
    "tiles_per_s": "Tiles per second",
}
SHARES = {"image_auroc", "pixel_auroc", "image_ap", "pixel_ap", "aupro", "routing_accuracy"}
SOURCES = {"imported": "Imported", "trained": "First training", "retrained": "Retrained", "added": "Style added"}


def metrics_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The figures a model came with, in words; those of the mean over its classes where it has several."""
    metrics = manifest.get("metrics")
    if not isinstance(metrics, Mapping):
        return {}
    mean = metrics.get("mean")
    flat = {**metrics, **mean} if isinstance(mean, Mapping) else dict(metrics)
    return {
        METRICS.get(name, name.replace("_", " ").capitalize()): _figure(name, value)
        for name, value in flat.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _figure(name: str, value: float) -> str:
    if name in SHARES:
        return f"{value * 100:.1f} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"


def thresholds_of(manifest: Mapping[str, Any]) -> pd.DataFrame:
    """A row a style: its limit, and how it was set."""
    styles = manifest.get("styles")
    rows = [
        {"Style": str(name), "Limit": _number(facts.get("threshold"), ".3f"), **how_set(facts.get("threshold_set"))}
        for name, facts in (styles.items() if isinstance(styles, Mapping) else ())
        if isinstance(facts, Mapping)
    ]
    return pd.DataFrame(
        rows, columns=["Style", "Limit", "False alarms allowed", "Tried on", "Of it above", "Certainty"]
    )


def how_set(facts: object) -> dict[str, str]:
    """What a threshold rests on: the rate asked for, and the normal fabric, kept out of training, it was tried on."""
    if not isinstance(facts, Mapping):
        facts = {}
    tiles, above = facts.get("held_out_tiles"), facts.get("exceedances")
    needed = facts.get("more_metres_needed")
    return {
        "False alarms allowed": _number(facts.get("asked_per_100m"), "g", " per 100 m"),
        "Tried on": _number(facts.get("metres"), ",.1f", " m"),
        "Of it above": f"{above:,} of {tiles:,} tiles" if isinstance(tiles, int) and isinstance(above, int) else "–",
        "Certainty": "seen on this fabric"
        if facts and not facts.get("extrapolated")
        else "estimated"
        + (f"; {needed:,.0f} m more would show it" if isinstance(needed, int | float) and needed else "")
        if facts
        else "–",
    }


def styles_of(manifest: Mapping[str, Any]) -> set[str]:
    styles = manifest.get("styles")
    return {str(style) for style in styles} if isinstance(styles, Mapping) else set()


def provisional_of(manifest: Mapping[str, Any]) -> list[str]:
    """Styles that were added by their statistics alone, until a training has learned them."""
    styles = manifest.get("styles")
    found = styles.items() if isinstance(styles, Mapping) else ()
    return [str(name) for name, facts in found if isinstance(facts, Mapping) and facts.get("provisional")]


def side_by_side(left: Mapping[str, Any], right: Mapping[str, Any]) -> pd.DataFrame:
    """Two manifests: their figures, then the limit of each style; "–" where one has none."""
    figures = [metrics_of(each) for each in (left, right)]
    limits = [dict(zip(own["Style"], own["Limit"], strict=True)) for own in map(thresholds_of, (left, right))]
    rows = [(name, *(own.get(name, "–") for own in figures)) for name in dict.fromkeys([*figures[0], *figures[1]])]
    styles = dict.fromkeys([*limits[0], *limits[1]])
    rows += [(f"Limit of {name}", *(own.get(name, "–") for own in limits)) for name in styles]
    return pd.DataFrame(rows, columns=["Figure", "left", "right"])


def _number(value: object, form: str, unit: str = "") -> str:
    return f"{value:{form}}{unit}" if isinstance(value, int | float) else "–"


def facts_of(manifest: Mapping[str, Any]) -> str:
    """Tile, scale and backbone in one line."""
    parts = []
    if "tile_px" in manifest and "mm_per_px" in manifest:
        parts.append(f"tiles of {manifest['tile_px']} px at {manifest['mm_per_px']:g} mm/px")
    backbone = manifest.get("backbone")
    if isinstance(backbone, Mapping) and "name" in backbone:
        parts.append(str(backbone["name"]))
    styles = manifest.get("styles")
    if isinstance(styles, Mapping):
        parts.append(f"{len(styles)} {'style' if len(styles) == 1 else 'styles'}: {', '.join(map(str, styles))}")
    return " · ".join(parts)
