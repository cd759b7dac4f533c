"""The alarm service: looks at what the line recorded, raises and clears alarms, and has couriers tell the sinks; a
clerk files the reports of ended shifts and days.

Of several services one acts, the others stand by (`storage.alarms.lease`). What it knows is in the database: cursor,
alarms, outbox; its memory is only the last metres of cloth, and is read anew after a restart.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import select
from sqlalchemy.orm import Session

from alarms.clerk import Clerk
from alarms.courier import Couriers
from alarms.evaluate import Evaluation, evaluate
from alarms.facts import LineFacts, WorkersFact
from alarms.record import BEHIND, Record
from inspection.errors import LoomwatchError, StorageError
from inspection.monitor import Monitor
from inspection.settings import AlarmSettings, ReportSettings, StoreSettings
from storage.alarms import alarm_store
from storage.alarms.lease import give_lease_back, take_lease
from storage.alarms.outbox import backlog_of, forget_delivered
from storage.alarms.rule_store import rules_in, rules_of
from storage.alarms.rules import AnyRule
from storage.alarms.sink_store import list_sinks
from storage.database import Database, open_database
from storage.engine import is_sqlite
from storage.live import Live, LiveIngest, ServiceState
from storage.pictures import PictureStore
from storage.tables import AlarmRow

log = logging.getLogger(__name__)

LEAST_REACH_MM = 10_000.0
FORGET_S = 6 * 3600.0  # between looks for what was delivered long ago

Judged = tuple[str, AnyRule, Evaluation]
Pending = tuple[str, str, str]  # line, rule, subject


class Watch:
    """Looks and acts once at a call; not shared by threads."""

    def __init__(self, database: Database, live: Live, settings: AlarmSettings) -> None:
        self.holder = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self.acts = False
        self._database, self._live, self._settings = database, live, settings
        self._record: Record | None = None
        self._since: dict[Pending, datetime] = {}  # when a condition began that must hold for a while
        self._said: dict[Pending, object] = {}  # what the rules said when it was last applied
        self._renew_at = self._forget_at = datetime.min.replace(tzinfo=UTC)

    def look(self, at: datetime) -> bool:
        """Takes what is new, at most a batch of it, and applies the rules; True when there may be more.

        Raises `StorageError` when the database is away; nothing is half done then, and the next look goes on from the
        stored cursor.
        """
        try:
            if self._record is None and not self._begin(at):
                return False
            return self._look(at)
        except BaseException:
            self._record = None
            raise

    def leave(self) -> None:
        """Another may act at once."""
        if self.acts:
            give_lease_back(self._database, holder=self.holder, at=datetime.now(UTC))
        self.acts, self._record = False, None

    def _begin(self, at: datetime) -> bool:
        """Takes the lease and reads what lies before the cursor; False when another acts."""
        with self._database.session() as session:
            row = take_lease(self._database, session, holder=self.holder, at=at, lease_s=self._settings.lease_s)
            self.acts = row is not None
            cursors = (row.frame_id, row.gap_id) if row else (0, 0)
        if not self.acts:
            return False
        with self._database.reading() as session:
            record = Record(
                frame_id=cursors[0],
                gap_id=cursors[1],
                reach_mm=_reach_mm([stored.rule for stored in rules_in(session)]),
                behind=0 if is_sqlite(self._database.url) else BEHIND,
            )
            record.remember(session)
        self._record, self._said, self._renew_at = record, {}, at
        return True

    def _look(self, at: datetime) -> bool:
        record = self._record
        assert record is not None
        before = (record.frame_id, record.gap_id)
        workers = self._workers()
        record.hear(self._ingestors())
        with self._database.reading() as session:
            rules = [stored.rule for stored in rules_in(session)]
            if _reach_mm(rules) > record.reach_mm:
                self._record = None  # it must remember more: begin anew
                return True
            taken = record.read(session)
            lines = sorted({"", *record.lines(session), *(rule.line for rule in rules)})
            open_ = session.execute(select(AlarmRow.line, AlarmRow.subject).where(AlarmRow.open)).all()
            judged = self._judge(session, record, rules, lines, _series(open_), workers, at)
        said: dict[Pending, object] = {
            (line, rule.name, signal.subject): (signal.level, signal.keys)
            for line, rule, found in judged
            for signal in found.signals
        }
        if not taken and said == self._said and at < self._renew_at:
            return False
        with self._database.session() as session:
            row = take_lease(self._database, session, holder=self.holder, at=at, lease_s=self._settings.lease_s)
            if row is None or (row.frame_id, row.gap_id) != before:  # another acted meanwhile
                self.acts, self._record = row is not None, None
                return self.acts
            for line in lines:
                watching = [rule for name, rule, _ in judged if name == line]
                for name, rule, found in judged:
                    if name == line:
                        alarm_store.observe(
                            session, rule, line=line, signals=found.signals, at=at, keep_others=found.keep_others
                        )
                alarm_store.clear_orphans(session, line=line, rules=watching, at=at)
                alarm_store.pass_time(session, line=line, rules=watching, at=at)
            row.frame_id, row.gap_id = record.frame_id, record.gap_id
            if at >= self._forget_at:
                forget_delivered(session, at=at)
                self._forget_at = at + timedelta(seconds=FORGET_S)
        self._said, self._renew_at = said, at + timedelta(seconds=self._settings.lease_s / 3)
        return taken > 0

    def _judge(
        self,
        session: Session,
        record: Record,
        rules: list[AnyRule],
        lines: list[str],
        series: dict[str, list[int]],
        workers: WorkersFact,
        at: datetime,
    ) -> list[Judged]:
        judged: list[Judged] = []
        former, self._since = self._since, {}
        for line in lines:
            watching = [
                rule for rule in rules_of(rules, line) if (rule.kind == "worker_down" or line) and _here(rule, line)
            ]
            facts = LineFacts(line=line, at=at, workers=workers)
            if line:
                facts = record.facts(session, line, at=at, workers=workers, series=series.get(line, ()))
            judged += [(line, rule, self._delayed(line, rule, evaluate(rule, facts), at, former)) for rule in watching]
        return judged

    def _delayed(
        self, line: str, rule: AnyRule, found: Evaluation, at: datetime, former: dict[Pending, datetime]
    ) -> Evaluation:
        """Holds back raises until their condition has lasted `after_s`. former: since when conditions held before."""
        signals = []
        for signal in found.signals:
            if signal.level == "raise" and rule.after_s:
                pending = (line, rule.name, signal.subject)
                self._since[pending] = former.get(pending, at)
                if at - self._since[pending] < timedelta(seconds=rule.after_s):
                    signal = alarm_store.Signal(subject=signal.subject, level="hold")
            signals.append(signal)
        return Evaluation(signals=tuple(signals), keep_others=found.keep_others)

    def _ingestors(self) -> list[LiveIngest]:
        try:
            return self._live.ingestors()
        except StorageError:  # `_workers` says so
            return []

    def _workers(self) -> WorkersFact:
        try:
            services = self._live.services()
        except StorageError as error:
            return WorkersFact(running=None, why=str(error))
        return WorkersFact(running=sum(service.kind == "worker" for service in services))


def _here(rule: AnyRule, line: str) -> bool:
    """A worker serves all lines: its rule for all of them is judged once, for the plant, which has no name."""
    return rule.kind != "worker_down" or rule.line == line


def _reach_mm(rules: list[AnyRule]) -> float:
    named = [getattr(rule, field, 0.0) for rule in rules for field in ("over_m", "clear_m", "raise_m")]
    return max([LEAST_REACH_MM, *(1000 * metres for metres in named)])


def _series(rows: object) -> dict[str, list[int]]:
    """Numbers of the series that open alarms are about, a line."""
    found: dict[str, list[int]] = {}
    for line, subject in rows:  # type: ignore[attr-defined]
        kind, _, number = subject.partition(" ")
        if kind == "series" and number.isdecimal():
            found.setdefault(line, []).append(int(number))
    return found


def run_alarms(
    store: StoreSettings, settings: AlarmSettings, stop: threading.Event, *, reports: ReportSettings
) -> None:
    """Runs until `stop` is set. Raises `StorageError` when the database is not there at the start."""
    with open_database(store.database) as database:
        live = Live(store.redis)
        watch = Watch(database, live, settings)
        couriers = Couriers(database, settings.secrets(store))
        clerk = Clerk(database, PictureStore(store.pictures), reports)
        monitor = Monitor(
            "alarms",
            host=settings.monitor_host,
            port=settings.monitor_port,
            problems=lambda: [problem] if (problem := database.problem()) else [],
            collect=lambda: alarm_metrics(acts=watch.acts, waiting=_waiting(database)),
        )
        log.info("alarm service %s begins", watch.holder)
        try:
            with monitor:
                while not stop.is_set():
                    more, problem = False, ""
                    try:
                        more = watch.look(datetime.now(UTC))
                        couriers.keep(watch.acts)
                        clerk.keep(watch.acts)
                    except LoomwatchError as error:  # the database is away: the next look tries again
                        problem = str(error)
                        log.warning("%s", problem)
                    _publish(live, watch, problem, couriers.problems)
                    stop.wait(0.0 if more else settings.poll_s)
        finally:
            couriers.close()
            clerk.close()
            try:
                watch.leave()
            except LoomwatchError as error:
                log.warning("the lease runs out by itself: %s", error)
            live.close()
            log.info("alarm service %s ends", watch.holder)


def alarm_metrics(*, acts: bool, waiting: dict[str, int]) -> Iterator[Metric]:
    """waiting: notices not delivered yet, a sink."""
    yield GaugeMetricFamily("loomwatch_alarms_acting", "1 while this service acts, 0 while it stands by.", value=acts)
    notices = GaugeMetricFamily(
        "loomwatch_alarms_waiting_notices", "Notices that a sink has not been told yet.", labels=["sink"]
    )
    for sink, count in waiting.items():
        notices.add_metric([sink], count)
    yield notices


def _waiting(database: Database) -> dict[str, int]:
    try:
        return {sink.name: backlog_of(database, sink.name).waiting for sink in list_sinks(database)}
    except LoomwatchError:  # `/ready` says so
        return {}


def _publish(live: Live, watch: Watch, problem: str, of_sinks: list[str]) -> None:
    problems = "; ".join([problem, *of_sinks] if problem else of_sinks)
    state = "problem" if problems else "watching" if watch.acts else "standing by"
    live.publish_service(
        ServiceState(name=watch.holder, kind="alarms", state=state, detail=problems, at_ns=time.time_ns())
    )
