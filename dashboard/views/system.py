"""System: whether all is well, where cloth was lost and why; for admins the users, the logs and who did what."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from dashboard import data, records, shell, signed_in, stored_words, system_data, user_admin, words
from dashboard.data import LiveView
from dashboard.language import _, figure, ngettext
from dashboard.stored_sentences import told
from dashboard.stored_words import said
from dashboard.system_data import Check
from storage.reads.cameras import CameraFigures
from storage.reads.gap_words import reason_in_words, warning_in_words

PARTS = {"health": _("Health"), "users": _("Users"), "logs": _("Logs"), "audit": _("Who did what")}
SPANS = {"24": _("24 hours"), "8": _("8 hours"), "168": _("7 days")}
REFRESH_S = 5.0
SILENT_S = 10.0
KINDS = {
    "ingest": _("Cameras"),
    "worker": _("Inspection"),
    "trainer": _("Training"),
    "alarms": _("Alarms"),
    "supervisor": _("Supervisor"),
}
WELL = ("running", "waiting", "training", "watching", "standing by", "ended")


def show_page() -> None:
    st.title(_("System"), anchor=False)
    part = shell.segments(_("Part"), "part", PARTS, page="system") if signed_in.may("admin") else "health"
    if part == "users":
        user_admin.show_users()
    elif part == "logs":
        records.show_logs()
    elif part == "audit":
        records.show_audit()
    else:
        st.fragment(show_health, run_every=REFRESH_S)()
        show_lost()
        show_versions()


# --- health --------------------------------------------------------------------------------------------------------


def show_health() -> None:
    """Redrawn in place."""
    with shell.told():
        view, cameras = data.live_view(), data.cameras()
        redis = Check(name="Redis", good=not view.problem, said=told(view.problem) or system_data.redis_place())
        with st.grid(3, min_column_width=280):
            for check in (system_data.database_check(), redis, system_data.disk_check()):
                show_check(check)
        show_cameras(view, cameras)
        show_services(view)


def show_check(check: Check) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{check.name}**", width="content")
            if check.good:
                st.badge(_("well"), icon=":material/check_circle:", color="green")
            else:
                st.badge(_("look after it"), icon=":material/error:", color="red")
        st.caption(words.plain(check.said))


def show_cameras(view: LiveView, cameras: list[CameraFigures]) -> None:
    st.subheader(_("Cameras"), anchor=False)
    if not cameras:
        st.info(
            _(
                "**No camera has delivered anything yet.** Set one up on the page Set up; cameras that are named in "
                "loomwatch.toml start with loomwatch up or loomwatch ingest."
            ),
            icon=":material/videocam:",
        )
        return
    st.dataframe(
        pd.DataFrame([camera_row(view, camera) for camera in cameras]),
        hide_index=True,
        column_config=shell.numbers(_("Inspected, last 10 min"), _("Lost, last 10 min"), _("Spool")),
        alt=_("Each camera, how it is, and what of its cloth was inspected"),
    )


def camera_row(view: LiveView, camera: CameraFigures) -> dict[str, str]:
    found = view.ingest_of(camera.camera)
    silent_s = shell.seconds_since(camera.heard_at)
    if camera.ended:
        state = _("⚑ finished")
    elif found is not None and found[1].state == "away":
        state = _("✖ away, being opened again")
    elif silent_s > SILENT_S:
        state = _("✖ silent for {duration}", duration=words.duration(silent_s))
    else:
        state = _("✔ running")
    captured = camera.inspected_mm + camera.gap_mm
    return {
        _("Camera"): camera.camera,
        _("Line"): camera.line,
        _("State"): state,
        _("Inspected, last 10 min"): words.percent(camera.coverage) if captured else "–",
        _("Lost, last 10 min"): words.metres(camera.gap_mm) if camera.gap_mm else _("nothing"),
        _("Why"): stored_words.sentence(reason_in_words(camera.gap_reason)) if camera.gap_reason else "",
        _("Spool"): figure(found[0].state.spool_share, ".0%") if found else "–",
        _("Warnings"): "; ".join(said(warning_in_words(warning)) for warning in camera.warnings),
    }


def show_services(view: LiveView) -> None:
    st.subheader(_("Processes"), anchor=False)
    rows = [service_row(each.name, each.kind, each.state, each.detail, each.at_ns) for each in view.services]
    for process in {each.state.name: each for each in view.ingestors}.values():
        seen = ngettext("{number} camera", "{number} cameras", len(process.state.cameras))
        detail = ", ".join((seen, ngettext("{number} worker", "{number} workers", process.state.workers)))
        rows.append(service_row(process.state.name, "ingest", "running", detail, process.at_ns))
    missing = [
        name
        for kind, name in (
            ("worker", _("inspection (loomwatch worker)")),
            ("trainer", _("training (loomwatch trainer)")),
            ("alarms", _("alarms (loomwatch alarms run)")),
        )
        if not any(service.kind == kind for service in view.services)
    ]
    if rows:
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt=_("Each process and how it says it is"))
    if view.problem:
        st.caption(_("Not known while Redis does not answer."))
    elif missing:
        st.warning(_("**Nothing is heard of:** {missing}.", missing=", ".join(missing)), icon=":material/power_off:")


def service_row(name: str, kind: str, state: str, detail: str, at_ns: int) -> dict[str, str]:
    age_s = max(0.0, datetime.now(UTC).timestamp() - at_ns / 1e9)
    old = age_s > SILENT_S
    mark = "✔" if state in WELL and not old else "✖"
    is_now = _("silent for {duration}", duration=words.duration(age_s)) if old else said(state)
    return {
        _("Process"): name,
        _("Kind"): KINDS.get(kind, kind),
        _("State"): f"{mark} {is_now}",
        _("Says"): detail if state == "running" else "; ".join(told(each) for each in detail.split("; ")),
    }


def show_lost() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader(_("Not inspected, and why"), anchor=False)
        hours = int(shell.select(_("Span"), "hours", SPANS, page="system", width=160, bare=True))
    found = system_data.lost(hours)
    if not found and not data.cameras():
        st.caption(_("No cloth has passed a camera yet."))
        return
    if not found:
        st.success(_("Every millimetre that passed the cameras was inspected."), icon=":material/verified:")
        return
    st.dataframe(
        pd.DataFrame(
            {
                _("Camera"): [each.camera for each in found],
                _("Line"): [each.line for each in found],
                _("Why"): [stored_words.sentence(reason_in_words(each.reason)) for each in found],
                _("Length"): [words.metres(each.length_mm) for each in found],
                _("Of what it captured"): [figure(each.share, ".2%") for each in found],
                _("Times"): [each.gaps for each in found],
                _("Last"): [shell.clock(each.last_at) for each in found],
            }
        ),
        hide_index=True,
        column_config={_("Why"): st.column_config.TextColumn(width="large")}
        | shell.numbers(_("Length"), _("Of what it captured")),
        alt=_("Cloth that was not inspected, by camera and reason"),
    )


def show_versions() -> None:
    st.subheader(_("Versions"), anchor=False)
    rows = dict(system_data.versions())
    model = data.running_model()
    rows[_("Model in charge")] = model.name if model else _("none")
    for worker in data.live_view().workers:
        rows[_("Runtime of {worker}", worker=worker.name)] = worker.runtime
    st.dataframe(
        pd.DataFrame({_("What"): list(rows), _("Version"): list(rows.values())}),
        hide_index=True,
        width=620,
        alt=_("Versions of the program and of what it stands on"),
    )


with shell.page(_("System")):
    show_page()
