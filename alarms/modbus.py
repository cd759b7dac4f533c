"""The Modbus sink: a coil over Modbus TCP that is on while alarms are, for a stop lamp.

The coil follows the state of the alarms, not their notices: each write sets it to what is right at that moment, and it
is written anew every `refresh_s`, so that a controller that was restarted shows the right thing. `life_coil` changes
with each of these writes: a controller that sees it stand still knows that the lamp says nothing any more.

This is no safety function. Vision is never a safety stop.
"""

from collections.abc import Sequence

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from alarms.sender import SinkAway
from storage.alarms.alarm_store import Alarm
from storage.alarms.outbox import Delivery
from storage.alarms.sinks import ModbusSink

_ON = {"unacknowledged": ("raised", "cleared"), "active": ("raised", "acknowledged")}


class ModbusSender:
    """One connection, made with the first write."""

    def __init__(self, sink: ModbusSink) -> None:
        self._sink = sink
        self.refresh_s = sink.refresh_s
        self._client: ModbusTcpClient | None = None
        self._life = False

    def send(self, delivery: Delivery, alarms: Sequence[Alarm]) -> None:
        self._show(alarms)

    def refresh(self, alarms: Sequence[Alarm]) -> None:
        self._show(alarms)
        if self._sink.life_coil is not None:
            self._life = not self._life
            self._write(self._sink.life_coil, self._life)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()  # type: ignore[no-untyped-call]
            self._client = None

    def _show(self, alarms: Sequence[Alarm]) -> None:
        states = _ON.get(self._sink.on, ("raised", "acknowledged", "cleared"))
        self._write(self._sink.coil, any(alarm.state in states for alarm in alarms))

    def _write(self, coil: int, value: bool) -> None:
        sink, where = self._sink, f"{self._sink.host}:{self._sink.port}"
        if self._client is None:
            self._client = ModbusTcpClient(sink.host, port=sink.port, timeout=sink.timeout_s, retries=0)
            if not self._client.connect():  # type: ignore[no-untyped-call]
                raise SinkAway(f"no Modbus device at {where}")
        try:
            answer = self._client.write_coil(coil, value, device_id=sink.unit)
        except (ModbusException, OSError) as error:
            raise SinkAway(f"the Modbus device at {where} does not answer: {error}") from error
        if answer.isError():
            raise SinkAway(f"the Modbus device at {where} refuses coil {coil} of unit {sink.unit}: {answer}")
