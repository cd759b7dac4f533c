"""Colours that are told apart stay apart for people who see fewer of them, and none stands alone."""

import itertools

import numpy as np
import pytest

from dashboard import roll_charts, theme, trend_charts
from storage.defects.geometry import GEOMETRIES

# Machado, Oliveira and Fernandes (2009), severity 1.0, in linear RGB
SIGHTS = {
    "all colours": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
APART = 20.0  # CIE76; about 2.3 is just noticed side by side, 10 at a glance
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
PALETTES = {
    "states": list(theme.STATE_COLOURS.values()),
    "severities": list(theme.SEVERITY_COLOURS.values()),
    "drift": list(theme.DRIFT_COLOURS.values()),
    "samples": list(theme.SAMPLE_COLOURS.values()),
    "cut plan": [roll_charts.FIRST_COLOUR, roll_charts.SECOND_COLOUR],
    "scores and limits": [theme.SCORE_COLOUR, theme.LIMIT_COLOUR, theme.GAP_COLOUR],
    "from few to many": trend_charts.HEAT_COLOURS,
}


def seen(colour: str, sight: str) -> np.ndarray:
    """CIELAB of an sRGB colour as that sight has it."""
    stored = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.asarray(SIGHTS[sight]) @ linear, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_the_measure_itself() -> None:
    """White's lightness, and the confusion that gave red-green blindness its name."""
    assert seen("#FFFFFF", "all colours") == pytest.approx([100, 0, 0], abs=0.01)
    red, green = "#C0504D", "#7A8A2A"
    assert np.linalg.norm(seen(red, "all colours") - seen(green, "all colours")) > 50
    assert np.linalg.norm(seen(red, "deuteranopia") - seen(green, "deuteranopia")) < 25


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("name", PALETTES)
def test_colours_of_one_chart_are_told_apart(name: str, sight: str) -> None:
    near = {
        (one, other): round(float(np.linalg.norm(seen(one, sight) - seen(other, sight))), 1)
        for one, other in itertools.combinations(PALETTES[name], 2)
    }
    assert {pair: distance for pair, distance in near.items() if distance < APART} == {}


def test_no_colour_stands_alone() -> None:
    """Beside it: a shape and a symbol of each state, a rim of each severity, a shape of each form and signal."""
    assert len(set(theme.STATE_SHAPES.values())) == len(theme.STATE_COLOURS)
    assert len({symbol for _, symbol in theme.STATE_BADGES.values()}) == len(theme.STATE_COLOURS)
    assert list(roll_charts.RIMS) == list(theme.SEVERITY_COLOURS)
    assert len(set(roll_charts.RIMS.values())) == len(roll_charts.RIMS)
    assert set(theme.FORM_SHAPES) == set(GEOMETRIES)
    assert len(set(theme.FORM_SHAPES.values())) == len(GEOMETRIES)
    assert set(theme.DRIFT_SHAPES) == set(theme.DRIFT_COLOURS)
    assert len(set(theme.DRIFT_SHAPES.values())) == len(theme.DRIFT_SHAPES)
    assert len(set(trend_charts.SIGNAL_SHAPES.values())) == len(trend_charts.SIGNAL_SHAPES)
