"""Settings: one class a service, read once at the edge and passed down; nothing else reads the environment.

Order, first wins: arguments, environment (`LOOMWATCH_...`), secret files (`LOOMWATCH_SECRETS_DIR`, one file a
variable, named as the variable in lower case), the file `loomwatch.toml` (`LOOMWATCH_CONFIG` names another). In the
file, a service's settings are a table of its name: `[ingest]`, `[worker]`, ...; those of `StoreSettings` stand at the
top.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as UnreadableValue

from inspection.endpoints import REDIS_SOCKET, socket_path
from inspection.errors import SettingsError


def _config_file() -> Path:
    return Path(os.environ.get("LOOMWATCH_CONFIG", "loomwatch.toml"))


def _read_config() -> dict[str, Any]:
    path = _config_file()
    if not path.exists():
        if "LOOMWATCH_CONFIG" in os.environ:
            raise SettingsError(f"LOOMWATCH_CONFIG names {path}, which does not exist: correct it or unset it")
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"cannot read {path}: {error}") from error


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_nested_delimiter="__")
    table: ClassVar[str] = ""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        config = _read_config()
        if cls.table:
            values = config.get(cls.table, {})
        else:
            values = {key: value for key, value in config.items() if not isinstance(value, dict)}
        return init_settings, env_settings, file_secret_settings, InitSettingsSource(settings_cls, values)


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


Folder = Annotated[Path, AfterValidator(_absolute)]


class StoreSettings(_Settings):
    """What lasts and what is shared; every service but ingest reads it."""

    model_config = SettingsConfigDict(env_prefix="LOOMWATCH_")

    data_dir: Folder = Field(Path("runs/line"), description="folder of everything kept on this machine")
    database_url: str = Field("", description="SQLAlchemy URL; empty: the SQLite file DATA_DIR/loomwatch.db")
    redis_url: str = Field("", description="redis:// or unix:// URL; empty: DATA_DIR's private server")
    pictures_url: str = Field("", description="fsspec URL of the picture store; empty: DATA_DIR/pictures")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much is logged")

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'loomwatch.db'}"

    @property
    def redis(self) -> str:
        return self.redis_url or f"unix://{socket_path(self.data_dir, REDIS_SOCKET)}"

    @property
    def pictures(self) -> str:
        return self.pictures_url or str(self.data_dir / "pictures")

    @property
    def models_dir(self) -> Path:
        return self.data_dir / "models"

    @property
    def logs_dir(self) -> Path:
        return self.data_dir / "logs"


class CameraSettings(BaseModel):
    """One camera. `source` is a folder, a video file, or `sim://STYLE?speed_m_min=6&seed=1&...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$", description="unique in the plant")
    source: str = Field(description="folder, video file or sim://STYLE?speed_m_min=...")
    mm_per_px: float = Field(0.2, gt=0, lt=100, description="size of a pixel on the cloth, in mm")
    frame_lines: int = Field(1024, ge=16, le=16384, description="lines in a frame; folders give frames as they are")
    x_offset_mm: float = Field(0.0, description="of this camera's left fabric edge from the cloth's")
    follow: bool = Field(False, description="a folder: wait for new files instead of ending with the last one")


class IngestSettings(_Settings):
    """Cameras to tiles to ZeroMQ. Knows no database."""

    model_config = SettingsConfigDict(env_prefix="LOOMWATCH_INGEST_")
    table: ClassVar[str] = "ingest"

    line: str = Field("line-1", min_length=1, max_length=64, description="name of the textile line")
    cameras: tuple[CameraSettings, ...] = Field((), description="the cameras of this process (JSON in the environment)")
    endpoint: str = Field("", description="ZeroMQ address to bind; empty: ipc:// in DATA_DIR")
    keys_dir: str = Field("", description="folder of CURVE keys (`loomwatch keys`), with which tcp is encrypted")
    key: str = Field("ingest", description="name of this host's own key in it")
    allow_plain_tcp: bool = Field(
        False, description="unencrypted tcp beyond this machine: anyone can read and take frames"
    )
    spool_dir: Folder = Field(Path("runs/line/spool"), description="folder of frames that wait for a worker")
    spool_memory_mb: int = Field(256, ge=1, description="frames waiting in memory, in MB; then on disk")
    spool_disk_mb: int = Field(4096, ge=0, description="frames waiting on disk, in MB; then gaps")
    tile_px: int = Field(256, ge=16, le=4096, description="side of a tile; the model's")
    overlap_px: int = Field(0, ge=0, description="overlap of neighbouring tiles")
    lease_s: float = Field(30.0, gt=0, description="a frame not done within it goes to another worker")
    tries: int = Field(3, ge=1, description="workers that may die of a frame before it becomes a gap")
    drain_s: float = Field(20.0, ge=0, description="at a stop, time for workers to finish what is spooled")
    heartbeat_s: float = Field(1.0, gt=0, description="between signs of life; five missed mean gone")
    dark_level: float = Field(8.0, ge=0, le=255, description="fabric with a lower mean is too dark to inspect")
    bright_level: float = Field(250.0, ge=0, le=255, description="fabric with a higher mean is saturated")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much is logged")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.overlap_px >= self.tile_px:
            raise ValueError(f"overlap_px must be in [0, {self.tile_px}), got {self.overlap_px}")
        names = [camera.name for camera in self.cameras]
        if len(set(names)) != len(names):
            raise ValueError(f"camera names must differ, got {', '.join(names)}")
        return self


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class WorkerSettings(_Settings):
    """GPU or CPU inference."""

    model_config = SettingsConfigDict(env_prefix="LOOMWATCH_WORKER_")
    table: ClassVar[str] = "worker"

    name: str = Field("", description="of this worker; empty: host name and process id")
    ingestors: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="ZeroMQ addresses, separated by commas; a name means every address it has; #NAME picks a key"
    )
    discover_s: float = Field(5.0, gt=0, description="between looks whether the ingestors' names have other addresses")
    keys_dir: str = Field("", description="folder of CURVE keys (`loomwatch keys`), with which tcp is encrypted")
    key: str = Field("worker", description="name of this host's own key in it")
    allow_plain_tcp: bool = Field(
        False, description="unencrypted tcp beyond this machine: anyone can read and take frames"
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    threads: int = Field(0, ge=0, description="CPU threads for inference; 0: the library's choice")
    runtime: str = Field("auto", description="auto: the fastest that decides alike; or one, such as torch-float32")
    batch_size: int = Field(32, ge=1, description="tiles scored at once")
    credit: int = Field(2, ge=1, le=64, description="frames asked for ahead")
    model_poll_s: float = Field(1.0, gt=0, description="between looks for a newly promoted model")
    hang_s: float = Field(
        300.0, ge=0, description="longer over one frame means hung: the process ends itself; 0: never"
    )
    constant_ms: float = Field(
        -1.0, description="for benchmarks: instead of a model a constant score, which takes this long a frame; -1: off"
    )
    merge_mm: float = Field(10.0, ge=0, description="regions of one frame at most this far apart are one defect")

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {key: _split(value) if key == "ingestors" else value for key, value in values.items()}


class TrainerSettings(_Settings):
    """The retraining worker."""

    model_config = SettingsConfigDict(env_prefix="LOOMWATCH_TRAINER_")
    table: ClassVar[str] = "trainer"

    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    threads: int = Field(0, ge=0, description="CPU threads for training; 0: the library's choice")


class DashboardSettings(_Settings):
    """The screens."""

    model_config = SettingsConfigDict(env_prefix="LOOMWATCH_DASHBOARD_")
    table: ClassVar[str] = "dashboard"

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8501, ge=1, le=65535, description="port to listen on")
    refresh_s: float = Field(1.0, gt=0, description="between refreshes of live parts")


SERVICES: tuple[type[_Settings], ...] = (
    StoreSettings,
    IngestSettings,
    WorkerSettings,
    TrainerSettings,
    DashboardSettings,
)

S = TypeVar("S", bound=_Settings)


def load(settings: type[S], **overrides: Any) -> S:
    """Reads one service's settings; `overrides` that are None are left out. Raises `SettingsError`, one line."""
    given = {key: value for key, value in overrides.items() if value is not None}
    secrets = os.environ.get("LOOMWATCH_SECRETS_DIR")
    if secrets and not Path(secrets).is_dir():
        raise SettingsError(f"LOOMWATCH_SECRETS_DIR names {secrets}, which is no folder: correct it or unset it")
    try:
        return settings(_secrets_dir=secrets or None, **given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or settings.__name__
        raise SettingsError(f"setting {place}: {first['msg']}, got {first['input']!r}") from error
    except UnreadableValue as error:
        raise SettingsError(f"{error}: {error.__cause__}") from error
