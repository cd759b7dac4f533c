"""What the page Set up asks and does. How far a set-up is follows from what is there: the line's file, samples, models,
trainings; so it is the same after a reload, and for two people at once."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st
from pydantic import ValidationError

from dashboard import data
from dashboard.signed_in import allowed, may
from dashboard.stores import store
from inspection.errors import LoomwatchError, SettingsError, SourceError, StorageError
from inspection.line_setup import LineSetup, read_setup
from inspection.settings import CameraSettings, IngestSettings, load
from storage import jobs, registry, sample_captures, samples
from storage.database import Database
from storage.jobs import OPEN, PROVISIONAL, Asked, Job
from storage.line_setup import keep_setup
from storage.live import ServiceState, supervisor_name
from storage.names import check_name
from storage.reads.defects import camera_names
from storage.registry import Model
from storage.sample_captures import SampleCapture

STEPS = ("line", "camera", "style", "golden", "train", "start")
ENOUGH = 8  # samples; whether they are tiles enough, the training says
LOOK_S = 60.0  # for a picture; the command itself gives up before
# Beside paths. A GenICam producer is a program that would be loaded: it is named in the file only.
SERVED = ("sim://", "rtsp://", "rtsps://", "basler://")
# Explicit, so that a later training does not take over what was chosen for a first look
CAMERA_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
QUICK = {"backbone": "efficientnet_lite0", "steps": 300, "calibration": "holdout", "calibration_folds": 2}
CAREFUL = {"backbone": "efficientnet_lite2", "steps": 400, "calibration": "crossfit", "calibration_folds": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a camera shows. fabric: from and to, px; None where none was found."""

    camera: CameraSettings
    width_px: int
    height_px: int
    fabric: tuple[int, int] | None
    level: float
    jpeg: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """How far it is. elsewhere: cameras that this page did not set. supervisor: who starts cameras, None when nobody is
    heard of. knows: whether what is in force knows the style; candidate: the latest model that would."""

    setup: LineSetup
    elsewhere: tuple[str, ...]
    supervisor: ServiceState | None
    samples: Mapping[str, int]
    capture: SampleCapture | None
    job: Job | None
    running: Model | None
    knows: bool
    candidate: Model | None

    @property
    def usable(self) -> int:
        """Samples that a training would learn, or its guard look at first."""
        return self.samples.get("accepted", 0) + self.samples.get("waits", 0)

    @property
    def joins_a_model(self) -> bool:
        """Whether a model in charge knows other styles, to which this one is added."""
        return self.running is not None and not _knows(self.running, self.setup.style)

    @property
    def is_recording(self) -> bool:
        return self.capture is not None and self.capture.state == "running"

    def done(self, step: str) -> bool:
        set_up = self.setup
        return {
            "line": bool(set_up.line or self.elsewhere),
            "camera": bool(set_up.camera or self.elsewhere),
            "style": bool(set_up.style),
            "golden": self.knows or (self.usable >= ENOUGH and not self.is_recording),
            "train": self.knows or self.candidate is not None,
            "start": self.knows and (set_up.runs or bool(self.elsewhere)),
        }[step]

    @property
    def next_step(self) -> str:
        """The first that is not done; the last when all are."""
        return next((step for step in STEPS if not self.done(step)), STEPS[-1])


def state() -> SetUp:
    """Raises `LoomwatchError`."""
    database = store().database
    setup = read_setup(store().settings.data_dir)
    style = setup.style
    # What ends comes before what it leaves, as they are now: the page is not drawn again once nothing is under way
    job = _job_of(database, style)
    capture = next((each for each in sample_captures.list_captures(database) if each.style == style), None)
    models = registry.list_models(database)
    return SetUp(
        setup=setup,
        elsewhere=() if setup.camera is not None else _elsewhere(database),
        supervisor=next((each for each in data.live_view().services if each.name == supervisor_name()), None),
        samples=samples.count_samples(database).get(style, {}) if style else {},
        capture=capture,
        job=job,
        running=registry.running_model(database),
        knows=bool(style) and any(_knows(each, style) for each in models if each.running or style in each.styles),
        candidate=next((each for each in models if style and _knows(each, style)), None),
    )


def is_offered() -> bool:
    """To whom it may be of use, and to all while there is nothing else to see."""
    try:
        return _is_needed() or may("quality")
    except LoomwatchError:
        return False


def is_needed() -> bool:
    """Whether nothing is watched here yet, nor will be by itself. What cannot be asked is told by the page itself."""
    try:
        return _is_needed()
    except LoomwatchError:
        return False


@st.cache_data(ttl=2, show_spinner=False)
def _is_needed() -> bool:
    opened = store()
    if camera_names(opened.database) or read_setup(opened.settings.data_dir).runs:
        return False
    return registry.running_model(opened.database) is None or not load(IngestSettings).cameras


def _elsewhere(database: Database) -> tuple[str, ...]:
    """Named in loomwatch.toml, else those that delivered without this page."""
    return tuple(camera.name for camera in load(IngestSettings).cameras) or tuple(camera_names(database))


def _knows(model: Model, style: str) -> bool:
    return style in model.manifest["styles"]


