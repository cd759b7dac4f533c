"""A model's manifest in words: its figures, its limits and how each was set. The manifest is read, not trusted."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dashboard import words
from dashboard.language import _, figure, ngettext
from dashboard.units import units
from inspection.language import N_

METRICS = {
    "image_auroc": N_("Frames told apart (image AUROC)"),
    "pixel_auroc": N_("Places told apart (pixel AUROC)"),
    "image_ap": N_("Frames ranked (image AP)"),
    "pixel_ap": N_("Places ranked (pixel AP)"),
    "aupro": N_("Regions found (AUPRO)"),
    "routing_accuracy": N_("Styles recognized"),
    "held_out_normal_tiles": N_("Held-out tiles"),
    "tiles_per_s": N_("Tiles per second"),
}
SHARES = {"image_auroc", "pixel_auroc", "image_ap", "pixel_ap", "aupro", "routing_accuracy"}
SOURCES = {
    "imported": N_("Imported"),
    "trained": N_("First training"),
    "retrained": N_("Retrained"),
    "added": N_("Style added"),
}


def metrics_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The figures a model came with, in words; those of the mean over its classes where it has several."""
    metrics = manifest.get("metrics")
    if not isinstance(metrics, Mapping):
        return {}
    mean = metrics.get("mean")
    flat = {**metrics, **mean} if isinstance(mean, Mapping) else dict(metrics)
    return {
        _(METRICS[name]) if name in METRICS else name.replace("_", " ").capitalize(): _figure(name, value)
        for name, value in flat.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _figure(name: str, value: float) -> str:
    if name in SHARES:
        return f"{figure(value * 100, '.1f')} %"
    return figure(value, ",") if isinstance(value, int) else figure(value, ",.3g")


def thresholds_of(manifest: Mapping[str, Any]) -> pd.DataFrame:
    """A row a style: its limit, and how it was set."""
    styles = manifest.get("styles")
    rows = [
        {
            _("Style"): str(name),
            _("Limit"): _number(facts.get("threshold"), ".3f"),
            **how_set(facts.get("threshold_set")),
        }
        for name, facts in (styles.items() if isinstance(styles, Mapping) else ())
        if isinstance(facts, Mapping)
    ]
    return pd.DataFrame(
        rows,
        columns=[_("Style"), _("Limit"), _("False alarms allowed"), _("Tried on"), _("Of it above"), _("Certainty")],
    )


def how_set(facts: object) -> dict[str, str]:
    """What a threshold rests on: the rate asked for, and the normal fabric, kept out of training, it was tried on."""
    if not isinstance(facts, Mapping):
        facts = {}
    tiles, above = facts.get("held_out_tiles"), facts.get("exceedances")
    needed = facts.get("more_metres_needed")
    return {
        _("False alarms allowed"): _rate(facts.get("asked_per_100m")),
        _("Tried on"): words.metres(facts["metres"] * 1000, ",.1f")
        if isinstance(facts.get("metres"), int | float)
        else "–",
        _("Of it above"): _("{above} of {tiles} tiles", above=figure(above, ","), tiles=figure(tiles, ","))
        if isinstance(tiles, int) and isinstance(above, int)
        else "–",
        _("Certainty"): _("seen on this fabric")
        if facts and not facts.get("extrapolated")
        else _("estimated")
        + (
            _("; {needed} more would show it", needed=words.metres(needed * 1000, ",.0f"))
            if isinstance(needed, int | float) and needed
            else ""
        )
        if facts
        else "–",
    }


def _rate(per_100m: object) -> str:
    if not isinstance(per_100m, int | float):
        return "–"
    own = units()
    shown = figure(own.per_100_long(per_100m), ".2g")
    return _("{rate} per 100 {unit}", rate=shown, unit=own.long)


def source_in_words(source: str) -> str:
    return _(SOURCES[source]) if source in SOURCES else source


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
    limits = [dict(zip(own[_("Style")], own[_("Limit")], strict=True)) for own in map(thresholds_of, (left, right))]
    rows = [(name, *(own.get(name, "–") for own in figures)) for name in dict.fromkeys([*figures[0], *figures[1]])]
    styles = dict.fromkeys([*limits[0], *limits[1]])
    rows += [(_("Limit of {name}", name=name), *(own.get(name, "–") for own in limits)) for name in styles]
    return pd.DataFrame(rows, columns=[_("Figure"), "left", "right"])


def _number(value: object, form: str) -> str:
    return figure(value, form) if isinstance(value, int | float) else "–"


def facts_of(manifest: Mapping[str, Any]) -> str:
    """Tile, scale and backbone in one line."""
    parts = []
    if "tile_px" in manifest and "mm_per_px" in manifest:
        parts.append(
            _(
                "tiles of {pixels} px at {scale} mm/px",
                pixels=manifest["tile_px"],
                scale=figure(manifest["mm_per_px"], "g"),
            )
        )
    backbone = manifest.get("backbone")
    if isinstance(backbone, Mapping) and "name" in backbone:
        parts.append(str(backbone["name"]))
    styles = manifest.get("styles")
    if isinstance(styles, Mapping):
        parts.append(
            ngettext(
                "{number} style: {names}", "{number} styles: {names}", len(styles), names=", ".join(map(str, styles))
            )
        )
    return " · ".join(parts)
