"""The camera of the page Set up: which kind, where it is, and a picture that shows whether it works."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import streamlit as st

from dashboard import setup_data, shell, words
from dashboard.language import _, figure
from dashboard.setup_data import Picture, SetUp
from dashboard.stored_sentences import told
from dashboard.units import units
from inspection.endpoints import without_password
from inspection.errors import LoomwatchError
from inspection.language import N_
from inspection.pictures import VIDEO_SUFFIXES
from inspection.settings import CameraSettings

KINDS = {
    "folder": (N_("Folder"), ":material/folder:"),
    "video": (N_("Video file"), ":material/movie:"),
    "rtsp": (N_("Network camera"), ":material/lan:"),
    "basler": (N_("Basler camera"), ":material/photo_camera:"),
    "sim": (N_("Simulated"), ":material/science:"),
}
EXPLAINED = {
    "folder": N_("Another program writes pictures into it; each new one is inspected, in the order of their names."),
    "video": N_("A recording, inspected once from beginning to end: to try loomwatch on your own cloth."),
    "rtsp": N_("A camera with an RTSP stream. Good for a first look; fine defects want an industrial camera."),
    "basler": N_("An area or line-scan camera by Basler, through its own driver (pylon)."),
    "sim": N_("No camera at all: cloth is drawn yarn by yarn, with a defect now and then. To get to know loomwatch."),
}
SIM_STYLES = ("plain", "twill", "plaid", "denim", "herringbone")
DARK, BRIGHT = 30.0, 235.0  # mean levels from which on a picture is hardly worth inspecting
SEEN_KEY = "setup.seen"  # (what was tried, its picture or why there is none)


def show_camera(now: SetUp, *, after: Callable[[], None]) -> None:
    """after: what follows a camera that was saved."""
    saved = now.setup.camera
    kind = choose_kind(saved)
    with st.grid(2, min_column_width=420):
        with st.container():
            st.caption(_(EXPLAINED[kind]))
            wanted = ask(kind, saved, now)
            show_acts(wanted, after=after)
        with st.container():
            seen = of(wanted)
            if isinstance(seen, Picture):
                show_picture(seen, tile_px=now.setup.tile_px)
            elif seen:
                st.error(_("**No picture.** {why}.", why=words.plain(told(seen))), icon=":material/videocam_off:")


def show_acts(wanted: Mapping[str, Any], *, after: Callable[[], None]) -> None:
    """Saving comes after somebody has seen a picture, or that there is none."""
    with st.container(horizontal=True):
        untried = "primary" if of(wanted) is None else "secondary"
        if shell.act_button(
            _("Take a test picture"), least="admin", type=untried, icon=":material/camera:", key="setup.look"
        ):
            try_out(wanted)
        seen = of(wanted)
        works = isinstance(seen, Picture)
        if (
            seen is not None
            and shell.act_button(
                _("Save camera") if works else _("Save without a picture"),
                least="admin", type="primary" if works else "secondary", icon=":material/check:",
                key="setup.camera.save",
            )
            and attempt(lambda: setup_data.save_camera(wanted))
        ):  # fmt: skip
            st.session_state.pop(SEEN_KEY, None)
            after()


def choose_kind(saved: CameraSettings | None) -> str:
    kinds = list(KINDS)
    chosen = st.segmented_control(
        _("Kind of camera"),
        kinds,
        default=kind_of(saved.source) if saved is not None else "folder",
        required=True,
        format_func=lambda kind: KINDS[kind][1] + " " + _(KINDS[kind][0]),
        key="setup.kind",
    )
    return chosen or "folder"


def kind_of(source: str) -> str:
    for kind in ("sim", "basler", "rtsp"):
        if source.startswith(kind):
            return kind
    return "video" if source.lower().endswith(tuple(VIDEO_SUFFIXES)) else "folder"


def ask(kind: str, saved: CameraSettings | None, now: SetUp) -> dict[str, Any]:
    """A camera's settings as the form has them; what it does not show is kept where the kind is the same."""
    same = saved if saved is not None and kind_of(saved.source) == kind else None
    wanted: dict[str, Any] = same.model_dump() if same is not None else {}
    left, right = st.columns(2)
    wanted["name"] = left.text_input(
        _("Name of the camera"), saved.name if saved is not None else "camera-1", max_chars=64, key="setup.camera.name",
        help=_("Letters a to z, digits, '_', '-' and '.'"),
    )  # fmt: skip
    scale = saved.mm_per_px if saved is not None else float(now.running.manifest["mm_per_px"]) if now.running else 0.2
    wanted["mm_per_px"] = right.number_input(
        _("Millimetres a pixel"), 0.001, 99.0, scale, step=0.01, format="%.3f", key="setup.camera.scale",
        help=_("How much cloth one pixel shows: its width in mm by its width in pixels. The test picture tells."),
    )  # fmt: skip
    wanted["follow"] = kind == "folder"
    wanted["source"] = ASK[kind](same)
    if kind in ("basler", "sim"):
        wanted["frame_lines"] = st.number_input(
            _("Lines in a frame"), 16, 16384, same.frame_lines if same is not None else 1024, key="setup.camera.lines",
            help=_("A line-scan camera's picture is cut after so many lines; two tiles' lines or more."),
        )  # fmt: skip
    return wanted


def ask_folder(saved: CameraSettings | None) -> str:
    return st.text_input(
        _("Folder on this server"), saved.source if saved else "", placeholder="/frames/left", key="setup.folder"
    ).strip()


