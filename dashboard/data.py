"""Every query and every act of the screens. Reads are cached for a moment; an act takes the name it is done in from
`allowed`, which refuses whose role does not reach.

What goes wrong comes out as `LoomwatchError`; `shell.told` puts it on the page. Redis being away is no error here: the
live view says so, and the rest of the page shows what the database knows.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import streamlit as st

from dashboard import cloth, pictures, signed_in
from dashboard.signed_in import allowed, may
from dashboard.stores import store
from dashboard.units import UnitSet
from inspection.errors import LoomwatchError, StorageError
from inspection.settings import DashboardSettings, ReportSettings, load
from inspection.states import CameraState
from inspection.types import Roll
from storage import gates, jobs, registry, retention, reviews, schedules, shadow, suspensions
from storage import rolls as rolls_store
from storage.accounts import sign_in, users
from storage.accounts.users import Units
from storage.alarms import alarm_store
from storage.alarms.alarm_store import Alarm
from storage.gates import Gate
from storage.grading import stored
from storage.grading.cut_plan import CutPlan, plan_cuts
from storage.grading.grade import Grade
from storage.grading.stored import GradedRoll
from storage.jobs import Asked, Job
from storage.leases import holder_of
from storage.live import LiveCamera, LiveIngest, LiveWorker, ServiceState
from storage.masks import decode_mask
from storage.model_policy import read_policy
from storage.reads import cameras as camera_reads
from storage.reads import defects as defect_reads
from storage.reads import models as model_reads
from storage.reads import pieces, roll_runs
from storage.reads import roll_map as map_reads
from storage.reads import roll_summary as summary_reads
from storage.reads.cameras import CameraFigures
from storage.reads.defects import DefectDetail, DefectFilter, DefectItem
from storage.reads.models import Promotion
from storage.reads.pieces import Piece
from storage.reads.review_state import State
from storage.reads.roll_map import RollMap
from storage.reads.roll_summary import RollSummary
from storage.registry import Model
from storage.reports.period_report import PeriodReport, read_period_report
from storage.reports.roll_report import read_roll_report
from storage.reports.shifts import Period
from storage.reports.style_report import StyleReport, read_style_report
from storage.reports.written import Form, write_period, write_roll, write_style
from storage.reviews import Act, Acted, Done, Joined
from storage.roll_changes import changes_of
from storage.roll_details import read_details, set_details
from storage.schedule_runs import LEASE, waits_for
from storage.schedules import Rule, Schedule
from storage.shadow import Apart, Shadow, ShadowFigures
from storage.suspensions import suspension_of
from storage.trends import reads as trend_reads
from storage.trends.drift import DriftState
from storage.trends.periods import Plant
from storage.trends.reads import By, Kind, Trend, TrendFilter

THUMBNAIL_PX = 112
GROWING_S = 2.0  # for which the map and the points of a roll that runs are kept
ENDED_S = 60.0  # and of one that ended, unless it changes


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
class Standing:
    """What staff said of a roll; "" for what they did not."""

    suspended: str  # why
    held: str  # why
    remarks: str
    loom: str
    lot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """A defect's three pictures, PNG."""

    crop: bytes
    heat: bytes
    outline: bytes


# --- settings --------------------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def refresh_s() -> float:
    return load(DashboardSettings).refresh_s


def forget_reads() -> None:
    """After an act everybody sees the new state at once."""
    st.cache_data.clear()
    for read in (rolls, *ROLL_READS, _passed):
        read.clear()


def zone() -> tzinfo:
    """The plant's, where one is set; else the viewer's, else the server's."""
    settings = report_settings()
    if "time_zone" in settings.model_fields_set:
        return ZoneInfo(settings.time_zone)
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
    """As the record has them. One whose driver answers ingest is heard of, also while its cloth stands still."""
    view = live_view()
    return [_heard(camera, view.ingest_of(camera.camera)) for camera in camera_reads.camera_figures(store().database)]


