"""Backups: of one moment while the line writes, into either database, and never over what is there."""

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from inspection.errors import SchemaError, StorageError
from storage.backup import back_up, restore
from storage.database import open_database, schema_status, upgrade
from storage.frames import store_gap, store_report
from storage.pictures import PictureStore
from storage.rolls import close_roll, list_rolls, open_roll
from storage.tables import DefectRow, FragmentRow, FrameRow, GapRow, Table
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


def test_what_is_there_is_not_given_up_unless_told(sqlite_database, sqlite_url, pictures, tmp_path):
    fill(sqlite_database, pictures)
    back_up(sqlite_database, tmp_path / "monday.db", pictures=pictures)
    store_gap(sqlite_database, make_gap(9, captured_at=at(9)))
    with pytest.raises(StorageError, match="is not empty: restore into an empty one, or add --replace"):
        restore(sqlite_url, tmp_path / "monday.db")
    with pytest.raises(StorageError, match="is there already: name another file"):
        back_up(sqlite_database, tmp_path / "monday.db", pictures=pictures)
    sqlite_database.close()
    restore(sqlite_url, tmp_path / "monday.db", replace=True)
    with open_database(sqlite_url) as database, database.reading() as session:
        assert session.scalar(select(func.count()).select_from(GapRow)) == 1
        assert session.scalar(select(func.count()).select_from(DefectRow)) > 0


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
