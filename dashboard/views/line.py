"""Line: the wall screen. The cloth as it runs, the roll as it grows, and what needs somebody, legible from afar."""

import streamlit as st

from dashboard import alarm_list, charts, data, language, roll_charts, shell, stored_words, words
from dashboard.drawn_once import drawn_once
from dashboard.language import _, figure, ngettext
from dashboard.latest_defects import draw_latest_defects
from dashboard.on_map import said_on_map
from dashboard.stored_words import said
from dashboard.units import units
from inspection.types import Roll
from storage.reads.cameras import CameraFigures
from storage.reads.gap_words import merge_gaps, reason_in_words

SILENT_S = 10.0
STRIP_HEIGHT_PX = 460  # the map beneath it still fits on a wall screen
STRIP_WIDTHS_PX = {1: 860, 2: 420}  # one camera, two cameras; more share the same room
STRIP_ROOM_PX = 900
LATEST_DEFECTS = 4
ALARMS = 4


def show_page() -> None:
    """One line of the plant, the address says which."""
    lines = sorted({camera.line for camera in data.cameras()})
    if not lines:
        st.title(_("Line"), anchor=False)
        st.fragment(show_nothing_yet, run_every=data.refresh_s())()
        return
    line = (
        shell.select(_("Line"), "line", {name: name for name in lines}, page="line", width=320, bare=True)
        if len(lines) > 1
        else lines[0]
    )
    st.fragment(show_line, run_every=data.refresh_s())(line)


def show_line(line: str) -> None:
    """All of the screen, as one part that is redrawn in place: what a part costs beside its content comes once."""
    with shell.told():
        with st.container(horizontal=True, vertical_alignment="center"):
            draw_state(line)
        left, right = st.columns([3, 2], gap="medium")
        with left:
            draw_cloth(line)
        with right:
            draw_roll(line)
            alarms = alarm_list.show_alarms(line=line, limit=ALARMS)
            if not alarms:
                st.success(_("No alarm is open."), icon=":material/notifications_off:")
            draw_latest_defects(LATEST_DEFECTS if alarms < 2 else 2, line=line, across=2)


def show_nothing_yet() -> None:
    """Until the first camera delivers."""
    with shell.told():
        if data.cameras():
            st.rerun()
        st.info(
            _(
                "**No camera has delivered anything yet.** Start the cameras (loomwatch ingest, or "
                "loomwatch demo to try it with simulated cloth). They appear here by themselves."
            ),
            icon=":material/videocam:",
        )


@drawn_once()
def draw_state(line: str) -> None:
    """Its name, and whether everything that belongs to it runs."""
    st.title(words.plain(line), anchor=False, width="content")
    running = [camera for camera in of_line(line) if not camera.ended]
    silent = [camera for camera in running if is_silent(camera)]
    if silent:
        names = ", ".join(words.plain(camera.camera) for camera in silent)
        st.badge(_("Silent: {names}", names=names), icon=":material/videocam_off:", color="orange")
    elif running:
        st.badge(_("Running"), icon=":material/play_circle:", color="green")
    else:
        st.badge(_("Finished"), icon=":material/flag:", color="gray")
    if data.live_view().problem:
        st.badge(_("Live pictures away"), icon=":material/cloud_off:", color="orange")
    if data.running_model() is None:
        st.badge(_("No model in charge: no cloth is inspected"), icon=":material/model_training:", color="red")


