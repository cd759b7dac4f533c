"""Live: what the cameras see at this moment, and whether everything that should run does."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from dashboard import alarm_list, charts, data, pictures, shell, words
from dashboard.data import LiveView
from dashboard.language import _, figure, ngettext
from dashboard.latest_defects import draw_latest_defects
from dashboard.stored_sentences import told
from dashboard.stored_words import said
from inspection.states import CameraState
from inspection.types import Roll
from storage.live import LiveCamera, LiveIngest, LiveWorker, ServiceState
from storage.reads.cameras import CameraFigures
from storage.reads.gap_words import reason_in_words, warning_in_words

SILENT_S = 10.0  # a camera that should run and delivers nothing for so long is silent
TALL_PX = 330  # a frame longer than wide is not shown taller
LATEST_DEFECTS = 6
SERVICES = {  # kind -> name, and the states in which all is well, in words
    "worker": (_("Inspection"), {"running": _("on")}),
    "trainer": (_("Training"), {"waiting": _("ready"), "training": _("at work")}),
    "alarms": (_("Alarms"), {"watching": _("on"), "standing by": _("on standby")}),
}


def show_page() -> None:
    """The live part, redrawn in place."""
    with shell.told():
        view, cameras = data.live_view(), data.cameras()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.title(_("Live"), anchor=False)
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
        draw_latest_defects(LATEST_DEFECTS)


def show_services(view: LiveView, cameras: list[CameraFigures]) -> None:
    """A word on each service: on, waiting, or in trouble."""
    delivering = sum(not is_silent(camera) and not camera.ended for camera in cameras)
    expected = sum(not camera.ended for camera in cameras)
    if expected:
        good = delivering == expected
        st.badge(
            _("Cameras {delivering} of {expected}", delivering=delivering, expected=expected),
            icon=":material/videocam:" if good else ":material/videocam_off:",
            color="green" if good else "orange",
        )
    elif cameras:
        st.badge(_("Cameras finished"), icon=":material/videocam_off:", color="gray")
    if view.problem:
        st.badge(_("Live figures away"), icon=":material/cloud_off:", color="orange")
        return
    for kind in SERVICES:
        show_service(kind, [service for service in view.services if service.kind == kind])


def show_service(kind: str, services: list[ServiceState]) -> None:
    name, well = SERVICES[kind]
    troubled = [service for service in services if service.state not in well]
    if not services:
        st.badge(_("{name} is off", name=name), icon=":material/power_off:", color="gray")
    elif troubled:
        st.badge(f"{name}: {said(troubled[0].state)}", icon=":material/warning:", color="orange")
    else:
        number = f" × {len(services)}" if len(services) > 1 else ""
        st.badge(f"{name} {well[services[0].state]}{number}", icon=":material/check_circle:", color="green")


def show_warnings(view: LiveView, cameras: list[CameraFigures]) -> None:
    """What somebody should look after, most urgent first."""
    if data.running_model() is None:
        st.warning(
            _("**No model is in charge, so no cloth is inspected.** Choose one on the page Models and promote it."),
            icon=":material/model_training:",
        )
    if view.problem:
        st.warning(
            _("**Live pictures and service states are away.** Below is what the database knows. ")
            + words.plain(told(view.problem)),
            icon=":material/cloud_off:",
        )
    elif data.running_model() is not None and not any(service.kind == "worker" for service in view.services):
        st.warning(
            _("**No inspection process answers.** Cloth waits to be inspected: start a worker (loomwatch worker)."),
            icon=":material/power_off:",
        )
    for service in view.services:
        if service.state != "problem" or not service.detail:
            continue
        name, detail = words.plain(service.name), words.plain(told(service.detail))
        if service.kind != "worker":
            st.warning(f"**{name}:** {detail}.", icon=":material/error:")
        elif data.running_model() is not None:
            st.warning(
                _(
                    "**{name}:** {detail}. It goes on with the model it had; roll back or promote "
                    "another one on the page Models.",
                    name=name,
                    detail=detail,
                ),
                icon=":material/error:",
            )
    silent = [camera for camera in cameras if is_silent(camera) and not camera.ended]
    if silent:
        names = ", ".join(
            _(
                "{camera} for {duration}",
                camera=words.plain(camera.camera),
                duration=words.duration(shell.seconds_since(camera.heard_at)),
            )
            for camera in silent
        )
        st.warning(
            _(
                "**{cameras} silent: {names}.** Is the camera connected, and does the ingest service run?",
                cameras=_("Camera") if len(silent) == 1 else _("Cameras"),
                names=names,
            ),
            icon=":material/videocam_off:",
        )
    for camera in cameras:
        if camera.warnings and not camera.ended:
            seen = "; ".join(words.plain(said(warning_in_words(warning))) for warning in camera.warnings)
            st.warning(
                _("**Camera {camera}:** {told}.", camera=words.plain(camera.camera), told=seen),
                icon=":material/camera:",
            )


def is_silent(camera: CameraFigures) -> bool:
    return shell.seconds_since(camera.heard_at) > SILENT_S


def show_nothing_yet() -> None:
    st.info(
        _(
            "**No camera has delivered anything yet.** Set one up on the page Set up, or start those of "
            "loomwatch.toml (loomwatch ingest). They appear here by themselves."
        ),
        icon=":material/videocam:",
    )


def show_roll(roll: Roll) -> None:
    """The roll that is being woven, in a line."""
    figures = data.roll_summary(roll)
    name = _("Cloth without a roll") if roll.automatic else _("Roll {name}", name=words.plain(roll.name))
    open_defects = figures.by_state["unreviewed"]
    facts = [
        f"**{words.metres(figures.length_mm)}**",
        _("{percent} inspected", percent=words.percent(figures.coverage))
        if figures.cameras
        else _("nothing captured yet"),
        ngettext("{number} defect", "{number} defects", figures.defects)
        + (_(", {open_defects} to review", open_defects=open_defects) if open_defects else ""),
        _("since {clock}", clock=shell.clock(roll.opened_at)),
    ]
    with st.container(border=True, horizontal=True, vertical_alignment="center", wrap=False):
        style = f" · {words.plain(roll.style)}" if roll.style else ""
        st.markdown(f":material/straighten: **{name}**{style}  \n{' · '.join(facts)}", width="stretch")
        if st.button(_("Roll map"), key=f"roll.{roll.id}", icon=":material/map:"):
            st.switch_page("views/roll.py", query_params={"roll": str(roll.id)})
        if st.button(
            _("Review defects"), key=f"review.{roll.id}", icon=":material/fact_check:", disabled=not open_defects
        ):
            st.switch_page("views/review.py", query_params={"roll": str(roll.id)})


def show_camera(figures: CameraFigures, live: LiveCamera | None) -> None:
    """One camera: its last frame with the heat, its figures, and its score against the limit."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(words.plain(figures.camera), anchor=False, width="content")
        show_camera_state(figures)
    if live is None:
        st.info(_("No live picture at the moment."), icon=":material/image_not_supported:")
    else:
        show_overlay(live)
    speed = live.speed_m_min if live else figures.speed_m_min
    latency = live.latency_ms if live else figures.latency_ms
    with st.grid(4, min_column_width=140):
        st.metric(_("Speed"), words.speed(speed))
        st.metric(_("Delay"), words.milliseconds(latency), help=_("From the camera's shot until the result was stored"))
        st.metric(
            _("Inspected"),
            words.percent(figures.coverage) if figures.inspected_mm + figures.gap_mm > 0 else "–",
            help=_("Share of the cloth of the last 10 minutes; the rest is recorded as not inspected, with its reason"),
        )
        st.metric(_("Position"), words.metres(figures.position_mm), help=_("On this camera's counter"))
    if figures.gap_reason:
        st.caption(
            _(
                ":orange[:material/warning:] {metres} of the last 10 minutes not inspected, last because {reason}",
                metres=words.metres(figures.gap_mm),
                reason=words.plain(said(reason_in_words(figures.gap_reason))),
            )
        )
    trend = data.score_trend(figures.line, figures.camera)
    if len(trend):
        st.vega_lite_chart(
            *charts.score_trend(trend),
            key=f"trend.{figures.camera}",
            alt=_(
                "Highest score of the last {trend} frames of {camera} against the limit",
                trend=len(trend),
                camera=figures.camera,
            ),
        )
        ratio = figures.score / figures.threshold if figures.threshold > 0 else 0.0
        style = _(" · compared with style {style}", style=words.plain(figures.style)) if figures.style else ""
        st.caption(
            _(
                "Last {trend} frames: now **{strength}** (score {score}, limit {threshold}){style} · model {model}",
                trend=len(trend),
                strength=words.strength(ratio),
                score=figure(figures.score, ".3f"),
                threshold=figure(figures.threshold, ".3f"),
                style=style,
                model=words.plain(figures.model),
            )
        )


