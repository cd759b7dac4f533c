"""A filled store goes down to each former version and up again, on real databases: what both know stays as it is."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

import storage.schema
from loomwatch.bench_year import fill_year
from storage.database import Database, open_database, upgrade
from storage.frames import store_report
from storage.grading.kept import grade_rolls, keep_grades
from storage.packed_scores import unpack_scores
from storage.pictures import PictureStore
from storage.reviews import merge_defects, review_defect
from storage.rolls import list_rolls
from storage.suspensions import suspend_roll
from tests.records import at, make_defect, make_report

pytestmark = pytest.mark.integration

# What a version and those before it keep in another way, or not at all; the tests of that migration look at it.
OTHERWISE = {"0016": {"scores", "grid"}, "0007": {"reviews"}, "0004": {"grid"}, "0001": {"defects"}}


def config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(storage.schema.__file__).parent / "migrations"))
    return config


def rows_of(engine: Engine, *, without: set[str]) -> dict[str, dict[str, list[object]]]:
    """table -> column -> its values in the order of the key."""
    found: dict[str, dict[str, list[object]]] = {}
    with engine.connect() as connection:
        tables = inspect(connection)
        for table in tables.get_table_names():
            if table in without or (table[-8:-5].startswith("_20") and table[-3] == "_"):  # a month's partition
                continue
            key = ", ".join(f'"{name}"' for name in tables.get_pk_constraint(table)["constrained_columns"])
            rows = connection.execute(text(f"SELECT * FROM {table} ORDER BY {key or 1}")).mappings().all()
            names = {column["name"] for column in tables.get_columns(table)} - without
            found[table] = {
                name: [bytes(row[name]) if isinstance(row[name], memoryview) else row[name] for row in rows]
                for name in names
            }
    return found


def test_a_filled_store_goes_down_to_each_version_and_up_again(empty_url, tmp_path):
    upgrade(empty_url)
    with open_database(empty_url) as database:
        pictures = PictureStore(str(tmp_path / "pictures"))
        fill_year(database, scale=0.0005, tell=str)
        for sequence in (0, 1, 2, 30):
            found = (make_defect(120, 90, size_px=30), make_defect(300))
            assert store_report(database, pictures, make_report(sequence, captured_at=at(sequence), defects=found))
        with database.reading() as session:
            numbers = session.execute(text("SELECT id FROM defects ORDER BY id DESC LIMIT 3")).scalars().all()
        review_defect(database, pictures, numbers[0], state="confirmed", by="eva")
        merge_defects(database, dict.fromkeys(numbers[:2]), by="eva")
        suspend_roll(database, list_rolls(database)[0], reason="stained", by="eva")
        assert keep_grades(database, most=9) > 0
        before = rows_of(database.engine, without={"loomwatch_version"})
        grades = grade_rolls(database, list_rolls(database))
    revisions = [each.revision for each in ScriptDirectory.from_config(config()).walk_revisions()]
    left = {"loomwatch_version"}
    with Database(empty_url) as database:
        for revision in revisions[1:]:
            with database.engine.begin() as connection:
                down = config()
                down.attributes["connection"] = connection
                command.downgrade(down, revision)
            left |= OTHERWISE.get(revision, set())
            for table, columns in rows_of(database.engine, without=left).items():
                for name in columns.keys() & before.get(table, {}).keys():
                    assert columns[name] == before[table][name], f"{table}.{name} at {revision}"
    upgrade(empty_url)
    with open_database(empty_url) as database:
        after = rows_of(database.engine, without={"loomwatch_version"})
        assert after.keys() == before.keys()
        for rows in (after["frames"], before["frames"]):
            cells = [high * wide for high, wide in zip(rows["grid_rows"], rows["grid_columns"], strict=True)]
            for name, counts in (("scores", rows["tiles"]), ("grid", cells)):
                rows[name] = [
                    unpack_scores(data, count).tolist() for data, count in zip(rows[name], counts, strict=True)
                ]
        for table in ("lines", "cameras", "styles", "rolls", "frames", "gaps", "captures", "samples", "audit"):
            assert after[table] == before[table], table
        for name in ("frame_id", "camera", "y0_mm", "x1_mm", "score", "mask", "crop", "captured_at"):
            assert sorted(after["fragments"][name]) == sorted(before["fragments"][name]), name
        assert sum(after["defects"]["fragments"]) == sum(before["defects"]["fragments"])
        assert [each.length_mm for each in grade_rolls(database, list_rolls(database))] == [
            each.length_mm for each in grades
        ]
        stored = store_report(database, pictures, make_report(40, captured_at=at(40), defects=(make_defect(),)))
        assert stored, "it goes on where it was"
