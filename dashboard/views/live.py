"""Live: what the cameras see at this moment, and whether everything that should run does."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from dashboard import alarm_list, charts, data, latest_defects, pictures, shell, words
from dashboard.data import LiveView
from inspection.states import CameraState
from inspection.types import Roll
from storage.live import LiveCamera, LiveIngest, LiveWorker, ServiceState
from storage.reads.cameras import CameraFigures
from storage.reads.gap_words import reason_in_words, warning_in_words

SILENT_S = 10.0  # a camera that should run and delivers nothing for so long is silent
TALL_PX = 330  # a frame longer than wide is not shown taller
LATEST_DEFECTS = 6
SERVICES = {  # kind -> name, and the states in which all is well, in words
    "worker": ("Inspection", {"running": "on"}),
    "trainer": ("Training", {"waiting": "ready", "training": "at work"}),
    "alarms": ("Alarms", {"watching": "on", "standing by": "on standby"}),
}


def show_page() -> None:
    """The live part, redrawn in place."""
    with shell.told():
        view, cameras = data.live_view(), data.cameras()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.title("Live", anchor=False)
            show_services(view, cameras)
        show_warnings(view, cameras)
        alarm_list.show_alarms()
        if not cameras:
            show_nothing_yet()
            return
        for roll in data.running_rolls():
            show_roll(roll)
        with st.grid(2 if len(cameras) <= 4 else 3, min_column_width=400):
            for figures in cameras:
                with st.container(border=True):
                    show_camera(figures, view.cameras.get(figures.camera))
                    show_capture(view.ingest_of(figures.camera))
        show_workers(view.workers)
        latest_defects.show_latest_defects(LATEST_DEFECTS)


def show_services(view: LiveView, cameras: list[CameraFigures]) -> None:
    """A word on each service: on, waiting, or in trouble."""
    delivering = sum(not is_silent(camera) and not camera.ended for camera in cameras)
    expected = sum(not camera.ended for camera in cameras)
    if expected:
        good = delivering == expected
        st.badge(
            f"Cameras {delivering} of {expected}",
            icon=":material/videocam:" if good else ":material/videocam_off:",
            color="green" if good else "orange",
        )
    elif cameras:
        st.badge("Cameras finished", icon=":material/videocam_off:", color="gray")
    if view.problem:
        st.badge("Live figures away", icon=":material/cloud_off:", color="orange")
        return
    for kind in SERVICES:
        show_service(kind, [service for service in view.services if service.kind == kind])


def show_service(kind: str, services: list[ServiceState]) -> None:
    name, well = SERVICES[kind]
    troubled = [service for service in services if service.state not in well]
    if not services:
        st.badge(f"{name} is off", icon=":material/power_off:", color="gray")
    elif troubled:
        st.badge(f"{name}: {troubled[0].state}", icon=":material/warning:", color="orange")
    else:
        number = f" × {len(services)}" if len(services) > 1 else ""
        st.badge(f"{name} {well[services[0].state]}{number}", icon=":material/check_circle:", color="green")


def show_warnings(view: LiveView, cameras: list[CameraFigures]) -> None:
    """What somebody should look after, most urgent first."""
    if data.running_model() is None:
        st.warning(
            "**No model is in charge, so no cloth is inspected.** Choose one on the page Models and promote it.",
            icon=":material/model_training:",
        )
    if view.problem:
        st.warning(
            "**Live pictures and service states are away.** Below is what the database knows. "
            + words.plain(view.problem),
            icon=":material/cloud_off:",
        )
    elif data.running_model() is not None and not any(service.kind == "worker" for service in view.services):
        st.warning(
            "**No inspection process answers.** Cloth waits to be inspected: start a worker (loomwatch worker).",
            icon=":material/power_off:",
        )
    for service in view.services:
        if service.state == "problem" and service.detail and data.running_model() is not None:
            st.warning(
                f"**{words.plain(service.name)}:** {words.plain(service.detail)}. "
                "It goes on with the model it had; roll back or promote another one on the page Models.",
                icon=":material/error:",
            )
    silent = [camera for camera in cameras if is_silent(camera) and not camera.ended]
    if silent:
        names = ", ".join(
            f"{words.plain(camera.camera)} for {words.duration(shell.seconds_since(camera.heard_at))}"
            for camera in silent
        )
        st.warning(
            f"**{'Camera' if len(silent) == 1 else 'Cameras'} silent: {names}.** "
            "Is the line standing, the camera connected and the ingest service running?",
            icon=":material/videocam_off:",
        )
    for camera in cameras:
        if camera.warnings and not camera.ended:
            told = "; ".join(words.plain(warning_in_words(warning)) for warning in camera.warnings)
            st.warning(f"**Camera {words.plain(camera.camera)}:** {told}.", icon=":material/camera:")


def is_silent(camera: CameraFigures) -> bool:
    return shell.seconds_since(camera.heard_at) > SILENT_S


def show_nothing_yet() -> None:
    st.info(
        "**No camera has delivered anything yet.** Start the cameras (loomwatch ingest, or loomwatch demo to try it "
        "with simulated cloth). They appear here by themselves.",
        icon=":material/videocam:",
    )


def show_roll(roll: Roll) -> None:
    """The roll that is being woven, in a line."""
    figures = data.roll_summary(roll)
    name = "Cloth without a roll" if roll.automatic else f"Roll {words.plain(roll.name)}"
    open_defects = figures.by_state["unreviewed"]
    facts = [
        f"**{words.metres(figures.length_mm)}**",
        f"{words.percent(figures.coverage)} inspected" if figures.cameras else "nothing captured yet",
        words.count(figures.defects, "defect") + (f", {open_defects} to review" if open_defects else ""),
        f"since {shell.clock(roll.opened_at)}",
    ]
    with st.container(border=True, horizontal=True, vertical_alignment="center", wrap=False):
        style = f" · {words.plain(roll.style)}" if roll.style else ""
        st.markdown(f":material/straighten: **{name}**{style}  \n{' · '.join(facts)}", width="stretch")
        if st.button("Roll map", key=f"roll.{roll.id}", icon=":material/map:"):
            st.switch_page("views/roll.py", query_params={"roll": str(roll.id)})
        if st.button(
            "Review defects", key=f"review.{roll.id}", icon=":material/fact_check:", disabled=not open_defects
        ):
            st.switch_page("views/review.py", query_params={"roll": str(roll.id)})


def show_camera(figures: CameraFigures, live: LiveCamera | None) -> None:
    """One camera: its last frame with the heat, its figures, and its score against the limit."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(words.plain(figures.camera), anchor=False, width="content")
        show_camera_state(figures)
    if live is None:
        st.info("No live picture at the moment.", icon=":material/image_not_supported:")
    else:
        show_overlay(live)
    speed = live.speed_m_min if live else figures.speed_m_min
    latency = live.latency_ms if live else figures.latency_ms
    with st.grid(4, min_column_width=140):
        st.metric("Speed", f"{speed:.1f} m/min")
        st.metric("Delay", words.milliseconds(latency), help="From the camera's shot until the result was stored")
        st.metric(
            "Inspected",
            words.percent(figures.coverage) if figures.inspected_mm + figures.gap_mm > 0 else "–",
            help="Share of the cloth of the last 10 minutes; the rest is recorded as not inspected, with its reason",
        )
        st.metric("Position", words.metres(figures.position_mm), help="On this camera's counter")
    if figures.gap_reason:
        st.caption(
            f":orange[:material/warning:] {words.metres(figures.gap_mm)} of the last 10 minutes not inspected, last "
            f"because {words.plain(reason_in_words(figures.gap_reason))}"
        )
    trend = data.score_trend(figures.line, figures.camera)
    if len(trend):
        st.vega_lite_chart(
            *charts.score_trend(trend),
            key=f"trend.{figures.camera}",
            alt=f"Highest score of the last {len(trend)} frames of {figures.camera} against the limit",
        )
        ratio = figures.score / figures.threshold if figures.threshold > 0 else 0.0
        style = f" · compared with style {words.plain(figures.style)}" if figures.style else ""
        st.caption(
            f"Last {len(trend)} frames: now **{words.strength(ratio)}** (score {figures.score:.3f}, "
            f"limit {figures.threshold:.3f}){style} · model {words.plain(figures.model)}"
        )


