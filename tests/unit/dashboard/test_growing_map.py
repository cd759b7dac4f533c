"""The running roll's map as the wall screen draws it."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from dashboard.growing_map import AREAS_PX2, FINEST, growing_map
from dashboard.roll_charts import STRIP_CELLS
from storage.reads.roll_map import RollMap
from tests.unit.dashboard.test_charts import camera, summary
from tests.unit.dashboard.test_roll_charts import defects, gaps

CLOTH = summary(camera("a", 0, 400))


def drawn(found: pd.DataFrame, missed: pd.DataFrame, *, length_mm: float = CLOTH.length_mm) -> dict[str, Any]:
    cloth = replace(CLOTH, length_mm=length_mm)
    return growing_map(RollMap(summary=cloth, defects=found, gaps=missed), missed, list(cloth.cameras))


def test_places_are_percent_of_the_length_and_from_the_far_edge() -> None:
    made = drawn(defects(3), gaps(1))
    length_mm = CLOTH.length_mm
    assert [mark[:2] for mark in made["marks"]] == [
        (pytest.approx(100 * (10 * k + 2.5) / length_mm, abs=0.01), pytest.approx(100 - 100 * 25 / 400))
        for k in range(3)
    ]
    assert made["lanes"] == [(0.0, 0.0, 100.0, 100.0)]
    [(x, y, width, height, reason)] = made["gaps"]
    assert (x, y, width, height) == (0.0, 0.0, pytest.approx(5000 / length_mm, abs=0.01), 100.0)
    assert reason == "The frame was too dark"


def test_a_mark_tells_severity_form_and_a_false_alarm() -> None:
    made, table = drawn(defects(9), gaps(0)), defects(9)
    for mark, form, state in zip(made["marks"], table["geometry"], table["state"], strict=True):
        _x, _y, radius_px, _severity, shape, hollow, says = mark
        assert AREAS_PX2[0] ** 0.5 / 2 - 0.1 <= radius_px <= AREAS_PX2[1] ** 0.5 / 2 + 0.1
        assert 0 <= shape < len(made["forms"]) == table["geometry"].nunique(), form
        assert hollow == (state == "rejected")
        assert says


def test_a_clean_roll_and_one_that_has_just_begun_are_drawn() -> None:
    made = drawn(defects(0), gaps(0))
    assert made["marks"] == made["gaps"] == made["series"] == made["forms"] == []
    assert made["along"][0] == (0.0, "0")


def test_defects_that_repeat_are_joined_by_a_line() -> None:
    [line] = drawn(defects(6), gaps(0))["series"]
    assert len(line) == 3


def test_what_is_sent_each_second_does_not_grow_with_the_roll() -> None:
    made = drawn(defects(5000), gaps(5000), length_mm=500_000.0)
    assert len(made["marks"]) <= STRIP_CELLS[0] * STRIP_CELLS[1]
    assert sum(len(hits) for hits in made["series"]) <= len(made["marks"])
    assert len(made["gaps"]) <= FINEST
    assert made["says"] == "Map of the roll: 5,000 defects, 5,000 gaps"
