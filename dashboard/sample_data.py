"""What the page Samples asks and does. An act takes the name it is done in from `allowed`, as in `data`."""

import io
from collections.abc import Collection

import streamlit as st
from PIL import Image

from dashboard import data
from dashboard.signed_in import allowed
from dashboard.stores import store
from inspection.errors import StorageError
from inspection.language import N_
from storage import confirmed_defects, sample_captures, sample_parts, sample_upload, samples, sensitivity
from storage import past_frames as past
from storage.confirmed_defects import KeptDefect
from storage.past_frames import PastFrame
from storage.reads import defects as defect_reads
from storage.reads import replay
from storage.reads.defects import DefectItem
from storage.reads.replay import LastCloth
from storage.sample_captures import SampleCapture
from storage.samples import Decided, Sample, SampleFilter, SampleState
from storage.sensitivity import Sensitivity

SOURCES = {  # where a sample came from
    "golden": N_("given as normal"),
    "upload": N_("uploaded"),
    "roll": N_("golden roll"),
    "frame": N_("a frame chosen"),
    "past": N_("a past frame chosen"),
    "part": N_("a part chosen"),
    "review": N_("false alarm"),
    "reservoir": N_("by chance"),
}

THUMBNAIL_PX = 180
PART_PX = 1200


@st.cache_data(ttl=2, show_spinner=False)
def counts() -> dict[str, dict[str, int]]:
    return samples.count_samples(store().database)


@st.cache_data(ttl=2, show_spinner=False)
def page_of(wanted: SampleFilter, limit: int, offset: int) -> tuple[list[Sample], int]:
    return samples.page_of_samples(store().database, wanted, limit=limit, offset=offset)


@st.cache_data(ttl=2, show_spinner=False)
def held_for(style: str) -> dict[str, int]:
    """Why samples are held: code -> number."""
    wanted = SampleFilter(style=style, state="held")
    return samples.count_reasons(samples.list_samples(store().database, wanted=wanted))


@st.cache_data(ttl=1, show_spinner=False)
def captures() -> list[SampleCapture]:
    return sample_captures.list_captures(store().database, limit=5)


@st.cache_data(max_entries=500, show_spinner=False)
def thumbnail(key: str) -> bytes | None:
    """The middle of a sample as a square JPEG; None when its picture is gone or damaged."""
    found = data.picture(key)
    if found is None:
        return None
    try:
        with Image.open(io.BytesIO(found)) as picture:
            side = min(picture.size)
            left, top = (picture.width - side) // 2, (picture.height - side) // 2
            small = picture.convert("RGB").crop((left, top, left + side, top + side))
    except (OSError, SyntaxError, ValueError):
        return None
    out = io.BytesIO()
    small.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS).save(out, "JPEG", quality=85)
    return out.getvalue()


@st.cache_data(max_entries=20, show_spinner=False)
def picture_size(key: str) -> tuple[int, int] | None:
    """(width, height); None when the picture is gone or damaged."""
    found = data.picture(key)
    try:
        return Image.open(io.BytesIO(found)).size if found is not None else None
    except (OSError, SyntaxError, ValueError):
        return None


@st.cache_data(max_entries=50, show_spinner=False)
def part_shown(key: str, box_px: tuple[int, int, int, int]) -> bytes | None:
    """A sample's picture as JPEG, dark where it is outside left, right, top, bottom; None as above."""
    found = data.picture(key)
    left, right, top, bottom = box_px
    try:
        with Image.open(io.BytesIO(found or b"")) as picture:
            whole = picture.convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None
    shown = whole.point(lambda value: value * 0.35)
    shown.paste(whole.crop((left, top, right, bottom)), (left, top))
    shown.thumbnail((PART_PX, PART_PX))
    out = io.BytesIO()
    shown.save(out, "JPEG", quality=85)
    return out.getvalue()


@st.cache_data(ttl=10, show_spinner=False)
def sensitivities() -> list[Sensitivity]:
    return sensitivity.sensitivities(store().database)


@st.cache_data(ttl=60, show_spinner=False)
def last_cloth(style: str, model: str) -> LastCloth:
    return replay.last_cloth(store().database, style, model=model)


@st.cache_data(ttl=60, show_spinner=False)
def defects_of(ids: tuple[int, ...]) -> list[DefectItem]:
    with store().database.reading() as session:
        return defect_reads.items_of(session, ids)


@st.cache_data(ttl=2, show_spinner=False)
def kept_styles() -> list[str]:
    return confirmed_defects.kept_styles(store().database)


@st.cache_data(ttl=2, show_spinner=False)
def kept_defects(style: str, limit: int, offset: int) -> tuple[list[KeptDefect], int]:
    """Confirmed defects whose roll was pruned."""
    return confirmed_defects.list_kept(store().database, style=style, limit=limit, offset=offset)


def take_out(ids: Collection[int], reason: str) -> None:
    """Takes confirmed defects of pruned rolls out of the regression set."""
    opened = store()
    confirmed_defects.take_out(opened.database, opened.pictures, ids, by=allowed("quality"), reason=reason)
    data.forget_reads()


def decide(ids: Collection[int], state: SampleState, reason: str = "") -> Decided:
    """Accepts, refuses or holds samples."""
    done = samples.decide_samples(store().database, ids, state=state, by=allowed("quality"), reason=reason)
    data.forget_reads()
    return done


def move(ids: Collection[int], style: str) -> int:
    """Puts samples under another style."""
    moved = samples.move_samples(store().database, ids, style=style, by=allowed("quality"))
    data.forget_reads()
    return moved


def add_part(sample_id: int, box_px: tuple[int, int, int, int]) -> Sample:
    """A part of a sample, left, right, top, bottom, instead of the whole."""
    opened = store()
    found = sample_parts.add_part(opened.database, opened.pictures, sample_id, box_px=box_px, by=allowed("quality"))
    data.forget_reads()
    return found


@st.cache_data(ttl=10, show_spinner=False)
def past_frames(camera: str) -> list[PastFrame]:
    return past.past_frames(store().pictures, camera)


def take_past_frame(frame: PastFrame, box_px: tuple[int, int, int, int], *, style: str, why: str) -> Sample:
    """A past frame, or a part of it, left, right, top, bottom."""
    opened = store()
    found = past.take_past_frame(
        opened.database, opened.pictures, frame, style=style, by=allowed("quality"), box_px=box_px, why=why
    )
    data.forget_reads()
    return found


def start_capture(camera: str, style: str, metres: int) -> SampleCapture:
    """A golden roll; 0 metres: the next frame."""
    found = sample_captures.start_capture(
        store().database, camera=camera, style=style, metres=metres, by=allowed("quality")
    )
    data.forget_reads()
    return found


def stop_capture(capture_id: int) -> None:
    sample_captures.stop_capture(store().database, capture_id, by=allowed("quality"))
    data.forget_reads()


def upload(name: str, content: bytes, *, style: str, mm_per_px: float) -> Sample:
    """One picture file. Raises `StorageError` for what is no sample."""
    opened = store()
    if not style.strip():
        raise StorageError("a sample needs the name of its style")
    found = sample_upload.upload_sample(
        opened.database,
        opened.pictures,
        data=content,
        name=name,
        style=style,
        mm_per_px=mm_per_px,
        why="",
        by=allowed("quality"),
    )
    data.forget_reads()
    return found


def set_sensitivity(style: str, factor: float, per_100m: float | None, metres: float, reason: str) -> None:
    sensitivity.set_sensitivity(
        store().database, style, factor=factor, per_100m=per_100m, metres=metres, reason=reason, by=allowed("quality")
    )
    data.forget_reads()