def show_capture(found: tuple[LiveIngest, CameraState] | None) -> None:
    """How the camera's capture is doing, in a line: what it gives, what waits for inspection, what was lost."""
    if found is None:
        return
    ingest, camera = found
    state = ingest.state
    facts = [
        f"{camera.frames_per_s:.1f} frames/s",
        f"{camera.pixels_per_s / 1e6:.1f} Mpx/s",
        f"{camera.waiting} waiting",
        f"spool {state.spool_share:.0%} full",
        f"credit {state.credit}",
        words.count(sum(camera.gaps.values()), "gap"),
        f"{camera.dropped} dropped",
        words.count(camera.reconnects, "reconnect"),
    ]
    age_s = datetime.now(UTC).timestamp() - ingest.at_ns / 1e9
    if age_s > SILENT_S:
        facts = [f"last heard of its capture {words.duration(age_s)} ago", *facts]
    elif camera.state == "away":
        facts = [":orange[:material/videocam_off: **away, being opened again**]", *facts]
    st.caption(" · ".join(facts), help="Counts since the ingest process started; rates of the last ten seconds")


def show_workers(workers: tuple[LiveWorker, ...]) -> None:
    """Which process inspects with which model, and how fast."""
    if not workers:
        return
    st.subheader("Inspection processes", anchor=False)
    table = pd.DataFrame(
        [
            {
                "Process": worker.name,
                "State": worker.state,
                "Model": worker.model,
                "Runtime": worker.runtime,
                "Frames/s": worker.frames_per_s,
                "Tiles/s": worker.tiles_per_s,
                "Delay, ms": worker.latency_p50_ms,
                "Delay of 95 %, ms": worker.latency_p95_ms,
                "Scoring, ms": worker.score_ms,
                "Ingestors": worker.ingestors,
            }
            for worker in workers
        ]
    )
    whole = st.column_config.NumberColumn(format="%.0f")
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "Frames/s": st.column_config.NumberColumn(format="%.2f"),
            **dict.fromkeys(("Tiles/s", "Delay, ms", "Delay of 95 %, ms", "Scoring, ms"), whole),
        },
    )


def show_camera_state(figures: CameraFigures) -> None:
    if figures.ended:
        st.badge("Finished", icon=":material/flag:", color="gray")
    elif is_silent(figures):
        st.badge(
            f"Silent for {words.duration(shell.seconds_since(figures.heard_at))}",
            icon=":material/videocam_off:",
            color="orange",
        )
    else:
        st.badge("Running", icon=":material/play_circle:", color="green")


def show_overlay(live: LiveCamera) -> None:
    height, width = pictures.shape_of(live.overlay_jpeg)
    age_s = datetime.now(UTC).timestamp() - live.at_ns / 1e9
    st.image(
        live.overlay_jpeg,
        width="stretch" if height <= 0.6 * width else max(120, round(TALL_PX * width / height)),
        alt=f"Last frame of camera {live.camera}, suspicious places coloured",
    )
    if age_s > SILENT_S:
        st.caption(f"Picture of {words.duration(age_s)} ago")


with shell.page("Live"):
    st.fragment(show_page, run_every=data.refresh_s())()
