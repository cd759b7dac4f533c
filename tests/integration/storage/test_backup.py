"""Backups: of one moment while the line writes, into either database, and never over what is there."""

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, func, select

from inspection.errors import SchemaError, StorageError
from storage import schedules
from storage.accounts.users import add_user
from storage.alarms.lease import take_lease
from storage.alarms.rule_store import remove_rule, set_rule
from storage.alarms.sink_store import set_sink
from storage.backup import back_up, restore
from storage.database import open_database, schema_status, upgrade
from storage.defects.machine import set_element
from storage.frames import store_gap, store_report
from storage.grading.profile_store import add_profile, read_profile
from storage.pictures import PictureStore
from storage.rolls import close_roll, list_rolls, open_roll
from storage.tables import AuditRow, DefectRow, FragmentRow, FrameRow, GapRow, Table
from tests.records import LINE, at, make_defect, make_gap, make_report

pytestmark = pytest.mark.integration


def rows_of(database):
    """All that a database holds, table by table."""
    with database.reading() as session:
        return {
            table.name: sorted((tuple(row) for row in session.execute(select(table))), key=repr)
            for table in Table.metadata.sorted_tables
        }


def fill(database, pictures):
    open_roll(database, line=LINE, name="R1", style="twill", by="eva", at=at(0))
    for sequence in range(3):
        store_report(database, pictures, make_report(sequence, captured_at=at(sequence), defects=(make_defect(),)))
    store_gap(database, make_gap(3, captured_at=at(3)))
    close_roll(database, line=LINE, by="eva", at=at(4))


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_a_backup_restores_into_either_database_row_by_row(database, pictures, tmp_path, request, target):
    fill(database, pictures)
    made = back_up(database, tmp_path / "monday.db", pictures=pictures, into=tmp_path / "monday")
    assert (made.pictures, made.named) == (6, 6)
    into = f"sqlite:///{tmp_path}/new/loomwatch.db" if target == "sqlite" else request.getfixturevalue(
        "empty_postgresql_url"
    )  # fmt: skip
    again = PictureStore(str(tmp_path / "pictures-again"))
    restore(into, tmp_path / "monday.db", pictures=again, out_of=tmp_path / "monday")
    with open_database(into) as other:
        assert rows_of(other) == rows_of(database)
        assert store_report(other, again, make_report(4, captured_at=at(5), defects=(make_defect(),)))  # numbers go on
        with other.reading() as session:
            key = session.scalar(select(FragmentRow.crop).limit(1))
        assert again.get(key) == pictures.get(key)


def test_a_backup_while_the_line_writes_is_of_one_moment(database, pictures, tmp_path):
    """Frames and their defects are written together, so in every copy they are as many."""
    stop, failures = threading.Event(), []

    def write():
        sequence = 0
        try:
            while not stop.is_set():
                report = make_report(sequence, captured_at=at(sequence), defects=(make_defect(),))
                store_report(database, pictures, report)
                sequence += 1
        except Exception as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    for number in range(3):
        back_up(database, tmp_path / f"{number}.db", pictures=pictures)
    stop.set()
    thread.join()
    assert failures == []
    for number in range(3):
        with open_database(f"sqlite:///{tmp_path}/{number}.db") as copy, copy.reading() as session:
            frames, fragments = (
                session.scalar(select(func.count()).select_from(table)) for table in (FrameRow, FragmentRow)
            )
            assert frames == fragments


def test_what_is_there_is_not_given_up_unless_told(database, pictures, tmp_path):
    url = database.url.render_as_string(hide_password=False)
    fill(database, pictures)
    back_up(database, tmp_path / "monday.db", pictures=pictures)
    store_gap(database, make_gap(9, captured_at=at(9)))
    with pytest.raises(StorageError, match="is not empty: restore into an empty one, or add --replace"):
        restore(url, tmp_path / "monday.db")
    with pytest.raises(StorageError, match="is there already: name another file"):
        back_up(database, tmp_path / "monday.db", pictures=pictures)
    database.close()
    restore(url, tmp_path / "monday.db", replace=True)
    with open_database(url) as again, again.reading() as session:
        assert session.scalar(select(func.count()).select_from(GapRow)) == 1
        assert session.scalar(select(func.count()).select_from(DefectRow)) > 0


