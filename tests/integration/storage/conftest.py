"""Rolls with cloth on them."""

import pytest

from inspection.types import Roll
from storage.database import Database
from storage.frames import store_report
from storage.pictures import PictureStore
from storage.roll_details import find_roll
from storage.rolls import close_roll, open_roll
from tests.records import LENGTH_MM, LINE, at, make_defect, make_report


@pytest.fixture
def woven(database: Database, pictures: PictureStore) -> Roll:
    """A closed roll of 100 frames (3.2 m x 128 mm) with two defects of 2 mm in frames 30 and 60."""
    roll = open_roll(database, line=LINE, name="R1", style="twill", by="eva", at=at(0))
    for sequence in range(100):
        found = (make_defect(x_px=250, y0_mm=sequence * LENGTH_MM + 10, y1_mm=sequence * LENGTH_MM + 12),)
        report = make_report(
            sequence, captured_at=at(1 + sequence / 100), defects=found if sequence in (30, 60) else ()
        )
        store_report(database, pictures, report)
    close_roll(database, line=LINE, by="eva", at=at(10))
    return find_roll(database, name=roll.name)
