"""The alarm service over a real record: what it raises, two of them, restarts, late and old records, Redis away."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, select

from alarms.service import Watch
from inspection.settings import AlarmSettings, load
from storage.alarms import alarm_store, rule_store
from storage.alarms.alarm_store import list_alarms
from storage.database import open_database
from storage.frames import store_capture, store_gap, store_report
from storage.live import Live, LiveIngest, ServiceState
from storage.reads.defects import read_defect
from storage.reviews import review_defect
from storage.rolls import close_roll, open_roll
from storage.tables import AlarmEventRow, AlarmServiceRow, DefectRow
from tests.records import LINE, at, make_capture, make_defect, make_gap, make_report
from tests.states import camera_state, ingest_state
from tests.waiting import wait_for

pytestmark = pytest.mark.integration
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def live(redis_url):
    live = Live(redis_url)
    live.publish_service(ServiceState(name="w1", kind="worker", state="running", detail="", at_ns=0))
    yield live
    live.close()


@pytest.fixture
def settings():
    return load(AlarmSettings)


def only(database, **rules):
    """Removes the first rules and sets these: name -> (kind, fields)."""
    for stored in rule_store.list_rules(database):
        rule_store.remove_rule(database, name=stored.rule.name, line="", by="eva")
    for name, (kind, fields) in rules.items():
        changes = {"rate_limit_s": 0, **fields}
        rule_store.set_rule(database, name=name.replace("_", "-"), line="", kind=kind, changes=changes, by="eva")


def weave(database, pictures, numbers, *, defects=()):
    """Frames of 32 mm; defects: numbers of frames with a hole of 5 mm each, critical by its rule in the test."""
    for number in numbers:
        found = (make_defect(x_px=250, size_px=20),) if number in defects else ()
        store_report(database, pictures, make_report(number, captured_at=at(number / 100), defects=found))


def look(watch, when=None):
    """Until there is nothing new."""
    when = when or datetime.now(UTC)
    while watch.look(when):
        pass


def events(database):
    with database.reading() as session:
        return list(session.scalars(select(AlarmEventRow.kind).order_by(AlarmEventRow.id)))


SEVERE = ("severe_defect", {"severities": ["major", "critical"], "clear_m": 0.5})


def test_a_severe_defect_raises_once_and_clears_when_cloth_has_passed(database, pictures, live, settings):
    only(database, holes=SEVERE)
    watch = Watch(database, live, settings)
    look(watch)
    weave(database, pictures, range(10), defects=[5])
    look(watch)
    look(watch)
    [alarm] = list_alarms(database)
    assert (alarm.line, alarm.state, alarm.occurrences) == (LINE, "raised", 1)
    weave(database, pictures, range(10, 30))
    look(watch)
    assert events(database) == ["raised", "cleared"]
    weave(database, pictures, range(30, 32), defects=[31])
    look(watch)
    assert [(alarm.state, alarm.occurrences) for alarm in list_alarms(database)] == [("raised", 2)]


def test_history_from_before_the_first_service_raises_nothing(sqlite_database, pictures, live, settings):
    only(sqlite_database, holes=SEVERE)
    weave(sqlite_database, pictures, range(10), defects=[9])
    watch = Watch(sqlite_database, live, settings)
    look(watch)
    assert events(sqlite_database) == ["raised"]  # the latest cloth is judged, as it is


def test_what_happened_while_no_service_ran_is_raised_and_nothing_twice(database, pictures, live, settings):
    only(database, holes=SEVERE)
    first = Watch(database, live, settings)
    weave(database, pictures, range(3))
    look(first)
    weave(database, pictures, range(3, 6), defects=[4])
    look(first)
    first.leave()
    weave(database, pictures, range(6, 200), defects=[8, 100])
    second = Watch(database, live, settings)
    look(second)
    [alarm] = list_alarms(database)
    assert (alarm.occurrences, alarm.state) == (3, "cleared")  # over half a metre passed since the last one
    before = events(database)
    second.leave()
    look(Watch(database, live, settings))
    assert events(database) == before


def test_of_two_services_one_acts_and_the_other_follows_when_it_is_gone(database, pictures, live, settings):
    only(database, holes=SEVERE)
    one, two = Watch(database, live, settings), Watch(database, live, settings)
    now = datetime.now(UTC)
    weave(database, pictures, range(3))
    for watch in (one, two):
        look(watch, now)
    assert (one.acts, two.acts) == (True, False)
    weave(database, pictures, range(3, 6), defects=[4])
    for watch in (two, one, two):
        look(watch, now)
    assert events(database) == ["raised"]
    later = now + timedelta(seconds=settings.lease_s + 1)  # the first was killed and says nothing any more
    weave(database, pictures, range(6, 9), defects=[7])
    look(two, later)
    assert two.acts
    assert events(database) == ["raised", "recurred"]
    look(one, later)  # it was only slow: it changes nothing, and knows that it does not act
    assert not one.acts
    assert events(database) == ["raised", "recurred"]


def test_a_false_alarm_clears_what_it_raised(sqlite_database, pictures, live, settings):
    only(sqlite_database, holes=SEVERE)
    watch = Watch(sqlite_database, live, settings)
    look(watch)
    weave(sqlite_database, pictures, range(10), defects=[5])
    look(watch)
    with sqlite_database.reading() as session:
        number = session.scalars(select(DefectRow.id)).one()
    review_defect(sqlite_database, pictures, number, state="rejected", by="eva")
    look(watch)
    assert [alarm.state for alarm in list_alarms(sqlite_database)] == ["cleared"]


def test_alarms_tell_places_along_the_roll_and_name_it(database, pictures, live, settings):
    only(database, marks=("periodic", {}), holes=SEVERE)
    open_roll(database, line=LINE, name="R-1", style="twill", by="eva", at=at(0))
    watch = Watch(database, live, settings)
    look(watch)
    weave(database, pictures, range(100))
    close_roll(database, line=LINE, by="eva", at=at(0.995))
    open_roll(database, line=LINE, name="R-2", style="twill", by="eva", at=at(0.995))
    weave(database, pictures, range(100, 103), defects=[102])  # 64 mm from the roll's start, 3,264 on the counter
    look(watch)
    weave(database, pictures, range(103, 130), defects=range(107, 130, 5))  # 5 more, 160 mm apart
    look(watch)
    told = {alarm.rule: alarm.text for alarm in list_alarms(database)}
    with database.reading() as session:
        first = session.scalars(select(DefectRow.id).order_by(DefectRow.y0_mm)).first()
        content = session.scalars(select(AlarmEventRow.content).order_by(AlarmEventRow.id)).first()
    shown = read_defect(database, first)
    assert shown.item.roll.name == "R-2"
    begin_m = (shown.item.y_mm - shown.item.length_mm / 2) / 1000
    assert f"at {begin_m:.2f} m of roll R-2, " in content["text"]
    assert begin_m == pytest.approx(0.074, abs=0.001)
    assert shown.series.next_mm == pytest.approx(64 + 12.5 + 6 * 160, abs=1)
    assert told["marks"].endswith(f"next at {shown.series.next_mm / 1000:.2f} m of roll R-2")


def test_a_series_of_false_alarms_alarms_no_more(database, pictures, live, settings):
    only(database, marks=("periodic", {}))
    watch = Watch(database, live, settings)
    look(watch)
    weave(database, pictures, range(30), defects=range(2, 30, 5))
    look(watch)
    [alarm] = list_alarms(database)
    assert alarm.state == "raised"
    with database.reading() as session:
        numbers = session.scalars(select(DefectRow.id)).all()
    for number in numbers[:3]:
        review_defect(database, pictures, number, state="rejected", by="eva")
    look(watch)
    assert [(alarm.subject, alarm.state) for alarm in list_alarms(database)] == [(alarm.subject, "cleared")]
    review_defect(database, pictures, numbers[0], state="unreviewed", by="eva")
    look(watch)
    assert [alarm.state for alarm in list_alarms(database)] == ["raised"]


def test_a_rate_a_running_defect_a_series_and_lost_coverage_are_seen_in_the_record(database, pictures, live, settings):
    only(
        database,
        rate=("rate", {"measure": "defects", "over_m": 1, "raise_at": 5, "clear_at": 1}),
        long=("running", {"raise_m": 0.3, "clear_m": 1}),
        marks=("periodic", {}),
        lost=("coverage", {"over_m": 1, "raise_below": 0.8, "clear_above": 0.9}),
    )
    watch = Watch(database, live, settings)
    look(watch)
    weave(database, pictures, range(40), defects=range(2, 40, 5))  # every 160 mm
    look(watch)
    assert {alarm.rule for alarm in list_alarms(database)} == {"rate", "marks"}
    marks = next(alarm for alarm in list_alarms(database) if alarm.rule == "marks")
    assert marks.subject.startswith("series ")
    assert "every 160.0 mm" in marks.text
    for number in range(40, 55):
        whole = make_defect(x_px=400, y_px=0, size_px=4, y1_px=128, mask=_stripe())
        store_report(database, pictures, make_report(number, captured_at=at(number / 100), defects=(whole,)))
    look(watch)
    assert "long" in {alarm.rule for alarm in list_alarms(database) if alarm.state == "raised"}
    for number in range(55, 75):
        store_gap(database, make_gap(number, captured_at=at(number / 100), reason="dropped: spool full"))
    look(watch)
    lost = next(alarm for alarm in list_alarms(database) if alarm.rule == "lost")
    assert "mostly because of dropped" in lost.text
    weave(database, pictures, range(75, 140))
    look(watch)
    assert {alarm.rule: alarm.state for alarm in list_alarms(database)} == {
        "rate": "cleared",
        "marks": "cleared",
        "long": "cleared",
        "lost": "cleared",
    }


def _stripe():
    import numpy as np

    return np.ones((128, 4), np.bool_)


def test_a_camera_and_a_worker_that_are_gone_are_told_after_their_delay(sqlite_database, pictures, live, settings):
    only(
        sqlite_database,
        cams=("camera_down", {"raise_s": 60, "clear_s": 15, "forget_s": 86400, "after_s": 0}),
        workers=("worker_down", {"after_s": 30}),
    )
    store_capture(sqlite_database, make_capture(3))
    weave(sqlite_database, pictures, range(3))
    watch, now = Watch(sqlite_database, live, settings), datetime.now(UTC)
    look(watch, now)
    assert list_alarms(sqlite_database) == []
    look(watch, now + timedelta(seconds=100))
    [alarm] = list_alarms(sqlite_database)
    assert (alarm.rule, alarm.subject, alarm.line) == ("cams", "camera camera-1", LINE)
    store_capture(sqlite_database, make_capture(3, ended=True))
    live._publisher.flushall()  # the worker's sign of life has run out
    look(watch, now + timedelta(seconds=110))
    assert [alarm.rule for alarm in list_alarms(sqlite_database)] == ["cams"]
    look(watch, now + timedelta(seconds=141))
    assert {(alarm.rule, alarm.line) for alarm in list_alarms(sqlite_database)} == {("cams", LINE), ("workers", "")}


def told(camera: str, at: datetime, *, state: str = "running", silent_s: float = 0.0) -> LiveIngest:
    """What a worker publishes of an ingestor with one camera."""
    cameras = (camera_state(camera, state=state, silent_s=silent_s),)
    return LiveIngest(state=ingest_state(line=LINE, cameras=cameras), at_ns=round(at.timestamp() * 1e9))


def test_a_camera_on_a_standing_line_is_not_down_and_one_that_is_away_is(sqlite_database, pictures, live, settings):
    only(sqlite_database, cams=("camera_down", {"after_s": 0}))
    store_capture(sqlite_database, make_capture(3))
    weave(sqlite_database, pictures, range(3))
    watch, now = Watch(sqlite_database, live, settings), datetime.now(UTC)
    look(watch, now)
    for minutes in range(1, 120, 10):  # two hours without cloth
        later = now + timedelta(minutes=minutes)
        live.publish_ingest(told("camera-1", later), part="camera-1")
        look(watch, later)
    assert list_alarms(sqlite_database) == []
    for away_s, alarms in ((59, 0), (61, 1)):
        at_s = later + timedelta(seconds=away_s)
        live.publish_ingest(told("camera-1", at_s, state="away", silent_s=away_s), part="camera-1")
        look(watch, at_s)
        assert len(list_alarms(sqlite_database)) == alarms
    [alarm] = list_alarms(sqlite_database)
    assert (alarm.subject, alarm.state) == ("camera camera-1", "raised")
    assert f"silent since {later:%Y-%m-%d %H:%M:%S} UTC" in alarm.text
    back = later + timedelta(seconds=90)
    live.publish_ingest(told("camera-1", back), part="camera-1")
    look(watch, back)
    assert [each.state for each in list_alarms(sqlite_database)] == ["cleared"]


def test_a_standing_line_whose_ingest_is_gone_has_its_camera_down(sqlite_database, live, settings):
    """Also a camera that never saw any cloth."""
    only(sqlite_database, cams=("camera_down", {"after_s": 0}))
    watch, now = Watch(sqlite_database, live, settings), datetime.now(UTC)
    live.publish_ingest(told("fresh", now), part="fresh")
    look(watch, now)
    look(watch, now + timedelta(seconds=59))
    assert list_alarms(sqlite_database) == []
    look(watch, now + timedelta(seconds=61))
    assert [alarm.subject for alarm in list_alarms(sqlite_database)] == ["camera fresh"]


def test_without_redis_one_alarm_says_so_and_it_clears_when_redis_is_back(sqlite_database, live, settings):
    only(sqlite_database, workers=("worker_down", {}))
    away = Live(NOWHERE)
    watch = Watch(sqlite_database, away, settings)
    look(watch)
    [alarm] = list_alarms(sqlite_database)
    assert alarm.subject == "cannot tell"
    assert "cannot tell whether inspection workers run: Redis at redis://127.0.0.1:1" in alarm.text
    watch._live = live
    look(watch)
    assert [(alarm.subject, alarm.state) for alarm in list_alarms(sqlite_database)] == [("cannot tell", "cleared")]
    away.close()


def test_a_removed_rules_alarm_clears_and_a_wider_rule_is_remembered_anew(sqlite_database, pictures, live, settings):
    only(sqlite_database, holes=SEVERE)
    watch = Watch(sqlite_database, live, settings)
    look(watch)
    weave(sqlite_database, pictures, range(10), defects=[5])
    look(watch)
    rule_store.remove_rule(sqlite_database, name="holes", line="", by="eva")
    look(watch, datetime.now(UTC) + timedelta(seconds=settings.lease_s / 2))
    assert [alarm.state for alarm in list_alarms(sqlite_database)] == ["cleared"]
    changes = {"measure": "defects", "over_m": 500, "raise_at": 1, "clear_at": 0}
    rule_store.set_rule(sqlite_database, name="wide", line="", kind="rate", changes=changes, by="eva")
    look(watch, datetime.now(UTC) + timedelta(seconds=settings.lease_s / 2))
    assert "wide" in [alarm.rule for alarm in list_alarms(sqlite_database)]


def test_a_look_costs_as_much_over_a_long_record_as_over_a_short_one(sqlite_database, pictures, live, settings):
    """Rows that SQLite hands out, counted."""
    only(sqlite_database, holes=SEVERE)
    watch = Watch(sqlite_database, live, settings)
    counts = []
    for stretch in (range(400), range(400, 1200)):
        for number in stretch:
            store_gap(sqlite_database, make_gap(number, captured_at=at(number / 100), length_mm=100.0))
        look(watch)
        store_gap(sqlite_database, make_gap(stretch[-1] + 5000, captured_at=at(20 + stretch[-1]), length_mm=100.0))
        counts.append(_rows_of(sqlite_database, lambda: look(watch)))
    assert counts[1] <= counts[0]


def _rows_of(database, act):
    rows = 0

    def count(connection, cursor, statement, parameters, context, executemany):
        nonlocal rows
        if statement.lstrip().upper().startswith("SELECT"):
            plan = connection.connection.driver_connection.execute("EXPLAIN QUERY PLAN " + statement, parameters)
            assert not [row for row in plan.fetchall() if "SCAN frames" in row[3] or "SCAN gaps" in row[3]], statement
        rows += 1

    event.listen(database.engine, "after_cursor_execute", count)
    act()
    event.remove(database.engine, "after_cursor_execute", count)
    return rows


def test_the_service_as_a_process_acts_is_killed_and_goes_on(sqlite_url, tmp_path, redis_url):
    """One is killed without a word; another takes over where it was, when the lease has run out."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LOOMWATCH_")},
        "LOOMWATCH_DATABASE_URL": sqlite_url,
        "LOOMWATCH_REDIS_URL": redis_url,
        "LOOMWATCH_DATA_DIR": str(tmp_path),
        "LOOMWATCH_ALARMS_POLL_S": "0.1",
        "LOOMWATCH_ALARMS_LEASE_S": "1",
    }

    def start():
        return subprocess.Popen([sys.executable, "-m", "loomwatch", "alarms", "run"], env=environment)

    with open_database(sqlite_url) as database:
        only(database, workers=("worker_down", {}))

        def holder():
            with database.reading() as session:
                row = session.get(AlarmServiceRow, 1)
                return row.holder if row else ""

        first = start()
        try:
            wait_for(lambda: list_alarms(database))
            acting = holder()
        finally:
            first.send_signal(signal.SIGKILL)
            first.wait()
        [alarm] = list_alarms(database)
        alarm_store.acknowledge_alarm(database, alarm.id, by="eva")
        second = start()
        try:
            wait_for(lambda: holder() != acting)
            assert [(each.id, each.state) for each in list_alarms(database)] == [(alarm.id, "acknowledged")]
        finally:
            second.terminate()
            assert second.wait(60) == 0
        assert events(database) == ["raised", "acknowledged"]
