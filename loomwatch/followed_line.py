"""Keeps a machine in step with what the page Set up wrote (`inspection.line_setup`): its camera runs or does not, is
started anew when it was changed, and gives its golden roll while it does not run. How that goes is told in Redis, by
the service of kind `supervisor`."""

import logging
import time

from inspection.errors import LoomwatchError
from inspection.line_setup import LineSetup, read_setup
from inspection.settings import StoreSettings
from loomwatch.machine import INGEST, RECORDING, Machine
from loomwatch.supervisor import ACTIVE
from storage.database import Database
from storage.live import Live, ServiceState, supervisor_name
from storage.sample_captures import list_captures

log = logging.getLogger(__name__)

AGAIN_S = 10.0  # before a camera that was refused is tried again


class FollowedLine:
    """`look` is called once a second, by the supervisor's own thread."""

    def __init__(self, machine: Machine, store: StoreSettings, database: Database) -> None:
        self._machine, self._store, self._database = machine, store, database
        self._live = Live(machine.redis_url)
        self._runs: LineSetup | None = None  # what ingest was started with
        self._recorded = 0  # the capture whose recording was started last
        self._refused_at = 0.0

    def setup(self) -> LineSetup:
        """Raises `SettingsError` for a file that cannot be read."""
        return read_setup(self._store.data_dir)

    def look(self) -> None:
        """One look, and what follows from it; what goes wrong is told, and the next look tries again."""
        try:
            setup = self.setup()
            self._record(setup)
            problem = self._follow(setup)
        except LoomwatchError as error:
            log.warning("%s", error)
            problem = str(error)
        state = "problem" if problem else "running"
        self._live.publish_service(
            ServiceState(name=supervisor_name(), kind="supervisor", state=state, detail=problem, at_ns=time.time_ns())
        )

    def _follow(self, setup: LineSetup) -> str:
        """Why the camera does not run, "" when it does or shall not."""
        supervisor = self._machine.supervisor
        wanted = setup if setup.runs and setup.camera is not None else None
        state = supervisor.states().get(INGEST, "")
        if self._runs is not None and not _same(self._runs, wanted):
            supervisor.stop(INGEST)
            log.info("the camera of the page Set up was changed or stopped")
            self._runs = None
        if wanted is not None and self._runs is None and not self._is_recording():
            self._machine.start_set_up(wanted)
            self._runs, self._refused_at = wanted, 0.0
        elif self._runs is not None and state == "refused":
            reason = supervisor.reason(INGEST).removeprefix("loomwatch: ")
            now = time.monotonic()
            self._refused_at = self._refused_at or now
            if now - self._refused_at >= AGAIN_S:
                self._runs = None  # started at the next look
            return reason
        return ""

    def _record(self, setup: LineSetup) -> None:
        """Starts what was asked for of a camera that does not run. It ends by itself."""
        if setup.runs or setup.camera is None or self._is_recording():
            return
        for capture in list_captures(self._database, running=True):
            if capture.camera == setup.camera.name and capture.id != self._recorded:
                self._recorded = capture.id
                self._machine.start_recording(capture.id)
                return

    def _is_recording(self) -> bool:
        return self._machine.supervisor.states().get(RECORDING, "") in ACTIVE


def _same(first: LineSetup, second: LineSetup | None) -> bool:
    """As far as ingest is concerned."""
    return second is not None and first.model_copy(update={"style": second.style}) == second
