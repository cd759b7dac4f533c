"""What a former process left of one camera session, put in order, so that each captured millimetre is accounted for.

    frame with its file                         waits, to be sent
    frame without: it was in memory at a kill   a gap, ingest_restarted
    file of which no line tells                 a frame: the kill came between the file and its line
    file of a frame that is done                removed
    half written file                           removed
The session is ended: its count is final.
"""

import logging
from pathlib import Path

import msgspec

from ingest.framefile import read_frame
from ingest.journal import Journal, passed_of, read_journal
from inspection.errors import WireError
from inspection.types import Capture

log = logging.getLogger(__name__)


def recover(folder: Path) -> tuple[Journal, dict[int, int]] | None:
    """The session's account, and the bytes of each frame that waits on disk, by sequence. None for a folder that is
    no session any more. Raises `OSError`."""
    for torn in folder.glob("*.tmp"):
        torn.unlink()
    files = {int(path.stem): path for path in folder.glob("*.frame") if path.stem.isdecimal()}
    journal = read_journal(folder / "journal") or _journal_from_files(folder, files)
    if journal is None:
        log.error("%s has no readable journal: left as it is, remove it by hand", folder)
        return None
    for sequence in sorted(sequence for sequence in files if sequence >= journal.capture.frames):
        try:
            journal.passed(passed_of(read_frame(files[sequence])))
        except (WireError, OSError) as error:
            log.warning("%s: %s", files[sequence], error)
    for sequence, passed in list(journal.waiting.items()):
        if not passed.reason and sequence not in files:
            journal.passed(msgspec.structs.replace(passed, reason="ingest_restarted"))
    for sequence, path in list(files.items()):
        if sequence not in journal.waiting or journal.waiting[sequence].reason:
            files.pop(sequence)
            path.unlink()
    journal.end()
    journal.rewrite()
    return journal, {sequence: path.stat().st_size for sequence, path in files.items()}


def _journal_from_files(folder: Path, files: dict[int, Path]) -> Journal | None:
    """What can still be told of a session whose journal is gone: its frames on disk."""
    for sequence in sorted(files):
        try:
            header = read_frame(files[sequence]).header
        except (WireError, OSError) as error:
            log.error("%s: %s", files[sequence], error)
            continue
        total = Capture(
            line=header.line,
            camera=header.camera,
            session=header.session,
            frames=sequence,
            captured_mm=0.0,
            started_at_ns=header.captured_at_ns,
            ended=False,
        )
        log.error("%s has no readable journal: its frames are sent, its gaps are lost", folder)
        return Journal(folder / "journal", total)
    return None
