"""PostgreSQL's partitions, made beside transactions that write."""

import threading

import pytest
from sqlalchemy import create_engine, text

from storage.engine import parse_url
from storage.partitions import make_partitions

pytestmark = pytest.mark.integration


def test_a_month_is_made_beside_a_transaction_that_goes_on_to_other_tables(postgresql_url):
    """Attaching a partition takes locks of many tables, one after another: whoever held one of them and wanted another
    would block it and be blocked by it."""
    engine = create_engine(parse_url(postgresql_url))
    failures: list[BaseException] = []

    def make() -> None:
        try:
            make_partitions(engine, ["2031_05"])
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    with engine.connect() as writer, writer.begin():
        writer.execute(text("LOCK TABLE frames IN ROW EXCLUSIVE MODE"))  # as an insert does
        maker = threading.Thread(target=make)
        maker.start()
        with engine.connect() as looking:
            waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            while not looking.execute(waits).scalar() and maker.is_alive():
                looking.rollback()
        writer.execute(text("LOCK TABLE lines, cameras, defects, rolls, fragments IN ROW EXCLUSIVE MODE"))
    maker.join()
    with engine.connect() as looking:
        there = looking.execute(text("SELECT to_regclass('fragments_2031_05')")).scalar()
    engine.dispose()
    assert failures == []
    assert there == "fragments_2031_05"