@drawn_once()
def draw_cloth(line: str) -> None:
    """Each camera's cloth, as they hang side by side, and the running roll's map as it grows."""
    cameras = of_line(line)
    width_px = STRIP_WIDTHS_PX.get(len(cameras), max(160, STRIP_ROOM_PX // max(1, len(cameras))))
    for column, camera in zip(st.columns(max(1, len(cameras)), gap="small"), cameras, strict=False):
        with column:
            draw_strip(camera, width_px)
    if roll := roll_of(line):
        draw_map(roll)


def draw_strip(camera: CameraFigures, width_px: int) -> None:
    picture = data.running_cloth(camera.line, camera.camera, width_px, STRIP_HEIGHT_PX, units(), language.language())
    if picture is None:
        st.info(
            _(
                "**{camera}:** no cloth to show at the moment. It appears with the next frame that is inspected.",
                camera=words.plain(camera.camera),
            ),
            icon=":material/image_not_supported:",
        )
    else:
        st.image(
            picture,
            width="stretch",
            alt=_("Cloth of camera {camera}, suspicious places coloured", camera=camera.camera),
        )
    facts = [words.plain(camera.camera), words.metres(camera.position_mm)]
    if is_silent(camera) and not camera.ended:
        facts.append(_(":orange[silent for {duration}]", duration=words.duration(shell.seconds_since(camera.heard_at))))
    elif camera.gap_reason:
        facts.append(
            _(":orange[not inspected: {reason}]", reason=words.plain(said(reason_in_words(camera.gap_reason))))
        )
    st.caption(" · ".join(facts))


@drawn_once()
def draw_roll(line: str) -> None:
    """Speed, and the running roll's length, coverage, points and defects."""
    roll = roll_of(line)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(name_of(roll), anchor=False, width="stretch")
        if roll is not None:
            shell.way_to("views/roll.py", _("Roll"), icon=":material/map:", roll=str(roll.id))
    live = [camera for camera in data.live_view().cameras.values() if camera.line == line]
    with st.grid(3, min_column_width=140):
        speed = words.speed(max(camera.speed_m_min for camera in live)) if live else "–"
        st.metric(_("Speed"), speed, border=True)
        if roll is None:
            return
        figures, grade = data.roll_summary(roll), data.roll_grade(roll)
        captured = figures.captured_mm > 0
        st.metric(_("Length"), words.metres(figures.length_mm), border=True)
        st.metric(_("Coverage"), words.percent(figures.coverage) if captured else "–", border=True)
        st.metric(_("Defects"), figure(figures.defects, ","), border=True, help=_("Found, without the false alarms"))
        st.metric(_("Points so far"), figure(grade.points.total, "g"), border=True)
        rate, measure = words.rate(grade.rate, grade.measure)
        st.metric(
            _("Points per {measure}", measure=measure), rate, border=True, help=stored_words.sentence(grade.grade)
        )


@drawn_once(kept_s=data.GROWING_S)
def draw_map(roll: Roll) -> None:
    drawn = data.roll_map(roll)
    if not drawn.summary.cameras:
        return
    defects = said_on_map(drawn.defects)
    gaps = merge_gaps(drawn.gaps)
    for group in charts.lanes(drawn.summary):
        names = [camera.camera for camera in group]
        st.vega_lite_chart(
            roll_charts.strip(
                drawn.summary,
                defects[defects["camera"].isin(names)],
                gaps[gaps["camera"].isin(names)],
                None,
                cameras=group,
                from_m=None,
            ),
            key=f"line.map.{'.'.join(names)}",
            alt=_(
                "Map of the roll: {defects}, {gaps}",
                defects=ngettext("{number} defect", "{number} defects", len(defects)),
                gaps=ngettext("{number} gap", "{number} gaps", len(gaps)),
            ),
        )


def of_line(line: str) -> list[CameraFigures]:
    """Its cameras, as they hang from left to right, by name where nobody knows."""
    return sorted((camera for camera in data.cameras() if camera.line == line), key=lambda camera: camera.camera)


def roll_of(line: str) -> Roll | None:
    return next((roll for roll in data.running_rolls() if roll.line == line), None)


def name_of(roll: Roll | None) -> str:
    if roll is None:
        return _("No roll is running")
    name = _("Cloth without a roll") if roll.automatic else _("Roll {name}", name=words.plain(roll.name))
    return f"{name} · {words.plain(roll.style)}" if roll.style else name


def is_silent(camera: CameraFigures) -> bool:
    return shell.seconds_since(camera.heard_at) > SILENT_S


with shell.page(_("Line")):
    show_page()