def _heard(camera: CameraFigures, told: tuple[LiveIngest, CameraState] | None) -> CameraFigures:
    if told is None:
        return camera
    ingest, its = told
    at = datetime.fromtimestamp(ingest.at_ns / 1e9 - its.silent_s, UTC)
    return replace(camera, heard_at=max(camera.heard_at, at))


@st.cache_data(ttl=0.5, max_entries=50, show_spinner=False)
def running_cloth(line: str, camera: str, width_px: int, height_px: int, own: UnitSet, spoken: str) -> bytes | None:
    """The newest cloth of a camera as JPEG, its lengths in these units as that language writes them; None where nothing
    of it is known at the moment."""
    try:
        pieces = store().live.strip(line, camera) if not _redis_problem() else []
    except StorageError:
        _redis_problem.clear()
        return None
    return cloth.draw_strip(pieces, width_px=width_px, height_px=height_px, own=own) if pieces else None


@st.cache_data(ttl=0.5, show_spinner=False)
def score_trend(line: str, camera: str) -> pd.DataFrame:
    return camera_reads.score_trend(store().database, line=line, camera=camera)


@st.cache_data(ttl=0.5, show_spinner=False)
def open_alarms() -> list[Alarm]:
    """Those to acknowledge first."""
    return alarm_store.list_alarms(store().database)


@st.cache_data(ttl=2, show_spinner=False)
def latest_defects(limit: int, line: str = "") -> list[DefectItem]:
    return defect_reads.latest_defects(store().database, limit=limit, line=line)


@st.cache_resource(ttl=10, show_spinner=False)
def rolls() -> list[Roll]:
    """All of them, the same list for everybody."""
    return roll_runs.rolls_to_choose(store().database, at=datetime.now(UTC))


@st.cache_data(ttl=2, show_spinner=False)
def running_rolls() -> list[Roll]:
    """The open ones that staff named, and automatic ones of lines without such."""
    open_now = rolls_store.list_rolls(store().database, since=datetime.now(UTC))
    running = sorted(open_now, key=lambda roll: roll.automatic)
    named = {roll.line for roll in running if not roll.automatic}
    return [roll for roll in running if not roll.automatic or roll.line not in named]


@st.cache_data(ttl=1, show_spinner=False)
def roll_summary(roll: Roll) -> RollSummary:
    return summary_reads.roll_summary(store().database, roll)


# Of a roll with ten thousand defects, copying for each who asks would cost more than reading: nobody changes these.
# What was read of a roll that ended is kept for as long as nothing of it changes.


def roll_map(roll: Roll) -> RollMap:
    changes = _changes_of(roll)
    return _growing_map(roll) if changes is None else _ended_map(roll, changes)


@st.cache_resource(ttl=GROWING_S, max_entries=4, show_spinner=False)
def _growing_map(roll: Roll) -> RollMap:
    return map_reads.roll_map(store().database, roll)


@st.cache_resource(ttl=ENDED_S, max_entries=20, show_spinner=False)
def _ended_map(roll: Roll, changes: int) -> RollMap:
    return map_reads.roll_map(store().database, roll)


def roll_grade(roll: Roll) -> Grade:
    return graded_roll(roll).grade


def graded_roll(roll: Roll) -> GradedRoll:
    changes = _changes_of(roll)
    return _growing_grade(roll) if changes is None else _ended_grade(roll, changes)


@st.cache_resource(ttl=GROWING_S, max_entries=4, show_spinner=False)
def _growing_grade(roll: Roll) -> GradedRoll:
    return stored.grade_roll(store().database, roll)


@st.cache_resource(ttl=ENDED_S, max_entries=20, show_spinner=False)
def _ended_grade(roll: Roll, changes: int) -> GradedRoll:
    return stored.grade_roll(store().database, roll)


def cut_plan(roll: Roll) -> CutPlan:
    changes = _changes_of(roll)
    return _cut_plan(roll, -1 if changes is None else changes)


