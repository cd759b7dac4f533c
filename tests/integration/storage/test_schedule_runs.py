"""Schedules: kept, due by the clock or by what happened, acted upon once by one scheduler."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from inspection.errors import StorageError
from storage.jobs import list_jobs
from storage.leases import give_lease_back, holder_of
from storage.samples import decide_samples
from storage.schedule_runs import LEASE, LEASE_S, run_due, waits_for
from storage.schedules import (
    Rule,
    add_schedule,
    change_schedule,
    get_schedule,
    list_schedules,
    remove_schedule,
    run_schedule,
)
from storage.tables import AuditRow, DriftRow, JobRow, ModelRow, PromotionRow, SampleRow, ScheduleRow, StyleRow
from storage.trends.drift import EPOCH

pytestmark = pytest.mark.integration
ZONE = ZoneInfo("Europe/Berlin")


def add(database, rule, name="nightly"):
    return add_schedule(database, name, rule, by="eva", zone=ZONE)


def act(database, at, holder="one"):
    return run_due(database, holder=holder, at=at, zone=ZONE)


def add_samples(database, style, count, state="accepted"):
    """-> their numbers."""
    added = []
    with database.session() as session:
        database.insert_new(session, StyleRow, name=style, created_at=datetime.now(UTC))
        for _ in range(count):
            row = SampleRow(
                style=style, picture=f"{style}/{datetime.now(UTC).timestamp()}", source="golden", roll_group="g",
                mm_per_px=0.2, active=True, by="eva", created_at=datetime.now(UTC), state=state,
            )  # fmt: skip
            session.add(row)
            session.flush()
            added.append(row.id)
    return added


def run_model(database, **styles):
    with database.session() as session:
        now = datetime.now(UTC)
        manifest = {"styles": styles}
        row = ModelRow(
            name="m", path="/m", sha256="0", manifest=manifest, source="trained", by="eva", created_at=now
        )  # fmt: skip
        session.add(row)
        session.flush()
        session.add(PromotionRow(model_id=row.id, action="promote", by="eva", at=now))


def end_jobs(database):
    with database.session() as session:
        session.query(JobRow).update({"state": "done"})


def test_a_schedule_is_kept_changed_and_removed_and_each_is_audited(database):
    schedule = add(database, Rule(kind="nightly", at="02:00"))
    assert schedule.next_run_at > datetime.now(UTC)
    with pytest.raises(StorageError, match="there is a schedule nightly already"):
        add(database, Rule(kind="drift"))
    changed = change_schedule(database, "nightly", Rule(kind="nightly", at="03:00"), by="eva", zone=ZONE)
    assert changed.next_run_at.astimezone(ZONE).hour == 3
    assert change_schedule(database, "nightly", Rule(kind="drift"), by="eva", zone=ZONE).next_run_at is None
    assert [each.name for each in list_schedules(database)] == ["nightly"]
    remove_schedule(database, "nightly", by="eva")
    with pytest.raises(StorageError, match="there is no schedule nightly"):
        remove_schedule(database, "nightly", by="eva")
    with database.reading() as session:
        acts = [row.action for row in session.query(AuditRow).order_by(AuditRow.id)]
    assert acts == ["schedule.add", "schedule.change", "schedule.change", "schedule.remove"]


def test_what_is_due_is_asked_for_once_by_one_scheduler(database):
    due = add(database, Rule(kind="nightly")).next_run_at
    assert act(database, due - timedelta(seconds=1)) == []
    assert act(database, due, holder="two") is None, "the other one holds the lease"
    (run,) = act(database, due)
    (job,) = list_jobs(database)
    assert (job.id, job.by, job.reason) == (run.asked.job_id, "schedule nightly", "nightly run")
    assert act(database, due) == []
    schedule = get_schedule(database, "nightly")
    assert (schedule.last_run_at, schedule.last_job_id) == (due, job.id)
    assert schedule.next_run_at > due


def test_when_the_one_that_acts_is_gone_the_other_follows(database):
    due = add(database, Rule(kind="nightly")).next_run_at
    act(database, due)
    assert holder_of(database, LEASE, at=due) == "one"
    following = get_schedule(database, "nightly").next_run_at
    assert len(act(database, following, holder="two")) == 1
    end_jobs(database)
    assert act(database, following, holder="one") is None
    give_lease_back(database, LEASE, holder="two", at=following)
    assert act(database, following, holder="one") == []
    assert act(database, following + timedelta(seconds=LEASE_S + 1), holder="two") == []


def test_runs_that_were_missed_are_caught_up_once(sqlite_database):
    due = add(sqlite_database, Rule(kind="nightly")).next_run_at
    later = due + timedelta(days=5, hours=3)
    (run,) = act(sqlite_database, later)
    assert list_jobs(sqlite_database)[0].reason == "nightly run, caught up"
    end_jobs(sqlite_database)
    assert act(sqlite_database, later + timedelta(seconds=1)) == []
    assert get_schedule(sqlite_database, "nightly").next_run_at > later
    assert run.asked is not None


def test_a_missed_run_waits_for_the_end_of_quiet_hours(sqlite_database):
    rule = Rule(kind="nightly", at="02:00", quiet_from="06:00", quiet_to="22:00")
    due = add(sqlite_database, rule).next_run_at
    noon = due.astimezone(ZONE).replace(hour=12)
    assert act(sqlite_database, noon) == []
    assert len(act(sqlite_database, noon.replace(hour=22))) == 1


def test_new_samples_are_counted_from_the_last_run(database):
    add_samples(database, "twill", 5)
    schedule = add(database, Rule(kind="samples", count=3), "often")
    now = datetime.now(UTC)
    add_samples(database, "twill", 2)
    with database.reading() as session:
        assert waits_for(session, schedule.id) == "2 of 3 new samples"
    assert act(database, now) == []
    add_samples(database, "denim", 1)
    assert len(act(database, now)) == 1
    assert list_jobs(database)[0].reason == "3 new samples"
    assert act(database, now) == []


def test_samples_that_staff_accept_after_a_run_are_new_whenever_they_were_taken(database):
    schedule = add(database, Rule(kind="samples", count=2), "often")
    held = add_samples(database, "twill", 2, state="held")
    add_samples(database, "twill", 2)
    now = datetime.now(UTC)
    assert len(act(database, now)) == 1
    end_jobs(database)
    assert act(database, now) == []
    assert decide_samples(database, held, state="accepted", by="eva").done == 2
    with database.reading() as session:
        assert waits_for(session, schedule.id) == "2 of 2 new samples"
    assert len(act(database, now)) == 1
    assert act(database, now) == []


def test_a_schedule_from_before_counts_on(sqlite_database):
    add(sqlite_database, Rule(kind="samples", count=2), "often")
    with sqlite_database.session() as session:
        session.scalars(select(ScheduleRow)).one().seen = {"sample": 0}
    assert act(sqlite_database, datetime.now(UTC)) == []
    add_samples(sqlite_database, "twill", 2)
    assert len(act(sqlite_database, datetime.now(UTC))) == 1


def test_those_of_one_style_count_for_it_alone(sqlite_database):
    add(sqlite_database, Rule(kind="samples", count=2, style="twill"), "twill")
    add_samples(sqlite_database, "denim", 5)
    assert act(sqlite_database, datetime.now(UTC)) == []
    add_samples(sqlite_database, "twill", 2)
    (run,) = act(sqlite_database, datetime.now(UTC))
    assert run.asked is not None
    assert list_jobs(sqlite_database)[0].style == "twill"


def drift(database, *, model="m", day=None, state="drifted"):
    now = datetime.now(UTC)
    with database.session() as session:
        session.merge(
            DriftRow(
                line="l", camera="c", style="twill", day=((day or now.date()) - EPOCH).days, model=model, state=state,
                frames=500, reference_frames=1000, psi=0.4, ks=0.3, p_value=0.0, judged_at=now,
            )
        )  # fmt: skip


def test_a_drift_is_acted_upon_once_and_the_next_models_again(database):
    add(database, Rule(kind="drift"), "drift")
    now = datetime.now(UTC)
    drift(database, state="watch")
    assert act(database, now) == []
    drift(database)
    assert len(act(database, now)) == 1
    assert list_jobs(database)[0].reason == "drift: l / c / twill"
    assert act(database, now) == []
    end_jobs(database)
    drift(database, model="m-2")
    assert len(act(database, now)) == 1


def test_an_old_drift_is_history(sqlite_database):
    add(sqlite_database, Rule(kind="drift"), "drift")
    drift(sqlite_database, day=datetime.now(UTC).date() - timedelta(days=9))
    assert act(sqlite_database, datetime.now(UTC)) == []


def test_a_new_style_is_acted_upon_once_it_has_samples_enough(database):
    run_model(database, twill={}, denim={"provisional": True})
    add(database, Rule(kind="style", count=4), "style")
    now = datetime.now(UTC)
    add_samples(database, "twill", 9)
    add_samples(database, "satin", 3)
    assert act(database, now) == []
    add_samples(database, "satin", 1)
    add_samples(database, "denim", 4)
    assert len(act(database, now)) == 1
    assert list_jobs(database)[0].reason == "new style denim, satin"
    assert act(database, now) == []


def test_a_new_style_waits_for_the_review_of_what_is_held(database):
    run_model(database, twill={})
    add(database, Rule(kind="style", count=4), "style")
    held = add_samples(database, "satin", 4, state="held")
    now = datetime.now(UTC)
    assert act(database, now) == []
    decide_samples(database, held, state="accepted", by="eva")
    assert len(act(database, now)) == 1


def test_a_run_that_is_refused_says_why_and_waits_for_its_next_time(sqlite_database):
    due = add(sqlite_database, Rule(kind="nightly", style="denim")).next_run_at
    (run,) = act(sqlite_database, due)
    assert run.asked is None
    schedule = get_schedule(sqlite_database, "nightly")
    assert schedule.problem.startswith("style denim has no samples to learn from")
    assert act(sqlite_database, due) == []
    assert list_jobs(sqlite_database) == []


def test_a_schedule_that_is_off_does_nothing(sqlite_database):
    due = add(sqlite_database, Rule(kind="nightly")).next_run_at
    change_schedule(sqlite_database, "nightly", Rule(kind="nightly", enabled=False), by="eva", zone=ZONE)
    assert act(sqlite_database, due) == []


def test_two_runs_at_once_are_one_training(sqlite_database):
    due = max(add(sqlite_database, Rule(kind="nightly"), name).next_run_at for name in ("one", "two"))
    runs = act(sqlite_database, due)
    assert [run.asked.joined for run in runs] == [False, True]
    assert len(list_jobs(sqlite_database)) == 1


def test_one_is_run_by_hand_and_its_next_time_stays(sqlite_database, redis_url):
    due = add(sqlite_database, Rule(kind="nightly")).next_run_at
    asked = run_schedule(sqlite_database, redis_url, "nightly", by="eva")
    schedule = get_schedule(sqlite_database, "nightly")
    assert (schedule.last_job_id, schedule.next_run_at) == (asked.job_id, due)
    assert list_jobs(sqlite_database)[0].by == "eva"
