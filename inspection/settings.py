"""Settings: one class a service, read once at the edge and passed down; nothing else reads the environment.

Order, first wins: arguments, environment (`LOOMWATCH_...`), secret files (`LOOMWATCH_SECRETS_DIR`, one file a
variable, named as the variable in lower case), the file `loomwatch.toml` (`LOOMWATCH_CONFIG` names another). In the
file, a service's settings are a table of its name: `[ingest]`, `[worker]`, ...; those of `StoreSettings` stand at the
top.
"""

import itertools
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
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

_SHIFT = re.compile(r"([^\s=,][^=,]{0,39})=((?:[01]\d|2[0-3]):[0-5]\d)")


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
    keep_days: float = Field(0.0, ge=0, description="rolls that ended longer ago are pruned; 0: kept for ever")
    keep_free_gb: float = Field(0.0, ge=0, description="the oldest rolls are pruned until so many GB are free; 0: none")
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
    """One camera. `source`: a folder, a video file, or one of the kinds of `docs/cameras.md`, such as
    `basler://SERIAL` or `sim://STYLE?speed_m_min=6`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$", description="unique in the plant")
    source: str = Field(description="folder, video file, rtsp://, basler://, genicam:// or sim://STYLE?...")
    mm_per_px: float = Field(0.2, gt=0, lt=100, description="size of a pixel on the cloth, in mm")
    frame_lines: int = Field(1024, ge=16, le=16384, description="lines in a frame; folders give frames as they are")
    follow: bool = Field(False, description="a folder: wait for new files instead of ending with the last one")
    features: dict[str, bool | int | float | str] = Field(
        {}, description="GenICam features to set at the opening, in this order"
    )
    chunks: bool = Field(True, description="ask for chunk data: frame number, time, encoder, exposure")
    encoder_mm_per_tick: float = Field(
        0.0, gt=-1000, lt=1000, description="cloth a tick, negative when it counts down; 0: lines are counted"
    )
    encoder_bits: int = Field(32, ge=8, le=64, description="the encoder's counter starts again at 2^bits")
    encoder_chunk: str = Field("", description="chunk with the encoder's counter; empty: the first known one")
    max_speed_m_min: float = Field(200.0, gt=0, le=10_000, description="what the line can run; more is a glitch")
    x_offset_mm: float = Field(
        0.0, description="of this camera's left fabric edge from the cloth's; with overlap_left_mm, of its first column"
    )
    overlap_left_mm: float = Field(0.0, ge=0, description="cloth at the left that the neighbour sees too")
    overlap_right_mm: float = Field(0.0, ge=0, description="cloth at the right that the neighbour sees too")
    width_min_mm: float = Field(0.0, ge=0, description="narrower fabric is not inspected")
    width_max_mm: float = Field(0.0, ge=0, description="wider fabric is not inspected; 0: any width")
    min_sharpness: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="a frame with less than this share of the reference's sharpness is blurred; 0: off",
    )
    seam_level: float = Field(
        30.0, ge=0, le=255, description="grey levels by which a full-width band is a seam; 0: off"
    )
    seam_clear_mm: float = Field(300.0, ge=0, description="cloth behind a seam that is not inspected")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if 0 < self.width_max_mm < self.width_min_mm:
            raise ValueError(f"width_max_mm must be at least width_min_mm, got {self.width_max_mm:g}")
        return self


class IngestSettings(_Settings):
    """Cameras to tiles to ZeroMQ. Knows no database."""

    model_config = SettingsConfigDict(env_prefix="LOOMWATCH_INGEST_")
    table: ClassVar[str] = "ingest"

    name: str = Field("", description="of this ingest process; empty: host name and process id")
    line: str = Field("line-1", min_length=1, max_length=64, description="name of the textile line")
    cameras: tuple[CameraSettings, ...] = Field((), description="the cameras of this process (JSON in the environment)")
    processes: Literal["together", "each"] = Field(
        "together", description="under loomwatch up: all cameras in one process, or each in its own"
    )
    endpoint: str = Field("", description="ZeroMQ address to bind; empty: ipc:// in DATA_DIR")
    keys_dir: str = Field("", description="folder of CURVE keys (`loomwatch keys`), with which tcp is encrypted")
    key: str = Field("ingest", description="name of this host's own key in it")
    allow_plain_tcp: bool = Field(
        False, description="unencrypted tcp beyond this machine: anyone can read and take frames"
    )
    spool_dir: Folder = Field(Path("runs/line/spool"), description="folder of frames that wait for a worker")
    reference_dir: str = Field("", description="folder of what cameras know of their fabrics; empty: beside SPOOL_DIR")
    spool_memory_mb: int = Field(256, ge=1, description="frames waiting in memory, in MB; then on disk")
    spool_disk_mb: int = Field(4096, ge=0, description="frames waiting on disk, in MB; then gaps")
    tile_px: int = Field(256, ge=16, le=4096, description="side of a tile; the model's")
    overlap_px: int = Field(0, ge=0, description="overlap of neighbouring tiles")
    lease_s: float = Field(30.0, gt=0, description="a frame not done within it goes to another worker")
    tries: int = Field(3, ge=1, description="workers that may die of a frame alone before it becomes a gap")
    drain_s: float = Field(20.0, ge=0, description="at a stop, time for workers to finish what is spooled")
    heartbeat_s: float = Field(1.0, gt=0, description="between signs of life; five missed mean gone")
    dark_level: float = Field(8.0, ge=0, le=255, description="fabric with a lower mean is too dark to inspect")
    bright_level: float = Field(250.0, ge=0, le=255, description="fabric with a higher mean is saturated")
    monitor_host: str = Field("127.0.0.1", description="address of /metrics, /health and /ready")
    monitor_port: int = Field(9810, ge=0, le=65535, description="port of /metrics, /health and /ready; 0: none")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much is logged")

    @property
    def references(self) -> Path:
        return _absolute(Path(self.reference_dir)) if self.reference_dir else self.spool_dir.parent / "reference"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.overlap_px >= self.tile_px:
            raise ValueError(f"overlap_px must be in [0, {self.tile_px}), got {self.overlap_px}")
        names = [camera.name for camera in self.cameras]
        if len(set(names)) != len(names):
            raise ValueError(f"camera names must differ, got {', '.join(names)}")
        _check_overlaps(self.cameras)
        return self


def _check_overlaps(cameras: tuple[CameraSettings, ...]) -> None:
    """Neighbours must agree on what they share, or cloth between them would be counted twice or by nobody."""
    side_by_side = sorted(cameras, key=lambda camera: camera.x_offset_mm)
    for left, right in itertools.pairwise(side_by_side):
        if left.x_offset_mm == right.x_offset_mm:
            return  # not side by side: nothing to compare
        if left.overlap_right_mm != right.overlap_left_mm:
            raise ValueError(
                f"neighbours must name the same overlap: {left.name} has overlap_right_mm = "
                f"{left.overlap_right_mm:g}, {right.name} has overlap_left_mm = {right.overlap_left_mm:g}"
            )


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
    credit: int = Field(3, ge=1, le=64, description="frames in hand: one is scored, one stored, one waits")
    model_poll_s: float = Field(1.0, gt=0, description="between looks for a newly promoted model")
    keep_former: bool = Field(True, description="what a roll back would need stays loaded, so that it takes no time")
    reservoir: int = Field(
        48, ge=0, le=1000, description="tiles of low score that are kept of each style by chance for review; 0: none"
    )
    past_frames: int = Field(
        32, ge=0, le=10_000, description="whole frames kept of each camera, from which staff choose samples; 0: none"
    )
    past_every_m: float = Field(10.0, gt=0, le=1000, description="of cloth between two of these frames")
    shadow: bool = Field(True, description="a candidate may score a share of this worker's frames beside the model")
    hang_s: float = Field(
        300.0, ge=0, description="longer over one frame means hung: the process ends itself; 0: never"
    )
    constant_ms: float = Field(
        -1.0, description="for benchmarks: instead of a model a constant score, which takes this long a frame; -1: off"
    )
    merge_mm: float = Field(10.0, ge=0, description="regions of one frame at most this far apart are one defect")
    monitor_host: str = Field("127.0.0.1", description="address of /metrics, /health and /ready")
    monitor_port: int = Field(9820, ge=0, le=65535, description="port of /metrics, /health and /ready; 0: none")

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {key: _split(value) if key == "ingestors" else value for key, value in values.items()}


class TrainerSettings(_Settings):
    """The retraining worker."""

    model_config = SettingsConfigDict(env_prefix="LOOMWATCH_TRAINER_")
    table: ClassVar[str] = "trainer"

    name: str = Field("", description="of this trainer; empty: the host's name")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    processes: int = Field(0, ge=0, le=64, description="that train one model together; 0: one a CUDA device")
    threads: int = Field(0, ge=0, description="CPU threads for training; 0: the library's choice")
    checkpoint_s: float = Field(30.0, ge=0, description="between two checkpoints of a training")
    schedules: bool = Field(True, description="this trainer may be the one that acts on schedules")
    guard_share: float = Field(
        0.02,
        ge=0,
        le=0.05,
        description="of normal samples, which the guard may hold for a high score, and for being unlike others",
    )
    guard_s: float = Field(
        30.0, ge=0, description="between looks whether samples wait for the guard; 0: it looks before trainings only"
    )
    monitor_host: str = Field("127.0.0.1", description="address of /metrics, /health and /ready")
    monitor_port: int = Field(9830, ge=0, le=65535, description="port of /metrics, /health and /ready; 0: none")


class DashboardSettings(_Settings):
    """The screens."""

    model_config = SettingsConfigDict(env_prefix="LOOMWATCH_DASHBOARD_")
    table: ClassVar[str] = "dashboard"

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8501, ge=1, le=65535, description="port to listen on")
    refresh_s: float = Field(1.0, gt=0, description="between refreshes of live parts")
    session_idle_h: float = Field(8.0, gt=0, le=168, description="after so long unused a session ends, but a viewer's")
    session_h: float = Field(168.0, gt=0, le=8760, description="after so long a session ends; a viewer's here, unseen")
    public_url: str = Field(
        "", description="address that people open, where a proxy stands in front; empty: as asked for"
    )
    oidc_issuer: str = Field(
        "", description="issuer of the company's sign-in (OpenID Connect), to the letter; empty: none"
    )
    oidc_client_id: str = Field("", description="what the company's sign-in calls this dashboard")
    oidc_client_secret: SecretStr = Field(SecretStr(""), description="its secret there; best in a file")
    oidc_name: str = Field("the company's account", min_length=1, description="what to sign in with, in words")
    oidc_scope: str = Field("openid profile email", description="what is asked of the provider")
    oidc_name_claim: str = Field("preferred_username", min_length=1, description="claim with a person's name")
    oidc_role_claim: str = Field(
        "", description="claim with groups or roles, as realm_access.roles; empty: roles are here"
    )
    oidc_roles: dict[str, Literal["viewer", "operator", "quality", "admin"]] = Field(
        {}, description="which role a value of that claim gives, as JSON"
    )
    oidc_otherwise: Literal["", "viewer", "operator", "quality", "admin"] = Field(
        "", description="role of who has none by claim or account; empty: they stay out"
    )
    monitor_host: str = Field("127.0.0.1", description="address of /metrics, /health and /ready")
    monitor_port: int = Field(9840, ge=0, le=65535, description="port of /metrics, /health and /ready; 0: none")

    @model_validator(mode="after")
    def _whole_company(self) -> Self:
        if not self.oidc_issuer:
            return self
        place = urlsplit(self.oidc_issuer)
        here = place.hostname in ("127.0.0.1", "localhost", "::1")
        if place.scheme != "https" and not (place.scheme == "http" and here):
            raise ValueError(f"oidc_issuer must be an https address, got {self.oidc_issuer!r}")
        if not self.oidc_client_id:
            raise ValueError("oidc_issuer needs oidc_client_id, as the provider calls this dashboard")
        if "openid" not in self.oidc_scope.split():
            raise ValueError(f"oidc_scope must hold openid, got {self.oidc_scope!r}")
        if self.oidc_role_claim and not self.oidc_roles:
            raise ValueError("oidc_role_claim needs oidc_roles, which say what its values mean")
        return self


class AlarmSettings(_Settings):
    """The alarm service. Its rules and sinks are in the database (`loomwatch alarms`)."""

    model_config = SettingsConfigDict(env_prefix="LOOMWATCH_ALARMS_")
    table: ClassVar[str] = "alarms"

    poll_s: float = Field(1.0, gt=0, le=60, description="between looks at what the line recorded")
    lease_s: float = Field(15.0, ge=1, le=600, description="a service that was not heard of for so long is replaced")
    monitor_host: str = Field("127.0.0.1", description="address of /metrics, /health and /ready")
    monitor_port: int = Field(9850, ge=0, le=65535, description="port of /metrics, /health and /ready; 0: none")
    secrets_dir: str = Field("", description="folder of the sinks' secrets, a file each; empty: DATA_DIR/secrets")

    def secrets(self, store: StoreSettings) -> Path:
        return _absolute(Path(self.secrets_dir)) if self.secrets_dir else store.data_dir / "secrets"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.lease_s < 3 * self.poll_s:
            raise ValueError(f"lease_s must be at least three times poll_s, {self.poll_s:g}, got {self.lease_s:g}")
        return self


class ReportSettings(_Settings):
    """Certificates and reports: the plant's name, its clock and its shifts."""

    model_config = SettingsConfigDict(env_prefix="LOOMWATCH_REPORT_")
    table: ClassVar[str] = "report"

    plant: str = Field("", max_length=80, description="name of the mill, as it stands on its papers")
    time_zone: str = Field("UTC", description="the plant's time zone, such as Europe/Istanbul")
    shifts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("early=06:00", "late=14:00", "night=22:00"),
        description="each shift's name and beginning; it ends where the next begins",
    )
    paper: Literal["A4", "letter"] = Field("A4", description="size of the pages")
    language: Literal["en", "de"] = Field("en", description="of papers that nobody asks for in another")
    folder: Path | None = Field(
        None, description="where every ended shift, day and month of a style is reported by itself; empty: nowhere"
    )
    formats: Annotated[tuple[Literal["pdf", "xlsx", "csv", "json"], ...], NoDecode] = Field(
        ("pdf",), min_length=1, description="the forms they are written in: pdf, xlsx, csv, json"
    )

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {key: _split(value) if key in ("shifts", "formats") else value for key, value in values.items()}

    @field_validator("folder", mode="before")
    @classmethod
    def _no_folder(cls, value: Any) -> Any:
        return value or None

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("is no time zone: write one such as Europe/Istanbul") from error
        return name

    @field_validator("shifts")
    @classmethod
    def _known_times(cls, shifts: tuple[str, ...]) -> tuple[str, ...]:
        times = [_SHIFT.fullmatch(shift) for shift in shifts]
        if not shifts or not all(times):
            raise ValueError("each shift is NAME=HH:MM")
        for values in ([found[1] for found in times if found], [found[2] for found in times if found]):
            if len(set(values)) != len(values):
                raise ValueError("shifts must differ in name and beginning")
        return shifts


SERVICES: tuple[type[_Settings], ...] = (
    StoreSettings,
    IngestSettings,
    WorkerSettings,
    TrainerSettings,
    DashboardSettings,
    AlarmSettings,
    ReportSettings,
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
        # A whole table is not quoted: it is long, and a camera's address may hold a password.
        got = "" if isinstance(first["input"], dict | BaseModel) else f", got {first['input']!r}"
        raise SettingsError(f"setting {place}: {first['msg']}{got}") from error
    except UnreadableValue as error:
        raise SettingsError(f"{error}: {error.__cause__}") from error