@st.cache_resource(ttl=10, max_entries=20, show_spinner=False)
def _cut_plan(roll: Roll, changes: int) -> CutPlan:
    graded = graded_roll(roll)
    return plan_cuts(graded.profile.profile, graded.cloth, graded.grade)


@st.cache_data(ttl=0.5, show_spinner=False)
def _changes_of(roll: Roll) -> int | None:
    """None for a roll that runs, of which more comes and whose waiting cloth depends on the time."""
    if roll_runs.is_running(roll, at=datetime.now(UTC)):
        return None
    with store().database.reading() as session:
        return changes_of(session, roll.id)


ROLL_READS = (_growing_map, _ended_map, _growing_grade, _ended_grade, _cut_plan, _changes_of)


@st.cache_data(ttl=2, show_spinner=False)
def roll_standing(roll: Roll) -> Standing:
    database = store().database
    with database.reading() as session:
        put_aside = suspension_of(session, roll.id)
        suspended = f"{put_aside.reason} ({put_aside.by})" if put_aside is not None else ""
        details = read_details(session, roll.id)
    return Standing(
        suspended=suspended,
        held=retention.is_held(database, roll),
        remarks=details.remarks,
        loom=details.loom,
        lot=details.lot,
    )


def roll_paper(roll: Roll, form: Form, spoken: str) -> Callable[[], bytes]:
    """Makes a roll's certificate when it is called, as the record is then, in whatever thread."""
    opened, settings = store(), report_settings()

    def make() -> bytes:
        report = read_roll_report(opened.database, opened.pictures, roll, settings)
        return write_roll(report, form, paper_size=settings.paper, language=spoken)

    return make


@st.cache_data(ttl=10, show_spinner=False)
def all_lines() -> list[str]:
    return defect_reads.line_names(store().database)


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
def pieces_of(defect_id: int) -> list[Piece]:
    return pieces.pieces_of(store().database, defect_id)


@st.cache_data(ttl=60, show_spinner=False)
def similar_defects(defect_id: int, limit: int) -> list[tuple[DefectItem, float]]:
    return pieces.similar_defects(store().database, defect_id, limit=limit)


@st.cache_data(ttl=10, show_spinner=False)
def nearby_defects(defect_id: int, limit: int) -> list[DefectItem]:
    return defect_reads.nearby_defects(store().database, defect_id, limit=limit)


@st.cache_data(ttl=60, show_spinner=False)
def reviewers() -> list[str]:
    return defect_reads.reviewers(store().database)


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
def objection(name: str, style: str) -> str:
    """Why a model may not take over without an override, of all styles or of one; "" when it may."""
    return registry.objection(store().database, name, style=style)


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


@st.cache_resource(ttl=50, max_entries=8, show_spinner=False)
def _passed(wanted: TrendFilter, kind: trend_reads.PeriodKind) -> trend_reads.Passed:
    """Read once for all that a screen groups; nobody changes it."""
    return trend_reads.read_passed(store().database, plant(), wanted, kind=kind)


@st.cache_data(ttl=10, show_spinner=False)
def trends(wanted: TrendFilter, by: By) -> list[Trend]:
    if by == "loom":
        return trend_reads.read_trends(store().database, plant(), wanted, by=by)
    passed = _passed(replace(wanted, style="", shift=""), trend_reads.kind_of(wanted, by))
    return trend_reads.trends_of(passed, wanted, by)


def trend_whole(wanted: TrendFilter) -> Trend | None:
    return trend_reads.whole_of(trends(wanted, "line"))


@st.cache_data(ttl=60, show_spinner=False)
def trend_kinds(wanted: TrendFilter) -> list[Kind]:
    return trend_reads.read_kinds(store().database, plant(), wanted)


@st.cache_data(ttl=60, show_spinner=False)
def trend_width(wanted: TrendFilter) -> pd.DataFrame:
    return trend_reads.read_width(store().database, wanted)


