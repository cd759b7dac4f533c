"""The door: empty, older, newer, unreachable, read-only databases, and migrations that make just the tables."""

import hashlib
import threading
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

import storage.schema
from inspection.errors import SchemaError, StorageError
from storage.database import Database, open_database, schema_status, upgrade
from storage.engine import parse_url
from storage.frames import store_gap
from storage.masks import encode_mask
from storage.partitions import PARTITIONED
from storage.tables import Table
from tests.records import make_gap

pytestmark = pytest.mark.integration


def set_revision(url: str, revision: str) -> None:
    engine = create_engine(parse_url(url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE loomwatch_version SET version_num = :revision"), {"revision": revision})
    engine.dispose()


def test_an_empty_database_is_made_and_then_current(empty_url):
    assert schema_status(empty_url).state == "empty"
    with pytest.raises(SchemaError, match="has no tables yet: run loomwatch db upgrade"):
        open_database(empty_url)
    upgrade(empty_url)
    status = schema_status(empty_url)
    assert (status.state, status.current) == ("current", status.head)
    open_database(empty_url).close()


def test_looking_at_a_missing_file_does_not_make_it(tmp_path):
    path = tmp_path / "none" / "loomwatch.db"
    assert schema_status(f"sqlite:///{path}").state == "empty"
    with pytest.raises(SchemaError):
        open_database(f"sqlite:///{path}")
    assert not path.parent.exists()


def test_the_migrations_make_just_the_tables(database_url):
    """PostgreSQL's partitioned tables hold the time of capture in every key, and defects refer to no frame there."""
    partitioned = database_url.startswith("postgresql")
    expected = {
        ("remove_constraint", "uq_frames_camera_session_sequence"),
        ("add_constraint", "uq_frames_camera_session_sequence"),
        ("remove_fk", "fk_fragments_frame_id"),
        ("add_fk", "fk_fragments_frame_id"),
        ("add_fk", "fk_defects_frame_id"),
    }
    with Database(database_url) as database, database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": "loomwatch_version", "compare_server_default": True}
        )
        differences = {(difference[0], difference[1].name) for difference in compare_metadata(context, Table.metadata)}
        assert differences == (expected if partitioned else set())
        for table in Table.metadata.sorted_tables:
            inspector = inspect(connection)
            time = ["captured_at"] if partitioned and table.name in PARTITIONED else []
            assert inspector.get_pk_constraint(table.name)["constrained_columns"] == [
                *table.primary_key.columns.keys(),
                *time,
            ]
            names = {key["name"] for key in inspector.get_foreign_keys(table.name)}
            wanted = {str(key.name) for key in table.foreign_key_constraints}
            assert names == wanted - ({"fk_defects_frame_id"} if partitioned else set())


def test_migrations_lead_down_again(database_url):
    config = Config()
    config.set_main_option("script_location", str(Path(storage.schema.__file__).parent / "migrations"))
    with Database(database_url) as database:
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "base")
        with database.engine.connect() as connection:
            assert set(inspect(connection).get_table_names()) <= {"loomwatch_version"}


def test_an_upgrade_of_a_current_database_keeps_what_is_there(database, database_url):
    assert store_gap(database, make_gap())
    upgrade(database_url)
    assert not store_gap(database, make_gap())


def test_a_newer_database_is_refused_and_left_as_it_is(database_url):
    set_revision(database_url, "9999")
    assert schema_status(database_url).state == "newer"
    message = r"made by a newer loomwatch \(revision 9999.*: update loomwatch"
    with pytest.raises(SchemaError, match=message):
        open_database(database_url)
    with pytest.raises(SchemaError, match=message):
        upgrade(database_url)
    assert schema_status(database_url).current == "9999"


def test_refusing_a_newer_file_changes_no_byte_of_it(sqlite_url):
    set_revision(sqlite_url, "9999")
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    for act in (open_database, upgrade):
        with pytest.raises(SchemaError):
            act(sqlite_url)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_an_older_database_asks_for_the_upgrade(database_url, monkeypatch, tmp_path):
    """A program one migration ahead: a real further migration, in a copy of the migrations."""
    folder = tmp_path / "migrations"
    source = Path(storage.schema.__file__).parent / "migrations"
    (folder / "versions").mkdir(parents=True)
    for file in (*source.glob("*.py"), *source.glob("versions/*.py")):
        (folder / file.relative_to(source)).write_text(file.read_text())
    (folder / "versions" / "next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\nrevision = '0000next'\n"
        f"down_revision = {schema_status(database_url).head!r}\n"
        "def upgrade() -> None:\n"
        "    with op.batch_alter_table('rolls') as table:\n"
        "        table.add_column(sa.Column('remark', sa.String()))\n"
        "        table.drop_constraint('uq_rolls_line_name')\n"
    )
    config = Config()
    config.set_main_option("script_location", str(folder))
    monkeypatch.setattr(storage.schema, "_config", lambda: config)
    assert schema_status(database_url).state == "older"
    with pytest.raises(SchemaError, match=r"older loomwatch .*: run loomwatch db upgrade"):
        open_database(database_url)
    upgrade(database_url)
    assert schema_status(database_url).state == "current"
    with Database(database_url) as database, database.engine.connect() as connection:
        assert "remark" in {column["name"] for column in inspect(connection).get_columns("rolls")}


