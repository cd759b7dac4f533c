"""System: whether all is well, where cloth was lost and why; for admins the users, the logs and who did what."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from dashboard import data, records, shell, signed_in, system_data, user_admin, words
from dashboard.data import LiveView
from dashboard.system_data import Check
from storage.reads.cameras import CameraFigures
from storage.reads.gap_words import reason_in_words, warning_in_words

PARTS = {"health": "Health", "users": "Users", "logs": "Logs", "audit": "Who did what"}
SPANS = {"24": "24 hours", "8": "8 hours", "168": "7 days"}
REFRESH_S = 5.0
SILENT_S = 10.0
WELL = ("running", "waiting", "training", "watching", "standing by", "ended")


def show_page() -> None:
    st.title("System", anchor=False)
    part = choose_part() if signed_in.may("admin") else "health"
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


def choose_part() -> str:
    """In the address."""
    wanted = st.query_params.get("part", "health")
    chosen = st.segmented_control(
        "Part",
        list(PARTS),
        default=wanted if wanted in PARTS else "health",
        required=True,
        format_func=lambda key: PARTS[key],
        key="system.part",
        label_visibility="collapsed",
    )
    shell.remember("part", chosen or "health", default="health")
    return chosen or "health"


# --- health --------------------------------------------------------------------------------------------------------


def show_health() -> None:
    """Redrawn in place."""
    with shell.told():
        view, cameras = data.live_view(), data.cameras()
        redis = Check(name="Redis", good=not view.problem, said=view.problem or system_data.redis_place())
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
                st.badge("well", icon=":material/check_circle:", color="green")
            else:
                st.badge("look after it", icon=":material/error:", color="red")
        st.caption(words.plain(check.said))


def show_cameras(view: LiveView, cameras: list[CameraFigures]) -> None:
    st.subheader("Cameras", anchor=False)
    if not cameras:
        st.info(
            "**No camera has delivered anything yet.** Start the cameras (loomwatch ingest, or loomwatch up with "
            "cameras in loomwatch.toml).",
            icon=":material/videocam:",
        )
        return
    st.dataframe(
        pd.DataFrame([camera_row(view, camera) for camera in cameras]),
        hide_index=True,
        alt="Each camera, how it is, and what of its cloth was inspected",
    )


def camera_row(view: LiveView, camera: CameraFigures) -> dict[str, str]:
    found = view.ingest_of(camera.camera)
    silent_s = shell.seconds_since(camera.heard_at)
    if camera.ended:
        state = "⚑ finished"
    elif found is not None and found[1].state == "away":
        state = "✖ away, being opened again"
    elif silent_s > SILENT_S:
        state = f"✖ silent for {words.duration(silent_s)}"
    else:
        state = "✔ running"
    captured = camera.inspected_mm + camera.gap_mm
    return {
        "Camera": camera.camera,
        "Line": camera.line,
        "State": state,
        "Inspected, last 10 min": words.percent(camera.coverage) if captured else "–",
        "Lost, last 10 min": words.metres(camera.gap_mm) if camera.gap_mm else "nothing",
        "Why": words.sentence(reason_in_words(camera.gap_reason)) if camera.gap_reason else "",
        "Spool": f"{found[0].state.spool_share:.0%}" if found else "–",
        "Warnings": "; ".join(warning_in_words(warning) for warning in camera.warnings),
    }


def show_services(view: LiveView) -> None:
    st.subheader("Processes", anchor=False)
    rows = [service_row(each.name, each.kind, each.state, each.detail, each.at_ns) for each in view.services]
    for process in {each.state.name: each for each in view.ingestors}.values():
        detail = f"{words.count(len(process.state.cameras), 'camera')}, {words.count(process.state.workers, 'worker')}"
        rows.append(service_row(process.state.name, "ingest", "running", detail, process.at_ns))
    missing = [
        name
        for kind, name in (("worker", "inspection (loomwatch worker)"), ("trainer", "training (loomwatch trainer)"),
                           ("alarms", "alarms (loomwatch alarms run)"))
        if not any(service.kind == kind for service in view.services)
    ]  # fmt: skip
    if rows:
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Each process and how it says it is")
    if view.problem:
        st.caption("Not known while Redis does not answer.")
    elif missing:
        st.warning(f"**Nothing is heard of:** {', '.join(missing)}.", icon=":material/power_off:")


def service_row(name: str, kind: str, state: str, detail: str, at_ns: int) -> dict[str, str]:
    age_s = max(0.0, datetime.now(UTC).timestamp() - at_ns / 1e9)
    old = age_s > SILENT_S
    mark = "✔" if state in WELL and not old else "✖"
    return {
        "Process": name,
        "Kind": kind,
        "State": f"{mark} {f'silent for {words.duration(age_s)}' if old else state}",
        "Says": detail,
    }


def show_lost() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader("Not inspected, and why", anchor=False)
        hours = int(shell.select("Span", "hours", SPANS, page="system", width=160, bare=True))
    found = system_data.lost(hours)
    if not found:
        st.success("Every millimetre that passed the cameras was inspected.", icon=":material/verified:")
        return
    st.dataframe(
        pd.DataFrame(
            {
                "Camera": [each.camera for each in found],
                "Line": [each.line for each in found],
                "Why": [words.sentence(reason_in_words(each.reason)) for each in found],
                "Length": [words.metres(each.length_mm) for each in found],
                "Of what it captured": [f"{each.share:.2%}" for each in found],
                "Times": [each.gaps for each in found],
                "Last": [shell.clock(each.last_at) for each in found],
            }
        ),
        hide_index=True,
        column_config={"Why": st.column_config.TextColumn(width="large")},
        alt="Cloth that was not inspected, by camera and reason",
    )


def show_versions() -> None:
    st.subheader("Versions", anchor=False)
    rows = dict(system_data.versions())
    model = data.running_model()
    rows["Model in charge"] = model.name if model else "none"
    for worker in data.live_view().workers:
        rows[f"Runtime of {worker.name}"] = worker.runtime
    st.dataframe(
        pd.DataFrame({"What": list(rows), "Version": list(rows.values())}),
        hide_index=True,
        width=620,
        alt="Versions of the program and of what it stands on",
    )


with shell.page("System"):
    show_page()