@st.cache_data(ttl=60, show_spinner=False)
def trend_drift(wanted: TrendFilter) -> list[DriftState]:
    return trend_reads.read_drift(store().database, wanted)


# --- reports -------------------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def report_settings() -> ReportSettings:
    return load(ReportSettings)


@st.cache_data(ttl=60, max_entries=20, show_spinner=False)
def period_report(period: Period, line: str) -> PeriodReport:
    """The report of a shift or a day. line: only its own cloth, "" for all."""
    return read_period_report(store().database, period, report_settings(), line=line or None)


@st.cache_data(ttl=60, max_entries=20, show_spinner=False)
def style_report(style: str, first: date, last: date, line: str) -> StyleReport:
    """The report of a style. line: only its own rolls, "" for all."""
    opened = store()
    return read_style_report(
        opened.database, opened.pictures, style, report_settings(), first=first, last=last, line=line
    )


def written_report(report: PeriodReport | StyleReport, form: Form, spoken: str) -> bytes:
    paper = report_settings().paper
    if isinstance(report, StyleReport):
        return write_style(report, form, paper_size=paper, language=spoken)
    return write_period(report, form, paper_size=paper, language=spoken)


# --- pictures ------------------------------------------------------------------------------------------------------


@st.cache_data(max_entries=50, show_spinner=False)
def picture(key: str) -> bytes | None:
    """A picture of the store; None when it was not kept or is gone."""
    if not key:
        return None
    try:
        return store().pictures.get(key)
    except (LoomwatchError, OSError):
        return None


def thumbnail(item: DefectItem) -> str | None:
    return _thumbnail(item.crop, item)


@st.cache_data(max_entries=200, show_spinner=False)
def _thumbnail(crop: str, _item: DefectItem) -> str | None:
    data = picture(crop)
    try:
        return pictures.thumbnail(data, _item, side_px=THUMBNAIL_PX) if data else None
    except OSError:
        return None


@st.cache_data(max_entries=300, show_spinner=False)
def piece_thumbnail(crop: str) -> str | None:
    """Of a fragment's picture, all of it."""
    data = picture(crop)
    try:
        return pictures.shrunken(data, side_px=THUMBNAIL_PX) if data else None
    except OSError:
        return None


def defect_pictures(defect_id: int) -> Pictures | None:
    """Crop, heat and outline; None when the crop was not kept or cannot be read. Kept by the crop, which never changes,
    so that an act throws no picture away."""
    detail = defect(defect_id)
    return _defect_pictures(detail.item.crop, detail) if detail else None


@st.cache_data(max_entries=60, show_spinner=False)
def _defect_pictures(crop_key: str, _detail: DefectDetail) -> Pictures | None:
    detail, data = _detail, picture(crop_key)
    if data is None:
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


def review(defect_id: int, state: State, *, expected: int | None = None) -> Done:
    """Confirms, rejects or takes back. A rejected defect's crop becomes a normal sample.

    expected, here and below: the version that was looked at. Raises `ChangedMeanwhile` when somebody acted since."""
    opened = store()
    with _forgetting_defects():
        return reviews.review_defect(
            opened.database, opened.pictures, defect_id, state=state, by=allowed("operator"), expected=expected
        )


def name_defect(defect_id: int, code: str, *, expected: int | None = None) -> Done:
    """Gives a defect a name of the trade."""
    with _forgetting_defects():
        return reviews.name_defect(store().database, defect_id, code=code, by=allowed("operator"), expected=expected)


def set_severity(defect_id: int, severity: str, *, expected: int | None = None) -> Done:
    """Says how severe a defect is; "" leaves it to the rules."""
    with _forgetting_defects():
        return reviews.set_severity(
            store().database, defect_id, severity=severity, by=allowed("operator"), expected=expected
        )