def test_a_migration_that_fails_leaves_nothing_behind(empty_url, monkeypatch, tmp_path):
    folder = tmp_path / "migrations"
    source = Path(storage.schema.__file__).parent / "migrations"
    (folder / "versions").mkdir(parents=True)
    for file in (*source.glob("*.py"), *source.glob("versions/*.py")):
        (folder / file.relative_to(source)).write_text(file.read_text())
    (folder / "versions" / "next.py").write_text(
        "from alembic import op\nrevision = '0000next'\n"
        f"down_revision = {schema_status(empty_url).head!r}\n"
        "def upgrade() -> None:\n    raise RuntimeError('the power fails')\n"
    )
    config = Config()
    config.set_main_option("script_location", str(folder))
    monkeypatch.setattr(storage.schema, "_config", lambda: config)
    with pytest.raises(RuntimeError, match="the power fails"):
        upgrade(empty_url)
    with Database(empty_url) as database, database.engine.connect() as connection:
        assert inspect(connection).get_table_names() == []


def test_two_programs_that_upgrade_at_once_take_turns(empty_url):
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(upgrade(empty_url).state)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["current"] * 3


def test_tables_of_another_program_are_not_touched(empty_url):
    if empty_url.startswith("sqlite"):
        Path(empty_url.removeprefix("sqlite:///")).parent.mkdir()
    engine = create_engine(parse_url(empty_url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE frames (id INTEGER)"))
    engine.dispose()
    with pytest.raises(SchemaError, match=r"tables of another program \(frames\)"):
        upgrade(empty_url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "postgresql://loom:secret@127.0.0.1:1/plant",
            r"postgresql\+psycopg://loom:\*\*\*@127\.0\.0\.1:1/plant: .*refused",
        ),
        ("mysql://loom:secret@db/plant", "starts with sqlite:/// or postgresql://, got mysql://"),
        ("secret nonsense", "cannot be read: write sqlite:///FILE or postgresql://"),
        ("sqlite://", "in memory"),
        ("sqlite:////proc/nowhere/loomwatch.db", "cannot make the folder /proc/nowhere"),
    ],
)
def test_what_cannot_be_reached_is_one_line_without_the_password(url, message):
    with pytest.raises(StorageError, match=message) as caught:
        upgrade(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_without_that_database_says_so(postgresql_server):
    url = postgresql_server.set(database="nowhere").render_as_string(hide_password=False)
    with pytest.raises(StorageError, match=r"nowhere.* does not exist: create it"):
        open_database(url)


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "loomwatch.db"
    path.write_text("a letter " * 1000)
    for act in (schema_status, open_database, upgrade):
        with pytest.raises(StorageError, match=r"loomwatch\.db: file is not a database: the file is something else"):
            act(f"sqlite:///{path}")
    assert path.read_text() == "a letter " * 1000


def test_a_database_that_cannot_be_written_is_a_clear_error(sqlite_url):
    path = sqlite_url.removeprefix("sqlite:///")
    with open_database(f"sqlite:///file:{path}?mode=ro&uri=true") as database:
        with pytest.raises(StorageError, match="readonly database: make the file and its folder writable"):
            store_gap(database, make_gap())
        with database.reading() as session:
            assert session.execute(text("SELECT count(*) FROM gaps")).scalar() == 0


def fill(database: Database) -> None:
    for sequence in range(1, 200):
        store_gap(database, make_gap(sequence, reason="unreadable: " + "x" * 2000))


def test_a_full_disk_is_a_clear_error_and_loses_nothing(sqlite_url):
    with open_database(sqlite_url) as database:
        assert store_gap(database, make_gap(0))
        with database.reading() as session:
            connection = session.connection()
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageError, match="disk is full: free some space"):
            fill(database)
    with open_database(sqlite_url) as database:
        assert not store_gap(database, make_gap(0))


