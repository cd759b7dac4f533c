"""One connection of a worker to an ingestor: what is said when. Pure: no sockets, no clock, no threads.

    (start) --- Hello, what I hold, what I finished last ---> Welcome ---> Credit for what I still may take
                 ^                                                            |
                 +----- nothing heard for 2.5 heartbeats ------- records, Beat both ways, Done + Credit(1)

A record is in hand from its arrival until `finished`. The same record again, sent because a lease was over or a
connection was cut, is not taken twice, and one that was finished is answered Done at once.
"""

import logging
from collections import deque

from inspection.errors import WireError
from inspection.wire import (
    PROTOCOL,
    Beat,
    Credit,
    Done,
    FromWorker,
    Hello,
    Received,
    Record,
    RecordKey,
    StateMessage,
    Welcome,
    key_of,
)

log = logging.getLogger(__name__)

FIRST_HELLO_S = 0.5  # between Hellos as long as no Welcome has told the heartbeat
SILENT_HEARTBEATS = 2.5
SAY_SILENT_S = 10.0  # without a Welcome: worth a line in the log
ABSENT_S = 0.1  # between looks whether an ingestor can be connected to
REMEMBERED = 128  # records finished last; a Hello names them all


class Link:
    """Times are seconds of any clock that never goes back. `place` names the ingestor in logs."""

    def __init__(self, place: str, *, worker: str, credit: int, now: float) -> None:
        self.place = place
        self.welcome = False  # the ingestor has answered, and not fallen silent since
        self.in_hand: dict[RecordKey, None] = {}
        self.speak_at = now
        self.heard_at = now
        self._worker = worker
        self._credit = credit
        self._heartbeat_s = FIRST_HELLO_S
        self._attempt = 0
        self._told_silent = False
        self._done: deque[RecordKey] = deque(maxlen=REMEMBERED)

    def tick(self, *, now: float) -> Hello | Beat | None:
        """What has to be said by now, to be called at `speak_at`."""
        silent_s = now - self.heard_at
        if self.welcome and silent_s > SILENT_HEARTBEATS * self._heartbeat_s:
            log.warning("ingestor %s is silent; waiting for it", self.place)
            self.welcome, self._told_silent, self.speak_at = False, True, now
        if now < self.speak_at:
            return None
        self.speak_at = now + self._heartbeat_s
        if self.welcome:
            return Beat()
        if silent_s > SAY_SILENT_S and not self._told_silent:
            log.warning("no answer from ingestor %s yet; waiting for it", self.place)
            self._told_silent = True
        self._attempt += 1
        return Hello(self._worker, PROTOCOL, self._attempt, holds=tuple(self.in_hand), done=tuple(self._done))

    def absent(self, *, now: float) -> None:
        """What `tick` gave could not be said: nobody is connected."""
        self.speak_at = now + ABSENT_S

    def hear(self, message: Received, *, now: float) -> tuple[list[FromWorker], Record | None]:
        """The answers to a message, and the record when it brought a new one. Raises `WireError`."""
        self.heard_at = now
        match message:
            case Welcome():
                return self._welcomed(message, now), None
            case Beat() | StateMessage():
                return [], None
        key = key_of(message)
        if key in self.in_hand:
            return self._free(), None
        if key in self._done:
            return [Done(key), *self._free()], None
        if len(self.in_hand) >= self._credit:
            raise WireError("a record without credit")
        self.in_hand[key] = None
        return [], message

    def malformed(self) -> None:
        """A message could not be read. It may have cost credit: start over."""
        self.welcome = False

    def finished(self, key: RecordKey) -> list[FromWorker]:
        """The record's transaction has committed. Should the Done not arrive, the next Hello says it again."""
        if key not in self.in_hand:
            return []
        del self.in_hand[key]
        self._done.append(key)
        return [Done(key), *self._free()]

    def _welcomed(self, welcome: Welcome, now: float) -> list[FromWorker]:
        if welcome.protocol != PROTOCOL:
            raise WireError(f"the ingestor speaks protocol {welcome.protocol}, not {PROTOCOL}")
        if welcome.attempt != self._attempt:
            return []  # to an older Hello: that credit is forgotten already
        log.info("connected to ingestor %s", self.place)
        self.welcome, self._told_silent, self._heartbeat_s = True, False, welcome.heartbeat_s
        self.speak_at = min(self.speak_at, now + welcome.heartbeat_s)
        free = self._credit - len(self.in_hand)
        return [Credit(free)] if free > 0 else []

    def _free(self) -> list[FromWorker]:
        """One record more may come. Between a Hello and its Welcome nothing is said: the Welcome is answered by all
        that is free."""
        return [Credit(1)] if self.welcome else []