def show_capture(found: tuple[LiveIngest, CameraState] | None) -> None:
    """How the camera's capture is doing, in a line: what it gives, what waits for inspection, what was lost."""
    if found is None:
        return
    ingest, camera = found
    state = ingest.state
    facts = [
        _("{frames_per_s} frames/s", frames_per_s=figure(camera.frames_per_s, ".1f")),
        _("{pixels} Mpx/s", pixels=figure(camera.pixels_per_s / 1e6, ".1f")),
        _("{waiting} waiting", waiting=camera.waiting),
        _("spool {spool_share} full", spool_share=figure(state.spool_share, ".0%")),
        _("credit {credit}", credit=state.credit),
        ngettext("{number} gap", "{number} gaps", sum(camera.gaps.values())),
        _("{dropped} dropped", dropped=camera.dropped),
        ngettext("{number} reconnect", "{number} reconnects", camera.reconnects),
    ]
    age_s = datetime.now(UTC).timestamp() - ingest.at_ns / 1e9
    if age_s > SILENT_S:
        facts = [_("last heard of its capture {duration} ago", duration=words.duration(age_s)), *facts]
    elif camera.state == "away":
        facts = [_(":orange[:material/videocam_off: **away, being opened again**]"), *facts]
    st.caption(" · ".join(facts), help=_("Counts since the ingest process started; rates of the last ten seconds"))