def test_defects_of_the_first_tables_are_merged_defects_and_come_back(empty_url):
    """Up and down over what was stored: numbers, places, masks, reviews and samples stay."""
    mask = encode_mask(np.ones((40, 4), np.bool_))
    values = {
        "line": "'l'", "camera": "'c'", "captured_at": "'2026-03-14 08:00:00.000000'", "x0_mm": "50.0", "x1_mm": "51.0",
        "y0_mm": "10.0", "y1_mm": "20.0", "x0_px": "200", "x1_px": "204", "y0_px": "40", "y1_px": "80",
        "area_mm2": "10.0", "score": "0.9", "threshold": "0.5", "style": "''", "crop": "'a.png'", "heat": "''",
    }  # fmt: skip
    frame = {
        "id": "1", "line": "'l'", "camera": "'c'", "session": "'s'", "sequence": "0", "origin": "''",
        "captured_at": "'2026-03-14 08:00:00.000000'", "position_mm": "0", "length_mm": "32", "x_offset_mm": "0",
        "fabric_width_mm": "128", "mm_per_px": "0.25", "tile_px": "64", "overlap_px": "0", "tiles": "1",
        "model": "'m'", "style": "''", "threshold": "0.5", "score_max": "0.9", "score_p50": "0.1", "scores": ":empty",
        "grid": ":empty", "grid_rows": "0", "grid_columns": "0", "quality_flags": "'[]'", "inference_ms": "1",
        "latency_ms": "1", "stored_at": "'2026-03-14 08:00:01'",
    }  # fmt: skip

    def insert(connection, table, row):
        query = text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(row.values())})")
        named = {name: value for name, value in (("empty", b""), ("mask", mask)) if f":{name}" in query.text}
        connection.execute(query, named)

    config = Config()
    config.set_main_option("script_location", str(Path(storage.schema.__file__).parent / "migrations"))
    if empty_url.startswith("sqlite"):
        Path(empty_url.removeprefix("sqlite:///")).parent.mkdir()
    with Database(empty_url) as database:
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            insert(connection, "lines", {"name": "'l'", "created_at": "'2026-03-14 08:00:00'"})
            insert(connection, "cameras", {"name": "'c'", "line": "'l'", "created_at": "'2026-03-14 08:00:00'"})
            true = "1" if empty_url.startswith("sqlite") else "true"
            day = {"opened_at": "'2026-03-14 00:00:00'", "closed_at": "'2026-03-15 00:00:00'", "automatic": true}
            insert(connection, "rolls", {"id": "1", "line": "'l'", "name": "'auto 2026-03-14'", "style": "''", **day})
            insert(connection, "frames", frame)
            for number, state in ((3, "confirmed"), (7, "rejected")):
                row = {"id": str(number), "frame_id": "1", "mask": ":mask", "state": f"'{state}'", **values}
                insert(connection, "defects", row)
            insert(connection, "reviews", {"id": "1", "defect_id": "3", "state": "'confirmed'", "previous":
                   "'unreviewed'", '"by"': "'eva'", '"at"': "'2026-03-14 09:00:00'"})  # fmt: skip
        with database.engine.connect() as connection:
            before = connection.execute(text("SELECT * FROM defects ORDER BY id")).mappings().all()
        upgrade(empty_url)
        with database.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT id, geometry, state, fragments, size_mm, roll_id FROM defects ORDER BY id")
            ).all()
            assert [tuple(row)[:4] for row in rows] == [
                (3, "point", "confirmed", 1),
                (7, "point", "rejected", 1),
            ]
            assert rows[0].size_mm == pytest.approx((10**2 + 1) ** 0.5, abs=0.01)
            assert connection.execute(text("SELECT defect_id FROM reviews")).scalar() == 3
            pairs = connection.execute(text("SELECT defect_id, number FROM fragments ORDER BY number")).all()
            assert [tuple(pair) for pair in pairs] == [(3, 0), (7, 1)]
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "0001")
        with database.engine.connect() as connection:
            after = connection.execute(text("SELECT * FROM defects ORDER BY id")).mappings().all()
            assert connection.execute(text("SELECT defect_id FROM reviews")).scalar() == 3
        assert [dict(row) for row in after] == [dict(row) for row in before]


def test_a_file_on_a_network_share_is_refused_with_the_reason(tmp_path, monkeypatch):
    """The mounts are the system's; here one more is told."""
    share = namedtuple("sdiskpart", "device mountpoint fstype opts")("server:/mill", str(tmp_path), "nfs4", "rw")
    monkeypatch.setattr("storage.engine.psutil.disk_partitions", lambda all: [share])  # noqa: A006
    url = f"sqlite:///{tmp_path}/line/loomwatch.db"
    for act in (upgrade, open_database):
        with pytest.raises(StorageError, match=rf"network share \(nfs4 at {tmp_path}\).*use PostgreSQL"):
            act(url)
    assert not (tmp_path / "line").exists()
