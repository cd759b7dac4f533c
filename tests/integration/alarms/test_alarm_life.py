"""An alarm's life in the database, whatever happens to it in whatever order: latched, none lost, none raised twice."""

import atexit
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import func, select

from inspection.errors import SettingsError
from storage.alarms import alarm_store
from storage.alarms.alarm_store import Signal
from storage.alarms.rules import parse_rule
from storage.alarms.sink_store import set_sink
from storage.database import open_database, upgrade
from storage.tables import AlarmDeliveryRow, AlarmEventRow, AlarmRow, AuditRow

pytestmark = pytest.mark.integration
START = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)
SEVERE = parse_rule({"name": "holes", "kind": "severe_defect", "escalate_s": 600, "rate_limit_s": 0})


@cache
def migrated_file() -> Path:
    """Migrated once, copied for each example."""
    path = Path(tempfile.mkdtemp()) / "template.db"
    atexit.register(shutil.rmtree, path.parent)
    upgrade(f"sqlite:///{path}")
    return path


class AlarmLife(RuleBasedStateMachine):
    """Beside the database a model of its own: which defects raised, whether the condition holds, who is to look."""

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///{shutil.copy(migrated_file(), self.folder.name)}"
        self.database = open_database(self.url)
        set_sink(
            self.database,
            name="hook",
            kind="webhook",
            changes={"url": "http://127.0.0.1/", "secret_file": "s"},
            by="eva",
        )
        self.now = START
        self.condition = False
        self.waiting = None  # since when a person is to acknowledge it
        self.escalated = False
        self.defects, self.last = [], 0
        self.told = []  # of events, by the model

    def teardown(self):
        if hasattr(self, "database"):
            self.database.close()
            self.folder.cleanup()

    def say(self, level):
        self.now += timedelta(seconds=1)
        keys = tuple((f"defect {number}",) for number in self.defects)
        with self.database.session() as session:
            signal = Signal(level=level, text="holes", keys=keys)
            alarm_store.observe(session, SEVERE, line="line-1", signals=[signal], at=self.now)

    @rule(new=st.integers(1, 3))
    def further_defects(self, new):
        opened = self.condition or self.waiting is not None
        self.defects += range(self.last + 1, self.last + new + 1)
        self.last += new
        self.say("raise")
        if self.waiting is None:
            self.waiting, self.escalated = self.now, False
        self.condition = True
        self.told.append("recurred" if opened else "raised")

    @rule()
    def the_same_again(self):
        """As after a restart that reads the last metres anew."""
        if self.condition:
            self.say("raise")

    @rule()
    def over(self):
        self.say("clear")
        if self.condition:
            self.told.append("cleared")
        self.condition = False
        self.defects = []

    @rule(seconds=st.sampled_from([1, 400, 700]))
    def time_passes(self, seconds):
        self.now += timedelta(seconds=seconds)
        with self.database.session() as session:
            alarm_store.pass_time(session, line="line-1", rules=[SEVERE], at=self.now)
        if self.waiting is not None and not self.escalated and self.now - self.waiting >= timedelta(seconds=600):
            self.escalated = True
            self.told.append("escalated")

    @rule()
    def somebody_acknowledges(self):
        open_ = alarm_store.list_alarms(self.database)
        if self.waiting is None:
            for alarm in open_:
                with pytest.raises(SettingsError, match="acknowledged by eva already"):
                    alarm_store.acknowledge_alarm(self.database, alarm.id, by="tom")
            return
        [alarm] = open_
        alarm_store.acknowledge_alarm(self.database, alarm.id, by="eva")
        self.waiting = None
        self.told.append("acknowledged")

    @rule()
    def restart(self):
        self.database.close()
        self.database = open_database(self.url)

    @invariant()
    def the_database_says_the_same(self):
        if not hasattr(self, "database"):
            return
        state = {(True, True): "raised", (True, False): "acknowledged", (False, True): "cleared"}
        expected = state.get((self.condition, self.waiting is not None))
        found = alarm_store.list_alarms(self.database)
        assert [alarm.state for alarm in found] == ([expected] if expected else [])
        with self.database.reading() as session:
            events = list(session.scalars(select(AlarmEventRow).order_by(AlarmEventRow.id)))
            assert [event.kind for event in events] == self.told
            assert len({event.uid for event in events}) == len(events)
            assert session.scalar(select(func.count(AlarmDeliveryRow.id))) == len(events)  # each is in the outbox, once
            assert (session.scalar(select(func.sum(AlarmRow.occurrences))) or 0) == self.last
            acknowledged = session.scalar(select(func.count(AuditRow.id)).where(AuditRow.action == "alarm.acknowledge"))
            assert acknowledged == self.told.count("acknowledged")


AlarmLife.TestCase.settings = settings(
    max_examples=12, stateful_step_count=16, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAlarmLife = AlarmLife.TestCase
