"""What people write comes by the audit trail, which takes no characters that nobody sees: on both databases alike."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from inspection.errors import StorageError
from loomwatch.cli import run
from storage.accounts.users import add_user
from storage.alarms import alarm_store
from storage.alarms.alarm_store import Signal
from storage.alarms.rules import parse_rule
from storage.database import Database, open_database
from storage.defects.machine import set_element
from storage.grading.profile import FourPointProfile, GradeLimit
from storage.grading.profile_store import add_profile
from storage.retention import hold_roll
from storage.roll_details import find_roll, set_details
from storage.rolls import open_roll
from storage.schedules import Rule, add_schedule
from storage.suspensions import suspend_roll
from storage.tables import AlarmRow, AuditRow, Table

pytestmark = pytest.mark.integration
UTC_ZONE = ZoneInfo("UTC")
GRADES = (GradeLimit(grade="first", outcome="first", value=1.0, max_points=20),)
ACTS: dict[str, Callable[[Database, str], object]] = {
    "an alarm's note": lambda database, text: alarm_store.acknowledge_alarm(database, 1, by="eva", note=text),
    "a hold's reason": lambda database, text: hold_roll(
        database, find_roll(database, name="R1"), reason=text, by="eva"
    ),
    "why a roll is suspended": lambda database, text: suspend_roll(
        database, find_roll(database, name="R1"), reason=text, by="eva"
    ),
    "a roll's papers": lambda database, text: set_details(
        database, find_roll(database, name="R1"), by="eva", remarks=text
    ),
    "a schedule's name": lambda database, text: add_schedule(
        database, text, Rule(kind="nightly"), by="eva", zone=UTC_ZONE
    ),
    "a part of the machine": lambda database, text: set_element(
        database, line="line-1", name=text, kind="roller", values={"diameter_mm": 100.0}, by="eva"
    ),
    "a profile's description": lambda database, text: add_profile(
        database, FourPointProfile(name="p", system="four_point", description=text, grades=GRADES), by="eva"
    ),
    "whoever acts": lambda database, text: add_user(database, name="otto", role="viewer", password=None, by=text),
}


@pytest.fixture
def plant(database: Database) -> Database:
    """A roll, and an alarm whose text a driver gave with a character that nobody sees."""
    open_roll(database, line="line-1", name="R1", style="twill", by="eva")
    rule = parse_rule({"name": "camera-down", "kind": "camera_down"})
    with database.session() as session:
        signal = Signal(subject="cam-1", level="raise", text="the camera said \x1b[31mno")
        alarm_store.observe(session, rule, line="line-1", signals=[signal], at=datetime.now(UTC))
    return database


def rows(database: Database) -> dict[str, int]:
    with database.reading() as session:
        tables = Table.metadata.sorted_tables
        return {table.name: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("unseen", ["\0", "\x1b", "\x7f"])
def test_text_with_control_characters_is_refused_and_leaves_nothing(
    plant: Database, act: Callable[[Database, str], object], unseen: str
) -> None:
    before = rows(plant)
    with pytest.raises(StorageError, match=r"without (them|that character)$") as refused:
        act(plant, f"claim{unseen} of the customer")
    assert "\n" not in str(refused.value)
    assert unseen not in str(refused.value)
    assert rows(plant) == before


def test_lines_tabs_and_letters_of_all_tongues_stay(plant: Database) -> None:
    written = "Kette gerissen\r\nSchuß:\t3 × ربط 布 🧵"
    alarm_store.acknowledge_alarm(plant, 1, by="eva", note=written)  # the driver's words keep nobody from it
    with plant.reading() as session:
        assert session.get_one(AlarmRow, 1).note == written
        entry = session.scalars(select(AuditRow).where(AuditRow.action == "alarm.acknowledge")).one()
    assert entry.detail["note"] == written
    assert entry.detail["text"] == "the camera said \x1b[31mno"


def test_the_command_line_says_it_in_one_line(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOMWATCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LOOMWATCH_DATABASE_URL", sqlite_url)
    with open_database(sqlite_url) as database:
        open_roll(database, line="line-1", name="R1", style="twill", by="eva")
    assert run(["rolls", "hold", "R1", "--reason", "claim\x1b", "--by", "eva"]) == 2
    error = capsys.readouterr().err
    assert "text must have no control characters, got 'claim\\x1b': write it without them" in " ".join(error.split())