def act_on_defects(chosen: Mapping[int, int | None], act: Act, value: str) -> Acted:
    """One verdict, name or severity for many defects (id -> version looked at)."""
    opened = store()
    with _forgetting_defects():
        return reviews.act_on_defects(
            opened.database, opened.pictures, chosen, act=act, value=value, by=allowed("operator")
        )


def merge_defects(chosen: Mapping[int, int | None]) -> Joined:
    """Makes one defect of several (id -> version looked at)."""
    with _forgetting_defects():
        return reviews.merge_defects(store().database, chosen, by=allowed("operator"))


def split_defect(defect_id: int, pieces: list[tuple[int, int]], *, expected: int | None = None) -> tuple[int, int]:
    """Makes a defect of its own of some pieces; the rest's number and the new one's."""
    with _forgetting_defects():
        return reviews.split_defect(store().database, defect_id, pieces, by=allowed("operator"), expected=expected)


def undo_act(done: Done) -> Done:
    """Takes an act back, unless somebody acted since."""
    opened = store()
    with _forgetting_defects():
        return reviews.take_back(opened.database, opened.pictures, done, by=allowed("operator"))


def undo_merge(joined: Joined) -> list[int]:
    """Takes a merging back."""
    opened = store()
    with _forgetting_defects():
        return reviews.unmerge(opened.database, opened.pictures, joined, by=allowed("operator"))


@contextmanager
def _forgetting_defects() -> Iterator[None]:
    """What acts on defects change, also when one is refused because of another's; pictures stay."""
    try:
        yield
    finally:
        reads: tuple[Any, ...] = (
            *(list_defects, count_by_state, neighbours_of, rank_of, defect, latest_defects, pieces_of, nearby_defects),
            *(similar_defects, reviewers, roll_summary, *ROLL_READS),
        )
        for read in reads:
            read.clear()


def open_roll(line: str, name: str, style: str) -> Roll:
    """From now on."""
    opened = rolls_store.open_roll(store().database, line=line, name=name, style=style, by=allowed("operator"))
    forget_reads()
    return opened


def close_roll(roll: Roll) -> None:
    """Closes the roll that is open on its line. Raises `StorageError` when it is another."""
    running = rolls_store.roll_at(store().database, line=roll.line, at=datetime.now(UTC))
    if running is None or running.id != roll.id:
        raise StorageError(f"roll {roll.name} is not open any more: somebody closed it meanwhile")
    rolls_store.close_roll(store().database, line=roll.line, by=allowed("operator"))
    forget_reads()


def suspend_roll(roll: Roll, reason: str) -> None:
    suspensions.suspend_roll(store().database, roll, reason=reason, by=allowed("operator"))
    forget_reads()


def clear_roll(roll: Roll, remark: str) -> None:
    suspensions.clear_roll(store().database, roll, remark=remark, by=allowed("quality"))
    forget_reads()


def hold_roll(roll: Roll, reason: str) -> None:
    retention.hold_roll(store().database, roll, reason=reason, by=allowed("quality"))
    forget_reads()


def release_roll(roll: Roll) -> None:
    retention.release_roll(store().database, roll, by=allowed("quality"))
    forget_reads()


def note_roll(roll: Roll, name: Literal["remarks", "loom", "lot"], text: str) -> None:
    """Enters what papers say of a roll."""
    set_details(store().database, roll, by=allowed("operator"), **{name: " ".join(text.split())})
    forget_reads()


def see_alarms(ids: list[int]) -> None:
    """Records who was shown alarms first; a viewer's wall screen has seen nothing."""
    if ids and may("operator"):
        alarm_store.see_alarms(store().database, ids, by=allowed("operator", by_itself=True))
        open_alarms.clear()


def acknowledge_alarm(alarm_id: int) -> None:
    alarm_store.acknowledge_alarm(store().database, alarm_id, by=allowed("operator"))
    forget_reads()