def show_workers(workers: tuple[LiveWorker, ...]) -> None:
    """Which process inspects with which model, and how fast."""
    if not workers:
        return
    st.subheader(_("Inspection processes"), anchor=False)
    table = pd.DataFrame(
        [
            {
                _("Process"): worker.name,
                _("State"): said(worker.state),
                _("Model"): worker.model,
                _("Runtime"): worker.runtime,
                _("Frames/s"): worker.frames_per_s,
                _("Tiles/s"): worker.tiles_per_s,
                _("Delay, ms"): worker.latency_p50_ms,
                _("Delay of 95 %, ms"): worker.latency_p95_ms,
                _("Scoring, ms"): worker.score_ms,
                _("Ingestors"): worker.ingestors,
            }
            for worker in workers
        ]
    )
    whole = st.column_config.NumberColumn(format="%.0f")
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            _("Frames/s"): st.column_config.NumberColumn(format="%.2f"),
            **dict.fromkeys((_("Tiles/s"), _("Delay, ms"), _("Delay of 95 %, ms"), _("Scoring, ms")), whole),
        },
    )


def show_camera_state(figures: CameraFigures) -> None:
    if figures.ended:
        st.badge(_("Finished"), icon=":material/flag:", color="gray")
    elif is_silent(figures):
        st.badge(
            _("Silent for {duration}", duration=words.duration(shell.seconds_since(figures.heard_at))),
            icon=":material/videocam_off:",
            color="orange",
        )
    else:
        st.badge(_("Running"), icon=":material/play_circle:", color="green")


def show_overlay(live: LiveCamera) -> None:
    height, width = pictures.shape_of(live.overlay_jpeg)
    age_s = datetime.now(UTC).timestamp() - live.at_ns / 1e9
    st.image(
        live.overlay_jpeg,
        width="stretch" if height <= 0.6 * width else max(120, round(TALL_PX * width / height)),
        alt=_("Last frame of camera {camera}, suspicious places coloured", camera=live.camera),
    )
    if age_s > SILENT_S:
        st.caption(_("Picture of {duration} ago", duration=words.duration(age_s)))


with shell.page(_("Live")):
    st.fragment(show_page, run_every=data.refresh_s())()
