"""Changes of what the page Set up keeps in the line's file (`inspection.line_setup`), with who made them."""

from pathlib import Path

from inspection.endpoints import without_password
from inspection.line_setup import LineSetup, change_setup
from storage import audit
from storage.database import Database


def keep_setup(database: Database, data_dir: Path, *, action: str, by: str, **changes: object) -> LineSetup:
    """The audit trail gets the changes, a camera's address without its password. Raises `SettingsError`."""
    detail = dict(changes)
    if isinstance(camera := detail.get("camera"), dict):
        detail["camera"] = {name: camera[name] for name in ("name", "mm_per_px", "frame_lines")} | {
            "source": without_password(camera["source"])
        }
    with database.session() as session:
        audit.record(session, by=by, action=action, subject="the line", detail=detail)
        return change_setup(data_dir, **changes)