def start_retraining(style: str = "") -> Asked:
    """Asks the trainers for a new model, of a style or of all. Raises `StorageError` when Redis is away."""
    opened = store()
    asked = jobs.request_retraining(
        opened.database, opened.settings.redis, by=allowed("quality"), parameters={}, style=style
    )
    forget_reads()
    return asked


def start_gate(name: str) -> Asked:
    """Asks the trainers to judge a model beside the running one. Raises `StorageError` when Redis is away."""
    opened = store()
    asked = jobs.request_gate(opened.database, opened.settings.redis, name, by=allowed("quality"))
    forget_reads()
    return asked


def cancel_training(job_id: str) -> None:
    """Raises `StorageError` when it is over."""
    jobs.cancel_job(store().database, job_id, by=allowed("quality"))
    forget_reads()


def retry_training(job_id: str) -> None:
    """Goes on from its last checkpoint. Raises `StorageError` when Redis is away, or when it is not over."""
    opened = store()
    jobs.retry_job(opened.database, opened.settings.redis, job_id, by=allowed("quality"))
    forget_reads()


def training_schedules() -> list[tuple[Schedule, str]]:
    """Each with what it waits for, "" for those with a time."""
    database = store().database
    found = schedules.list_schedules(database)
    with database.reading() as session:
        return [(each, waits_for(session, each.id)) for each in found]


def scheduler_acts() -> bool:
    return bool(holder_of(store().database, LEASE, at=datetime.now(UTC)))


def sampled_styles() -> list[str]:
    """Styles that have samples to learn from."""
    counts = sample_counts()
    return sorted({str(style) for style in counts["style"]}) if len(counts) else []


def save_schedule(name: str, rule: Rule, *, new: bool) -> None:
    """Raises `StorageError` for a name that is taken, or gone."""
    act = schedules.add_schedule if new else schedules.change_schedule
    act(store().database, name, rule, by=allowed("quality"), zone=plant().zone)
    forget_reads()


def remove_schedule(name: str) -> None:
    schedules.remove_schedule(store().database, name, by=allowed("quality"))
    forget_reads()


def run_schedule(name: str) -> Asked:
    """Raises `StorageError` when Redis is away."""
    opened = store()
    asked = schedules.run_schedule(opened.database, opened.settings.redis, name, by=allowed("quality"))
    forget_reads()
    return asked


def promote(name: str, *, style: str, reason: str, override: bool) -> None:
    """Of all styles, or of one. Raises `StorageError` without a reason, and when the gate objects and `override` is not
    set."""
    registry.promote(store().database, name, by=allowed("quality"), style=style, reason=_why(reason), override=override)
    forget_reads()


def start_shadow(name: str) -> None:
    """By the policy's plan. Raises `StorageError` for a model that has not passed the gate."""
    database = store().database
    shadow.start_shadow(database, name, read_policy(database).shadow, by=allowed("quality"))
    forget_reads()


def stop_shadow() -> None:
    shadow.stop_shadow(store().database, by=allowed("quality"))
    forget_reads()


def roll_back(reason: str) -> str:
    """Puts what was in force before in force again; returns the model's name. Raises `StorageError` without reason."""
    model = registry.rollback(store().database, by=allowed("quality"), reason=_why(reason))
    forget_reads()
    return model.name


def _why(reason: str) -> str:
    reason = " ".join(reason.split())
    if not reason:
        raise StorageError("another model in charge needs a reason: write why, for those who look for it later")
    return reason


def set_preferences(language: str, units: Units) -> None:
    """Of who is signed in."""
    users.set_preferences(store().database, by=allowed("viewer"), language=language, units=units)


def change_password(old: str, new: str) -> None:
    """Of who is signed in, whose other sessions end. Raises `SettingsError`."""
    sign_in.change_password(
        store().database,
        by=allowed("viewer"),
        old=old,
        new=new,
        address=str(st.context.ip_address or ""),
        keep=signed_in.browser_secret(),
    )