def ask_video(saved: CameraSettings | None) -> str:
    return st.text_input(
        _("Video file on this server"), saved.source if saved else "", placeholder="/videos/roll.mp4", key="setup.video"
    ).strip()


def ask_rtsp(saved: CameraSettings | None) -> str:
    """Who signs in at the camera is asked for by itself: an address with a password in it would stand open."""
    parts = urlsplit(saved.source) if saved is not None else None
    host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts is not None else ""
    if parts is not None and parts.query:
        host += f"?{parts.query}"
    address = st.text_input(_("Address"), host, placeholder="rtsp://10.0.0.20/stream1", key="setup.rtsp").strip()
    left, right = st.columns(2)
    user = left.text_input(_("User at the camera"), (parts and parts.username) or "", key="setup.rtsp.user").strip()
    password = right.text_input(
        _("Password there"), type="password", key="setup.rtsp.password", autocomplete="off",
        help=_("Empty: as it was saved. It is kept in a file that only loomwatch reads, and is never shown."),
    )  # fmt: skip
    scheme, mark, rest = address.partition("://")
    if not mark:
        scheme, rest = "rtsp", address
    if not user:
        return f"{scheme}://{rest}"
    asked = f"{scheme}://{quote(user, safe='')}:***@{rest}"
    if not password and saved is not None and without_password(saved.source) == asked:
        return saved.source
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def ask_basler(saved: CameraSettings | None) -> str:
    name = st.text_input(
        _("Serial number, or the camera's own name"), saved.source.removeprefix("basler://") if saved else "",
        key="setup.basler", help=_("Empty: the only one that is connected."),
    )  # fmt: skip
    return f"basler://{name.strip()}"


def ask_sim(saved: CameraSettings | None) -> str:
    parts = urlsplit(saved.source) if saved is not None else None
    cloth = parts.netloc if parts is not None and parts.netloc in SIM_STYLES else SIM_STYLES[0]
    told_speed = parse_qs(parts.query).get("speed_m_min", ["6"])[0] if parts is not None else "6"
    speed = min(max(float(told_speed), 0.5), 60.0)
    left, right = st.columns(2)
    chosen = left.selectbox(_("Cloth"), SIM_STYLES, index=SIM_STYLES.index(cloth), key="setup.sim")
    own = units()
    shown = right.number_input(
        _("Speed, {unit}/min", unit=own.long),
        0.5,
        round(own.along(60_000), 1),
        round(own.along(speed * 1000), 1),
        step=0.5,
        format="%.1f",
        key=f"setup.sim.speed.{own.long}",
    )
    return f"sim://{chosen}?seed=7&speed_m_min={own.metres(shown):.4g}"


ASK: dict[str, Callable[[CameraSettings | None], str]] = {
    "folder": ask_folder,
    "video": ask_video,
    "rtsp": ask_rtsp,
    "basler": ask_basler,
    "sim": ask_sim,
}


def try_out(wanted: Mapping[str, Any]) -> None:
    seen: Picture | str
    with st.spinner(_("The camera is opened, and its next picture taken …")):
        try:
            seen = setup_data.look(wanted)
        except LoomwatchError as error:
            seen = str(error)
    st.session_state[SEEN_KEY] = (dict(wanted), seen)


def of(wanted: Mapping[str, Any]) -> Picture | str | None:
    """What was seen with just these settings; None when nobody has tried them."""
    tried, seen = st.session_state.get(SEEN_KEY, ({}, None))
    return seen if tried == wanted else None


def show_picture(seen: Picture, *, tile_px: int) -> None:
    size = f"{figure(seen.width_px, ',')} × {figure(seen.height_px, ',')} px"
    if seen.fabric is None:
        st.warning(
            _(
                "**The camera works, but no cloth was found in its picture** ({size}). Does it look at the cloth, and "
                "does the cloth stand out from what lies beside it?",
                size=size,
            ),
            icon=":material/help:",
        )
    else:
        wide_px = seen.fabric[1] - seen.fabric[0]
        wide = words.millimetres(wide_px * seen.camera.mm_per_px)
        st.success(
            _(
                "**The camera works.** {size}; cloth between the two lines, {wide} wide. Is that its true width? "
                "If not, correct the millimetres a pixel.",
                size=size,
                wide=wide,
            ),
            icon=":material/check_circle:",
        )
        if min(wide_px, seen.height_px) < tile_px:
            st.warning(
                _(
                    "The cloth in the picture is smaller than a tile of {tile} px, the least that is inspected: take a "
                    "larger picture, more lines, or go nearer.",
                    tile=tile_px,
                ),
                icon=":material/crop_free:",
            )
        if not DARK <= seen.level <= BRIGHT:
            st.warning(
                _("The picture is very dark or very bright: see to the light first."), icon=":material/brightness_6:"
            )
    st.image(seen.jpeg, width="stretch", alt=_("Test picture of camera {camera}", camera=seen.camera.name))


def attempt(act: Callable[[], object]) -> bool:
    """Does it; what is refused is said, and the page stays."""
    try:
        act()
    except LoomwatchError as error:
        st.error(words.plain(told(str(error))), icon=":material/error:")
        return False
    return True


def in_words(camera: CameraSettings) -> str:
    """Name and kind, and where, without a password."""
    kind = _(KINDS[kind_of(camera.source)][0])
    return " · ".join((words.plain(camera.name), kind, words.plain(without_password(camera.source))))
