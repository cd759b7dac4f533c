"""Every query and every act of the screens. The stores are opened once a server; reads are cached for a moment.

What goes wrong comes out as `LoomwatchError`; `shell.told` puts it on the page. Redis being away is no error here: the
live view says so, and the rest of the page shows what the database knows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import streamlit as st

from dashboard import pictures
from inspection.errors import LoomwatchError, StorageError
from inspection.settings import DashboardSettings, ReportSettings, StoreSettings, load
from inspection.states import CameraState
from inspection.types import Roll
from storage import gates, jobs, registry, reviews, shadow
from storage.alarms import alarm_store
from storage.alarms.alarm_store import Alarm
from storage.database import Database, open_database
from storage.gates import Gate
from storage.grading import stored
from storage.grading.grade import Grade
from storage.jobs import Job
from storage.live import Live, LiveCamera, LiveIngest, LiveWorker, ServiceState
from storage.masks import decode_mask
from storage.model_policy import read_policy
from storage.pictures import PictureStore
from storage.reads import cameras as camera_reads
from storage.reads import defects as defect_reads
from storage.reads import models as model_reads
from storage.reads import roll_map as map_reads
from storage.reads import roll_runs
from storage.reads import roll_summary as summary_reads
from storage.reads.cameras import CameraFigures
from storage.reads.defects import DefectDetail, DefectFilter, DefectItem
from storage.reads.models import Promotion
from storage.reads.review_state import State
from storage.reads.roll_map import RollMap
from storage.reads.roll_summary import RollSummary
from storage.registry import Model
from storage.shadow import Apart, Shadow, ShadowFigures
from storage.trends import reads as trend_reads
from storage.trends.drift import DriftState
from storage.trends.periods import Plant
from storage.trends.reads import By, Difference, Kind, Trend, TrendFilter

OPERATOR = "operator"  # who acts until somebody writes a name
THUMBNAIL_PX = 112


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What the screens read from and write to."""

    settings: StoreSettings
    database: Database
    pictures: PictureStore
    live: Live


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveView:
    """What Redis holds now; `problem` says why nothing, "" when all is well."""

    cameras: dict[str, LiveCamera]
    services: tuple[ServiceState, ...]
    problem: str
    ingestors: tuple[LiveIngest, ...] = ()
    workers: tuple[LiveWorker, ...] = ()

    def ingest_of(self, camera: str) -> tuple[LiveIngest, CameraState] | None:
        """The camera's process and its own state; the newest where a camera has moved to another process."""
        found = [(each, its) for each in self.ingestors for its in each.state.cameras if its.camera == camera]
        return max(found, key=lambda pair: pair[0].at_ns, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """A defect's three pictures, PNG."""

    crop: bytes
    heat: bytes
    outline: bytes


# --- the stores ----------------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def store() -> Store:
    """Opens the stores. Raises `LoomwatchError`: wrong settings, database away or of another version."""
    settings = load(StoreSettings)
    return Store(
        settings=settings,
        database=open_database(settings.database),
        pictures=PictureStore(settings.pictures),
        live=Live(settings.redis),
    )


@st.cache_resource(show_spinner=False)
def refresh_s() -> float:
    return load(DashboardSettings).refresh_s


def forget_reads() -> None:
    """After an act everybody sees the new state at once."""
    st.cache_data.clear()


def operator() -> str:
    """Who acts: the name in the sidebar, kept for this browser's session."""
    return " ".join(str(st.session_state.get("operator") or "").split()) or OPERATOR


def zone() -> tzinfo:
    """The viewer's time zone; the server's where the browser does not tell."""
    try:
        return ZoneInfo(st.context.timezone or "")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return datetime.now().astimezone().tzinfo or UTC


# --- questions -----------------------------------------------------------------------------------------------------


@st.cache_data(ttl=0.5, show_spinner=False)
def live_view() -> LiveView:
    if problem := _redis_problem():
        return LiveView(cameras={}, services=(), problem=problem)
    live = store().live
    try:
        return LiveView(
            cameras={camera.camera: camera for camera in live.cameras()},
            services=tuple(live.services()),
            problem="",
            ingestors=tuple(live.ingestors()),
            workers=tuple(live.workers()),
        )
    except StorageError as error:
        _redis_problem.clear()
        return LiveView(cameras={}, services=(), problem=str(error))


@st.cache_data(ttl=5, show_spinner=False)
def _redis_problem() -> str:
    """Why Redis does not answer, "" when it does. Kept for a while: a host that is away costs seconds to ask."""
    try:
        store().live.services()
    except StorageError as error:
        return str(error)
    return ""


@st.cache_data(ttl=0.5, show_spinner=False)
def cameras() -> list[CameraFigures]:
    return camera_reads.camera_figures(store().database)


@st.cache_data(ttl=0.5, show_spinner=False)
def score_trend(line: str, camera: str) -> pd.DataFrame:
    return camera_reads.score_trend(store().database, line=line, camera=camera)


@st.cache_data(ttl=0.5, show_spinner=False)
def open_alarms() -> list[Alarm]:
    """Those to acknowledge first."""
    return alarm_store.list_alarms(store().database)


@st.cache_data(ttl=2, show_spinner=False)
def latest_defects(limit: int) -> list[DefectItem]:
    return defect_reads.latest_defects(store().database, limit=limit)


@st.cache_data(ttl=2, show_spinner=False)
def rolls() -> list[Roll]:
    return roll_runs.rolls_to_choose(store().database, at=datetime.now(UTC))


def running_rolls() -> list[Roll]:
    """The open ones that staff named, and automatic ones of lines without such."""
    now = datetime.now(UTC)
    running = [roll for roll in rolls() if roll_runs.is_running(roll, at=now)]
    named = {roll.line for roll in running if not roll.automatic}
    return [roll for roll in running if not roll.automatic or roll.line not in named]


@st.cache_data(ttl=1, show_spinner=False)
def roll_summary(roll: Roll) -> RollSummary:
    return summary_reads.roll_summary(store().database, roll)


@st.cache_data(ttl=2, show_spinner=False)
def roll_map(roll: Roll) -> RollMap:
    return map_reads.roll_map(store().database, roll)


@st.cache_data(ttl=10, show_spinner=False)
def roll_grade(roll: Roll) -> Grade:
    return stored.grade_roll(store().database, roll).grade


@st.cache_data(ttl=2, show_spinner=False)
def list_defects(wanted: DefectFilter, limit: int, offset: int) -> tuple[list[DefectItem], int]:
    return defect_reads.list_defects(store().database, wanted, limit=limit, offset=offset)


@st.cache_data(ttl=2, show_spinner=False)
def count_by_state(wanted: DefectFilter) -> dict[State, int]:
    return defect_reads.count_by_state(store().database, wanted)


@st.cache_data(ttl=2, show_spinner=False)
def neighbours_of(wanted: DefectFilter, defect_id: int) -> tuple[int | None, int | None]:
    return defect_reads.neighbours_of(store().database, wanted, defect_id)


@st.cache_data(ttl=2, show_spinner=False)
def rank_of(wanted: DefectFilter, defect_id: int) -> int:
    return defect_reads.rank_of(store().database, wanted, defect_id)


@st.cache_data(ttl=2, show_spinner=False)
def defect(defect_id: int) -> DefectDetail | None:
    return defect_reads.read_defect(store().database, defect_id)


@st.cache_data(ttl=10, show_spinner=False)
def style_names() -> list[str]:
    return defect_reads.style_names(store().database)


@st.cache_data(ttl=10, show_spinner=False)
def camera_names() -> list[str]:
    return defect_reads.camera_names(store().database)


@st.cache_data(ttl=2, show_spinner=False)
def running_model() -> Model | None:
    return registry.running_model(store().database)


@st.cache_data(ttl=2, show_spinner=False)
def models() -> list[Model]:
    return registry.list_models(store().database)


@st.cache_data(ttl=2, show_spinner=False)
def promotions() -> list[Promotion]:
    return model_reads.promotions(store().database)


@st.cache_data(ttl=2, show_spinner=False)
def latest_gates() -> dict[str, Gate]:
    """By model."""
    return gates.latest_gates(store().database)


@st.cache_data(ttl=2, show_spinner=False)
def objection(name: str) -> str:
    """Why a model may not take over without an override, "" when it may."""
    return registry.objection(store().database, name)


@st.cache_data(ttl=2, show_spinner=False)
def shadows() -> list[Shadow]:
    """The latest first."""
    return shadow.list_shadows(store().database)


@st.cache_data(ttl=2, show_spinner=False)
def shadow_figures(shadow_id: int) -> list[ShadowFigures]:
    return shadow.shadow_figures(store().database, shadow_id)


@st.cache_data(ttl=2, show_spinner=False)
def alarms_apart(shadow_id: int) -> list[Apart]:
    return shadow.alarms_apart(store().database, shadow_id)


@st.cache_data(max_entries=200, show_spinner=False)
def heated(cloth: str, heat: str) -> bytes | None:
    """A picture with its heat on top, PNG; None when it was not kept or cannot be read."""
    data, over = picture(cloth), picture(heat)
    try:
        if data is None or over is None:
            return data
        return pictures.write_png(pictures.blend_heat(pictures.read_picture(data), pictures.read_picture(over)))
    except OSError:
        return None


@st.cache_data(ttl=5, show_spinner=False)
def sample_counts() -> pd.DataFrame:
    return model_reads.sample_counts(store().database)


@st.cache_data(ttl=0.5, show_spinner=False)
def training_jobs() -> list[Job]:
    """Newest first."""
    return sorted(jobs.list_jobs(store().database), key=lambda job: job.created_at, reverse=True)


# --- trends --------------------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def plant() -> Plant:
    """The plant's clock."""
    return Plant.of(load(ReportSettings))


@st.cache_data(ttl=60, show_spinner=False)
def line_names() -> list[str]:
    return trend_reads.line_names(store().database)


@st.cache_data(ttl=60, show_spinner=False)
def trends(wanted: TrendFilter, by: By) -> list[Trend]:
    return trend_reads.read_trends(store().database, plant(), wanted, by=by)


@st.cache_data(ttl=60, show_spinner=False)
def trend_difference(first: TrendFilter, second: TrendFilter) -> Difference | None:
    return trend_reads.compare_cloth(store().database, plant(), first, second)


@st.cache_data(ttl=60, show_spinner=False)
def trend_whole(wanted: TrendFilter) -> Trend | None:
    return trend_reads.read_whole(store().database, plant(), wanted)


@st.cache_data(ttl=60, show_spinner=False)
def trend_kinds(wanted: TrendFilter) -> list[Kind]:
    return trend_reads.read_kinds(store().database, plant(), wanted)


@st.cache_data(ttl=60, show_spinner=False)
def trend_width(wanted: TrendFilter) -> pd.DataFrame:
    return trend_reads.read_width(store().database, wanted)


@st.cache_data(ttl=60, show_spinner=False)
def trend_drift(wanted: TrendFilter) -> list[DriftState]:
    return trend_reads.read_drift(store().database, wanted)


# --- pictures ------------------------------------------------------------------------------------------------------


@st.cache_data(max_entries=200, show_spinner=False)
def picture(key: str) -> bytes | None:
    """A picture of the store; None when it was not kept or is gone."""
    if not key:
        return None
    try:
        return store().pictures.get(key)
    except (LoomwatchError, OSError):
        return None


@st.cache_data(max_entries=1000, show_spinner=False)
def thumbnail(item: DefectItem) -> str | None:
    data = picture(item.crop)
    try:
        return pictures.thumbnail(data, item, side_px=THUMBNAIL_PX) if data else None
    except OSError:
        return None


@st.cache_data(max_entries=50, show_spinner=False)
def defect_pictures(defect_id: int) -> Pictures | None:
    """Crop, heat and outline; None when the crop was not kept or cannot be read."""
    detail = defect(defect_id)
    data = picture(detail.item.crop) if detail else None
    if detail is None or data is None:
        return None
    try:
        crop = pictures.read_picture(data)
        heat_data = picture(detail.item.heat)
        heat = pictures.blend_heat(crop, pictures.read_picture(heat_data)) if heat_data else crop
        placed = pictures.mask_in_crop(detail.item, decode_mask(detail.mask), crop.shape[:2])
    except (OSError, StorageError):
        return None
    return Pictures(
        crop=data,
        heat=pictures.write_png(heat),
        outline=pictures.write_png(pictures.draw_outline(crop, placed)),
    )


# --- acts ----------------------------------------------------------------------------------------------------------


def review(defect_id: int, state: State) -> None:
    """Confirms, rejects or takes back, in the operator's name. A rejected defect's crop becomes a normal sample."""
    opened = store()
    reviews.review_defect(opened.database, opened.pictures, defect_id, state=state, by=operator())
    forget_reads()


def name_defect(defect_id: int, code: str) -> None:
    """Gives a defect a name of the trade, in the operator's name."""
    reviews.name_defect(store().database, defect_id, code=code, by=operator())
    forget_reads()


def set_severity(defect_id: int, severity: str) -> None:
    """Says how severe a defect is, in the operator's name."""
    reviews.set_severity(store().database, defect_id, severity=severity, by=operator())
    forget_reads()


def see_alarms(ids: list[int]) -> None:
    """Records who was shown alarms first; only people who have written their name."""
    if ids and operator() != OPERATOR:
        alarm_store.see_alarms(store().database, ids, by=operator())
        open_alarms.clear()


def acknowledge_alarm(alarm_id: int) -> None:
    alarm_store.acknowledge_alarm(store().database, alarm_id, by=operator())
    forget_reads()


def start_retraining() -> str:
    """Asks the trainer for a new model; returns the job's id. Raises `StorageError` when Redis is away."""
    opened = store()
    job_id = jobs.request_retraining(opened.database, opened.settings.redis, by=operator(), parameters={})
    forget_reads()
    return job_id


def promote(name: str, *, style: str, reason: str, override: bool) -> None:
    """Of all styles, or of one. Raises `StorageError` when the gate objects and `override` is not set."""
    registry.promote(store().database, name, by=operator(), style=style, reason=reason, override=override)
    forget_reads()


def start_shadow(name: str) -> None:
    """By the policy's plan. Raises `StorageError` for a model that has not passed the gate."""
    database = store().database
    shadow.start_shadow(database, name, read_policy(database).shadow, by=operator())
    forget_reads()


def stop_shadow() -> None:
    shadow.stop_shadow(store().database, by=operator())
    forget_reads()


def roll_back(reason: str) -> str:
    """Puts what was in force before in force again; returns the model's name."""
    model = registry.rollback(store().database, by=operator(), reason=reason)
    forget_reads()
    return model.name