def _job_of(database: Database, style: str) -> Job | None:
    """The training that matters here: one that is open, else the latest."""
    if not style:
        return None
    found = [job for job in jobs.list_jobs(database) if not job.judges]
    return next((job for job in found if job.state in OPEN), next(iter(found), None))


# --- acts: line and camera are an admin's, samples and models quality's -----------------------------------------------


def _keep(action: str, *, by: str, **changes: object) -> None:
    opened = store()
    keep_setup(opened.database, opened.settings.data_dir, action=action, by=by, **changes)
    data.forget_reads()


def set_line(name: str) -> None:
    name = " ".join(name.split())
    if not name:
        raise SettingsError("the line needs a name")
    check_name("line", name)
    _keep("line.name", by=allowed("admin"), line=name)


def look(wanted: Mapping[str, Any]) -> Picture:
    """The camera's next picture, by a process of its own: a driver that crashes takes nobody with it.

    Raises `SettingsError` for impossible settings, `SourceError` when the camera gives no picture.
    """
    allowed("admin")
    camera = checked(wanted)
    command = [sys.executable, "-m", "loomwatch", "look", "-"]
    try:
        done = subprocess.run(
            command, input=camera.model_dump_json().encode(), capture_output=True, timeout=LOOK_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"camera {camera.name} gave no picture within {LOOK_S:.0f} s") from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise SourceError(lines[-1].removeprefix("loomwatch: "))
    try:
        found = json.loads(done.stdout)
        jpeg = base64.b64decode(found.pop("jpeg"), validate=True)
        left_right = found.pop("fabric")
        fabric = None if left_right is None else (int(left_right[0]), int(left_right[1]))
        return Picture(camera=camera, fabric=fabric, jpeg=jpeg, **found)
    except (ValueError, TypeError, KeyError) as error:
        raise SourceError(f"camera {camera.name} gave something that is no picture") from error


def save_camera(wanted: Mapping[str, Any]) -> None:
    """It takes effect at once where the line runs."""
    camera, model = checked(wanted), data.running_model()
    tile = {} if model is None else {"tile_px": int(model.manifest["tile_px"])}
    _keep("line.camera", by=allowed("admin"), camera=camera.model_dump(), **tile)


def checked(wanted: Mapping[str, Any]) -> CameraSettings:
    """Raises `SettingsError`, never with the address, which may hold a password."""
    name, source = str(wanted.get("name", "")), str(wanted.get("source", ""))
    if not CAMERA_NAME.fullmatch(name):
        raise SettingsError(f"a camera's name has 1 to 64 letters a to z, digits, '_', '-' and '.', got {name!r}")
    if not source:
        raise SettingsError("say where the camera's pictures come from")
    if "://" in source and not source.startswith(SERVED):
        raise SettingsError("this kind of camera is named in loomwatch.toml, not here")
    try:
        return CameraSettings.model_validate(wanted)
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


def set_style(name: str) -> None:
    name = " ".join(name.split())
    if not name:
        raise SettingsError("the style needs a name")
    check_name("style", name)
    _keep("line.style", by=allowed("quality"), style=name)


def start_golden_roll(metres: int) -> SampleCapture:
    """Of the camera that was set up, or of the first other one."""
    now = state()
    camera = now.setup.camera.name if now.setup.camera is not None else next(iter(now.elsewhere), "")
    found = sample_captures.start_capture(
        store().database,
        camera=camera,
        style=now.setup.style,
        metres=metres,
        by=allowed("quality"),
        line=now.setup.line if now.setup.camera is not None else "",
    )
    data.forget_reads()
    return found


def start_training(*, careful: bool) -> Asked:
    """The first model by a training, or one anew; a further style onto the model in charge by statistics alone."""
    opened, now = store(), state()
    asked = jobs.request_retraining(
        opened.database,
        opened.settings.redis,
        by=allowed("quality"),
        parameters=dict(PROVISIONAL if now.joins_a_model else CAREFUL if careful else QUICK),
        style=now.setup.style if now.joins_a_model else "",
        reason="set up",
    )
    data.forget_reads()
    return asked


def start_line() -> None:
    """Puts the new model in charge where the one that is does not know the style, and starts the camera. A style that
    joined a model is learned by a full training from then on."""
    opened, now = store(), state()
    tile_px, chosen = now.setup.tile_px, now.candidate
    joins = not now.knows and now.joins_a_model
    if not now.knows:
        if chosen is None:
            raise StorageError(f"no model knows style {now.setup.style} yet: train one first")
        style = now.setup.style if joins else ""
        registry.promote(opened.database, chosen.name, by=allowed("admin"), style=style, reason="set up")
        tile_px = int(chosen.manifest["tile_px"])
    _keep("line.start", by=allowed("admin"), runs=now.setup.camera is not None, tile_px=tile_px)
    if joins:
        jobs.request_retraining(
            opened.database, opened.settings.redis, by=allowed("admin"), parameters={},
            reason=f"new style {now.setup.style}",
        )  # fmt: skip


def stop_line() -> None:
    """Nothing is inspected from now on."""
    _keep("line.stop", by=allowed("admin"), runs=False)
