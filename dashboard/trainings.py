"""Trainings on the page Models: the one that runs with its loss, log and end, those that wait, and how others ended."""

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from dashboard import data, shell, words
from dashboard.charts import Drawing, channel, layer, layered, spoken, tooltip
from dashboard.language import _, figure
from dashboard.stored_sentences import told
from dashboard.theme import SCORE_COLOUR
from inspection.language import N_
from storage.jobs import OPEN, Job

ENDED_KEY = "models.ended"
JOB_BADGES = {
    "queued": (N_("Waiting"), ":material/schedule:", "gray"),
    "running": (N_("Training"), ":material/model_training:", "blue"),
    "done": (N_("Done"), ":material/check_circle:", "green"),
    "failed": (N_("Failed"), ":material/error:", "red"),
    "cancelled": (N_("Cancelled"), ":material/cancel:", "orange"),
}
OLD_JOBS = 5
SHOWN_LINES = 12


def show_trainings() -> None:
    """Redrawn in place."""
    with shell.told():
        jobs = data.training_jobs()
        current = [job for job in reversed(jobs) if job.state in OPEN]
        refresh_models_after(current)
        for job in sorted(current, key=lambda job: job.state != "running"):
            show_running(job) if job.state == "running" else show_waiting(job)
        show_start(any(job.state == "running" for job in current))
        ended = [job for job in jobs if job.state not in OPEN][:OLD_JOBS]
        if not jobs:
            st.caption(_("Nothing was trained here yet."))
        for job in ended:
            show_ended(job)


def show_start(running: bool) -> None:
    if not running:
        st.markdown(
            _(
                "A training learns from all samples of normal fabric, the rejected defects among them. The new version "
                "appears below and does nothing until it is promoted."
            )
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        style = st.selectbox(
            _("For"),
            ["", *data.sampled_styles()],
            format_func=lambda each: each or _("all styles"),
            key="training.style",
            width=220,
            help=_("It learns all styles in any case; for one style means that it is promoted for this one alone."),
        )
        label = _("Ask for another training") if running else _("Start training")
        if shell.act_button(
            label, least="quality", type="secondary" if running else "primary", icon=":material/play_arrow:"
        ):
            asked = data.start_retraining(style or "")
            st.session_state["training.told"] = asked.joined
            st.rerun()
    if st.session_state.pop("training.told", False):
        st.info(_("One that waits for the same is there already: your request joined it."), icon=":material/merge:")


def show_running(job: Job) -> None:
    text = f"{figure(job.progress, '.0%')} · {words.plain(told(job.message))}"
    st.progress(min(1.0, max(0.0, job.progress)), text=text)
    facts = [told_of(job)]
    if job.ends_at is not None:
        left = max(0.0, (job.ends_at - datetime.now(UTC)).total_seconds())
        facts.append(_("ends about {at}, in {left}", at=shell.clock(job.ends_at), left=words.duration(left)))
    if job.tries > 1:
        facts.append(_("try {number}", number=job.tries))
    if job.holder:
        facts.append(_("on {trainer}", trainer=words.plain(job.holder)))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(" · ".join(facts), width="stretch")
        show_cancel(job)
    if job.losses:
        st.vega_lite_chart(loss_chart(job), key=f"loss.{job.id}", alt=_("Loss by epoch"))
    if job.log:
        with st.expander(_("Log"), icon=":material/notes:", key=f"log.{job.id}", on_change="ignore"):
            st.code(log_of(job), language=None, wrap_lines=True)


def show_waiting(job: Job) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        name, symbol, colour = JOB_BADGES["queued"]
        st.badge(_(name), icon=symbol, color=colour)  # type: ignore[arg-type]
        again = ""
        if job.not_before is not None and job.not_before > datetime.now(UTC):
            again = " · " + _("next try {at}", at=shell.clock(job.not_before))
        st.caption(f"{words.plain(told(job.message))} · {told_of(job)}{again}", width="stretch")
        show_cancel(job)
    if trainer_is_off():
        st.warning(
            _("No trainer answers: start it (loomwatch trainer), the training waits."), icon=":material/power_off:"
        )


def show_cancel(job: Job) -> None:
    needed = shell.needs("quality")
    with st.popover(_("Cancel"), icon=":material/cancel:", disabled=needed is not None, help=needed):
        st.markdown(_("The training ends at once. What is promoted stays."))
        if st.button(_("Yes, cancel the training"), type="primary", key=f"cancel.{job.id}"):
            data.cancel_training(job.id)
            st.rerun()


def show_ended(job: Job) -> None:
    name, symbol, colour = JOB_BADGES[job.state]
    when = shell.clock(job.ended_at or job.created_at)
    if job.state == "failed":
        why = words.plain(told(job.message))
        st.error(
            _("**The gate could not judge**, {when}: {why}", when=when, why=why)
            if job.judges
            else _("**Training failed**, {when}: {why}", when=when, why=why),
            icon=":material/error:",
        )
        if shell.act_button(
            _("Try again"), least="quality", key=f"retry.{job.id}", icon=":material/replay:",
            help=_("It goes on from its last checkpoint, where it left one."),
        ):  # fmt: skip
            data.retry_training(job.id)
            st.rerun()
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(_(name), icon=symbol, color=colour)  # type: ignore[arg-type]
        st.caption(f"{when} · {words.plain(told(job.message))} · {words.plain(job.by)}", width="stretch")


def refresh_models_after(current: list[Job]) -> None:
    """When a training has ended since the last look, the whole page is drawn again: there may be a new version."""
    before = st.session_state.get(ENDED_KEY, set())
    st.session_state[ENDED_KEY] = now = {job.id for job in current}
    if before - now:
        data.forget_reads()
        st.rerun()


def trainer_is_off() -> bool:
    view = data.live_view()
    return not view.problem and not any(service.kind == "trainer" for service in view.services)


def told_of(job: Job) -> str:
    asked = _("Asked for by {who}, {when}", who=words.plain(job.by), when=shell.clock(job.created_at))
    if job.judges:
        return _("{asked} · gate of {name}", asked=asked, name=words.plain(job.judges))
    return f"{asked} · {words.plain(job.style)}" if job.style else asked


def loss_chart(job: Job) -> Drawing:
    """A line a run of the heads; the last one's are the model's, the others set thresholds."""
    table = pd.DataFrame(job.losses, columns=["run", "epoch", "loss"])
    last = int(table["run"].max())
    table["now"] = table["run"] == last
    line = layer(
        table,
        "line",
        {"color": SCORE_COLOUR, "point": {"size": 18, "color": SCORE_COLOUR}},
        x=channel("epoch:Q", title=_("Epoch"), axis={"tickMinStep": 1, "format": "d"}, scale={"nice": False}),
        y=channel("loss:Q", title=_("Loss"), scale={"zero": False}),
        detail=channel("run:N"),
        opacity={"condition": {"test": "datum.now", "value": 1.0}, "value": 0.3},
        tooltip=[
            channel("run:O", title=_("Run")),
            channel("epoch:Q", title=_("Epoch")),
            *tooltip(loss=(_("Loss"), ".4f")),
        ],
    )
    return spoken(layered([line], height=150))


def log_of(job: Job) -> str:
    """The latest lines, the last one at the end, by the viewer's clock."""
    zone = data.zone()
    return "\n".join(f"{at.astimezone(zone):%H:%M:%S}  {told(line)}" for at, line in job.log[-SHOWN_LINES:])
