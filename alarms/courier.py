"""Couriers: a thread for each sink, which tells it what its outbox holds, in order.

A sink that is down holds neither the line nor another sink: its notices wait in the database and are told when it is
back, or are recorded as missed once they are too old or too many. A notice is told again when the answer to it was
lost; its id stays the same.
"""

import logging
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from alarms.sender import NobodyListens, Sender, SinkAway, SinkRefused, make_sender
from inspection.errors import LoomwatchError
from storage.alarms.alarm_store import alarms_for
from storage.alarms.outbox import finish, give_up, next_delivery
from storage.alarms.sink_store import list_sinks
from storage.alarms.sinks import AnySink
from storage.database import Database

log = logging.getLogger(__name__)

LOOK_S = 0.5
AGAIN_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # before the next try
GIVE_UP_S = 5.0  # between looks for what has waited too long
LEAVE_S = 15.0  # for a courier to end


class Couriers:
    """One courier for each sink that is switched on, while this service acts."""

    def __init__(self, database: Database, secrets: Path) -> None:
        self._database, self._secrets = database, secrets
        self._running: dict[str, Courier] = {}
        self._leaving: list[Courier] = []

    def keep(self, acts: bool) -> None:
        """Starts and ends couriers as the sinks in the database have it; none where another service acts."""
        wanted = {sink.name: sink for sink in list_sinks(self._database) if sink.enabled} if acts else {}
        for name, courier in list(self._running.items()):
            if courier.sink != wanted.get(name):
                courier.leave()
                self._leaving.append(self._running.pop(name))
        self._leaving = [courier for courier in self._leaving if courier.is_alive()]
        busy = {courier.sink.name for courier in self._leaving}  # never two at a time, or the order would be lost
        for name, sink in wanted.items():
            if name not in self._running and name not in busy:
                self._running[name] = Courier(self._database, sink, self._secrets)
                self._running[name].start()

    @property
    def problems(self) -> list[str]:
        """Why sinks cannot be told, also while nothing waits for them."""
        return [f"sink {name}: {each.problem}" for name, each in sorted(self._running.items()) if each.problem]

    def close(self) -> None:
        for courier in self._running.values():
            courier.leave()
        for courier in [*self._running.values(), *self._leaving]:
            courier.join(LEAVE_S)
        self._running.clear()


class Courier(threading.Thread):
    """Tells one sink until it is told to leave."""

    def __init__(self, database: Database, sink: AnySink, secrets: Path) -> None:
        super().__init__(name=f"sink-{sink.name}", daemon=True)
        self.sink = sink
        self.problem = ""  # why it cannot be told
        self._database, self._secrets = database, secrets
        self._stop_asked = threading.Event()
        self._sender: Sender | None = None
        self._failures = 0
        self._waits_for = 0
        self._refresh_at = self._give_up_at = 0.0

    def leave(self) -> None:
        self._stop_asked.set()

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                wait_s = self._work()
            except LoomwatchError as error:  # the database is away
                log.warning("sink %s waits: %s", self.sink.name, error)
                wait_s = AGAIN_S[2]
            self._stop_asked.wait(wait_s)
        self._close()

    def _work(self) -> float:
        """One notice; how long to wait before the next look."""
        now = time.monotonic()
        if now >= self._give_up_at:
            self._give_up_at = now + GIVE_UP_S
            if lost := give_up(self._database, self.sink, at=datetime.now(UTC)):
                log.error("sink %s missed %d notices: they waited too long or were too many", self.sink.name, lost)
        delivery = next_delivery(self._database, self.sink.name)
        try:
            if self._sender is None:
                self._sender = make_sender(self.sink, self._secrets)
            if delivery is None:
                return self._refresh(self._sender, now)
            self._sender.send(delivery, alarms_for(self._database, self.sink))
        except SinkRefused as error:
            assert delivery is not None
            finish(self._database, delivery.id, state="missed", problem=str(error))
            log.error("sink %s refuses notice %s: %s", self.sink.name, delivery.uid, error)
            return 0.0
        except NobodyListens as error:
            assert delivery is not None
            if self._waits_for != delivery.id:  # written down once, not twice a second
                self._waits_for = delivery.id
                finish(self._database, delivery.id, state="waiting", problem=str(error))
                log.warning("sink %s: %s, its notices wait", self.sink.name, error)
            return LOOK_S
        except (SinkAway, LoomwatchError) as error:
            self._fail(str(error), None if delivery is None else delivery.id)
            return AGAIN_S[min(self._failures - 1, len(AGAIN_S) - 1)]
        except Exception as error:
            self._fail(f"{type(error).__name__}", None if delivery is None else delivery.id)
            log.debug("sink %s", self.sink.name, exc_info=True)
            return AGAIN_S[min(self._failures - 1, len(AGAIN_S) - 1)]
        finish(self._database, delivery.id, state="delivered")
        self._went_well()
        return 0.0

    def _refresh(self, sender: Sender, now: float) -> float:
        if not sender.refresh_s:
            return LOOK_S
        if now >= self._refresh_at:
            sender.refresh(alarms_for(self._database, self.sink))
            self._went_well()
            self._refresh_at = now + sender.refresh_s
        return min(LOOK_S, sender.refresh_s)

    def _went_well(self) -> None:
        if self._failures:
            log.info("sink %s is back", self.sink.name)
        self._failures, self.problem = 0, ""

    def _fail(self, problem: str, delivery_id: int | None) -> None:
        """The connection is made anew with the next try: what the failed one still holds is not sent by itself."""
        if not self._failures:
            log.warning("sink %s cannot be told, its notices wait: %s", self.sink.name, problem)
        self._failures, self.problem = self._failures + 1, problem.removeprefix(f"sink {self.sink.name}: ")
        self._close()
        if delivery_id is not None:
            finish(self._database, delivery_id, state="waiting", problem=problem)

    def _close(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            try:
                sender.close()
            except Exception:
                log.debug("closing sink %s", self.sink.name, exc_info=True)