def set_up(database, what):
    match what:
        case "user":
            add_user(database, name="eva", role="admin", password="a shuttle and two reeds", by="eva")
        case "element":
            set_element(database, line=LINE, name="print", kind="screen", values={"repeat_mm": 640}, by="eva")
        case "schedule":
            rule = schedules.parse_rule(kind="nightly")
            schedules.add_schedule(database, "nightly", rule, by="eva", zone=ZoneInfo("UTC"))
        case "rule":
            set_rule(database, name="points-rate", line="", kind="rate", changes={"raise_at": 15}, by="eva")
        case "no rule":
            remove_rule(database, name="points-rate", line="", by="eva")
        case "sink":
            changes = {"url": "https://mes.plant/", "secret_file": "s"}
            set_sink(database, name="mes", kind="webhook", changes=changes, by="eva")
        case "profile":
            profile = read_profile(database, "four-point").profile
            add_profile(database, profile.model_copy(update={"edge_ignore_mm": 10.0}), by="eva")
    with database.session() as session:  # the audit tells of it as well
        session.execute(delete(AuditRow))


@pytest.mark.parametrize("what", ["user", "element", "schedule", "rule", "no rule", "sink", "profile"])
def test_a_database_that_is_only_set_up_is_not_given_up_either(sqlite_database, sqlite_url, pictures, tmp_path, what):
    back_up(sqlite_database, tmp_path / "monday.db", pictures=pictures)
    set_up(sqlite_database, what)
    with pytest.raises(StorageError, match="is not empty"):
        restore(sqlite_url, tmp_path / "monday.db")


def test_a_database_on_which_programs_only_ran_is_empty(database, pictures, tmp_path):
    back_up(database, tmp_path / "monday.db", pictures=pictures)
    with database.session() as session:
        take_lease(database, session, holder="alarms-1", at=at(0), lease_s=15)
    database.close()
    restore(database.url.render_as_string(hide_password=False), tmp_path / "monday.db")


def test_a_newer_a_damaged_and_another_programs_file_are_refused(sqlite_url, tmp_path):
    path = sqlite_url.removeprefix("sqlite:///")
    newer, damaged, other = tmp_path / "newer.db", tmp_path / "damaged.db", tmp_path / "other.db"
    shutil.copy(path, newer)
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("UPDATE loomwatch_version SET version_num = '9999'")
        connection.commit()
    data = bytearray(Path(path).read_bytes())
    data[8192:20480] = b"\xff" * 12288
    damaged.write_bytes(data)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE letters (id INTEGER)")
    into = f"sqlite:///{tmp_path}/new/loomwatch.db"
    with pytest.raises(SchemaError, match=r"made by a newer loomwatch \(revision 9999.*: update loomwatch"):
        restore(into, newer)
    with pytest.raises(StorageError, match=r"damaged"):
        restore(into, damaged)
    with pytest.raises(StorageError, match="is no backup of loomwatch"):
        restore(into, other)
    with pytest.raises(StorageError, match="there is no backup"):
        restore(into, tmp_path / "nothing.db")
    assert schema_status(into).state == "empty"


def test_an_older_backup_is_brought_to_this_version(sqlite_url, tmp_path, pictures):
    from alembic import command

    from storage.schema import _config

    with open_database(sqlite_url) as database:
        fill(database, pictures)
        before = [roll.name for roll in list_rolls(database)]
        back_up(database, tmp_path / "old.db", pictures=pictures)
    with open_database(f"sqlite:///{tmp_path}/old.db") as old, old.engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
    into = f"sqlite:///{tmp_path}/new/loomwatch.db"
    upgrade(into)
    restore(into, tmp_path / "old.db")
    with open_database(into) as database:
        assert [roll.name for roll in list_rolls(database)] == before
