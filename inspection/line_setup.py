"""What the page Set up wrote down: a line, its camera, its style, and whether it runs. Kept in DATA_DIR/line.json of
the machine that has the camera, for nobody else to read: a camera's address may hold a password.

`loomwatch up` runs what stands here wherever `loomwatch.toml` names no cameras.
"""

import fcntl
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inspection.errors import SettingsError
from inspection.settings import CameraSettings

FILE = "line.json"


class LineSetup(BaseModel):
    """`line` "", `style` "" and `camera` None until somebody chose them; `tile_px`: the model's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line: str = Field("", max_length=64)
    camera: CameraSettings | None = None
    style: str = Field("", max_length=120)
    tile_px: int = Field(256, ge=16, le=4096)
    runs: bool = False


def read_setup(data_dir: Path) -> LineSetup:
    """What is chosen so far, an empty one when nothing is. Raises `SettingsError` for a file that cannot be read."""
    path = data_dir / FILE
    try:
        return LineSetup.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return LineSetup()
    except (OSError, ValidationError) as error:  # whose own words would quote the address
        raise SettingsError(f"cannot read {path}: remove it, and set the line up again") from error


def change_setup(data_dir: Path, **changes: object) -> LineSetup:
    """Replaces single fields, whoever else changes others at the same time. Raises `SettingsError`."""
    path, draft = data_dir / FILE, data_dir / f".{FILE}"
    try:
        with (data_dir / f".{FILE}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            setup = LineSetup.model_validate(read_setup(data_dir).model_dump() | changes)
            draft.unlink(missing_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(setup.model_dump_json(indent=2))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{place}: {first['msg']}") from error
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror or error}") from error
    return setup
