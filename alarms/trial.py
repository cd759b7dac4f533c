"""A test notice for one sink, told at once and past its outbox."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from alarms.sender import SinkAway, SinkRefused, make_sender
from inspection.errors import LoomwatchError
from storage.alarms.alarm_store import Alarm
from storage.alarms.outbox import Delivery
from storage.alarms.sinks import AnySink, MqttSink


def try_out(sink: AnySink, secrets: Path, open_alarms: Sequence[Alarm]) -> str:
    """Why it was not told, "" when it was. open_alarms: by which a coil is set again after it was on for a moment.

    On MQTT the notice goes to TOPIC/test, by a client of its own: the alarm service stays connected.
    """
    if isinstance(sink, MqttSink):
        name = f"{sink.client_id or sink.name}-test"
        sink = sink.model_copy(update={"topic": f"{sink.topic}/test", "client_id": name})
    at = datetime.now(UTC)
    line = sink.lines[0] if sink.lines else "test"
    alarm = Alarm(
        id=0,
        rule="test",
        kind="test",
        line=line,
        subject="",
        priority="low",
        state="raised",
        text="this is a test of the sink, nothing has happened",
        value=None,
        occurrences=1,
        raised_at=at,
        cleared_at=None,
        seen_at=None,
        seen_by="",
        acknowledged_at=None,
        acknowledged_by="",
        note="",
        escalated_at=None,
    )
    told = {
        **{
            name: getattr(alarm, name)
            for name in ("id", "rule", "kind", "line", "subject", "priority", "state", "text")
        },
        **{"value": None, "occurrences": 1, "raised_at": at.isoformat(), "acknowledged_by": "", "escalated": False},
    }
    uid = str(uuid.uuid4())
    content = {"id": uid, "event": "test", "at": at.isoformat(), "by": "", "alarm": told}
    delivery = Delivery(id=0, uid=uid, kind="test", at=at, queued_at=at, content=content)
    try:
        sender = make_sender(sink, secrets)
    except LoomwatchError as error:
        return str(error)
    try:
        sender.send(delivery, [alarm])
        sender.refresh(open_alarms)
    except (SinkAway, SinkRefused, LoomwatchError) as error:
        return str(error)
    finally:
        sender.close()
    return ""
