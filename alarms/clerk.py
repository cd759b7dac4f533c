"""Files the reports of what has ended (shifts, days, a style's month), in a thread of its own: drawing a paper holds no
alarm."""

import logging
import threading
from datetime import UTC, datetime

from inspection.errors import LoomwatchError
from inspection.settings import ReportSettings
from storage.database import Database
from storage.pictures import PictureStore
from storage.reports.filed import file_due

log = logging.getLogger(__name__)

LOOK_S = 60.0


class Clerk:
    """Works while it is kept at work, by the alarm service that acts."""

    def __init__(
        self, database: Database, pictures: PictureStore, settings: ReportSettings, *, look_s: float = LOOK_S
    ) -> None:
        self._database, self._pictures, self._settings, self._look_s = database, pictures, settings, look_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def keep(self, acts: bool) -> None:
        """Starts or ends the thread. Without a folder there is nothing to do."""
        if not acts:
            self.close()
        elif self._thread is None and self._settings.folder is not None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="clerk", daemon=True)
            self._thread.start()

    def close(self) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        said = ""
        while True:
            try:
                for path in file_due(self._database, self._pictures, self._settings, at=datetime.now(UTC)):
                    log.info("report %s is written", path)
                said = ""
            except (LoomwatchError, OSError) as error:  # the next look tries again
                if str(error) != said:
                    log.warning("reports cannot be filed: %s", error)
                said = str(error)
            if self._stop.wait(self._look_s):
                return
