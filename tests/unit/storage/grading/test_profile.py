"""Profiles: what is shipped is right, what is malformed is refused with field and value."""

import json

import pytest

from inspection.errors import SettingsError
from storage.grading.profile import dump_profile, parse_profile
from tests.unit.storage.grading.cloths import SHIPPED, profile, shipped

NAMES = sorted(path.stem for path in SHIPPED.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_profile_is_whole_and_reads_back(name):
    found = shipped(name)
    assert found.name == name
    assert found.description
    assert parse_profile(json.dumps(dump_profile(found)), source=name) == found


@pytest.mark.parametrize(
    ("name", "roll", "shipment"),
    [
        ("four-point", 40, None),
        ("four-point-shirting", 20, 16),
        ("four-point-denim", 28, 20),
        ("four-point-linen", 40, 32),
        ("four-point-silk", 50, 40),
        ("four-point-combed-knit", 30, 25),
        ("four-point-carded-knit", 40, 32),
    ],
)
def test_limits_by_fabric(name, roll, shipment):
    assert (shipped(name).grades[0].max_points, shipped(name).shipment_max) == (roll, shipment)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands_mm": [75, 70, 230]}, r"bands_mm: sizes must grow, got \[75, 70, 230\]"),
        ({"bands_mm": [75, 150]}, "bands_mm"),
        ({"bands_mm": [75, 150, "230"]}, r"bands_mm\.2: Input should be a valid number, got '230'"),
        ({"unit": "ell"}, "unit: Input should be 'yard' or 'metre', got 'ell'"),
        ({"min_coverage": 1.5}, "min_coverage: .* less than or equal to 1, got 1.5"),
        ({"cap_per_unit": -4}, "cap_per_unit: .* greater than or equal to 0, got -4"),
        ({"edge_mm": 25}, "edge_mm: Extra inputs are not permitted, got 25"),
        ({"system": "six_point"}, "system|six_point"),
        ({"name": "../x"}, r"name: .*got '\.\./x'"),
        ({"limits_per": "100yd"}, "limits_per of this system is 100yd2"),
        ({"counted": []}, r"counted: .*got \[\]"),
        ({"counted": ["huge"]}, "got 'huge'"),
        ({"tubular": "yes"}, "tubular: Input should be a valid boolean, got 'yes'"),
        ({"grades": []}, r"grades: .*got \[\]"),
        (
            {"grades": [{"grade": "A", "max_points": 4, "outcome": "sell", "value": 1}]},
            r"grades\.0\.outcome: .*got 'sell'",
        ),
        (
            {
                "grades": [
                    {"grade": "A", "max_points": 40, "outcome": "first", "value": 1},
                    {"grade": "B", "max_points": 30, "outcome": "downgrade", "value": 1},
                ]
            },
            "grades: max_points must grow",
        ),
        (
            {"rejected": {"grade": "first", "outcome": "rework", "value": 0}},
            "grade names must differ .* got 'first'",
        ),
        ({"cut": {"min_piece_mm": 0}}, r"cut\.min_piece_mm: .*got 0"),
    ],
)
def test_a_malformed_profile_is_refused_with_field_and_value(changes, message):
    with pytest.raises(SettingsError, match=message) as caught:
        profile(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "profile mine: the file"),
        ("7", "profile mine"),
        ('{"name": "a", "name": "b"}', "name stands there twice"),
        ('{"name": "a"}', "system"),
        ('{"system": "four_point", "grades": []}', "name: Field required"),
        ("[" * 100_000, "profile mine is no JSON"),
    ],
)
def test_what_is_no_profile_is_refused(text, message):
    with pytest.raises(SettingsError, match=message):
        parse_profile(text, source="mine")


def test_infinite_and_missing_numbers_are_refused():
    for value in ("NaN", "Infinity", "1e400", "null"):
        with pytest.raises(SettingsError, match=r"edge_ignore_mm|no JSON"):
            parse_profile(
                json.dumps(dump_profile(shipped("four-point"))).replace(
                    '"edge_ignore_mm": 25.4', f'"edge_ignore_mm": {value}'
                ),
                source="mine",
            )
