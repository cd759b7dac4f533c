"""Set up: from nothing to a watched line, step by step. How far it is follows from what is there (`setup_data`)."""

from collections.abc import Callable

import streamlit as st

from dashboard import camera_form, data, sample_data, setup_data, shell, words
from dashboard.camera_form import attempt
from dashboard.language import _, figure, ngettext
from dashboard.setup_data import ENOUGH, STEPS, SetUp
from dashboard.stored_sentences import told
from dashboard.trainings import loss_chart, trainer_is_off
from inspection.language import N_
from storage.accounts.roles import Role
from storage.jobs import OPEN, Job
from storage.sample_captures import GOLDEN_METRES

NAMES = {
    "line": N_("Line"),
    "camera": N_("Camera"),
    "style": N_("Style"),
    "golden": N_("Golden roll"),
    "train": N_("Model"),
    "start": N_("Start"),
}
DONE = " :green[:material/check_circle:]"
TURN_KEY = "setup.turn"  # raised by each act, so that the steps show where it led
PART_S = 1.0


def show_page() -> None:
    st.title(_("Set up"), anchor=False)
    now = setup_data.state()
    st.caption(_("From nothing to a watched line in six steps. Each can be changed later, here."))
    show_supervisor(now)
    left, right = st.columns([1, 3.6], gap="medium")
    with left:
        step = choose_step(now)
    with right, st.container(border=True):
        st.subheader(numbered(step), anchor=False)
        SHOWN[step](now)


def show_supervisor(now: SetUp) -> None:
    view = data.live_view()
    if view.problem:
        st.warning(_("Redis does not answer, so nothing can be trained or started now."), icon=":material/cloud_off:")
    elif now.elsewhere and now.supervisor is None:
        return
    elif now.supervisor is None:
        st.warning(
            _(
                "**Nothing starts cameras here at the moment.** Start loomwatch with `loomwatch up`; with services or "
                "containers of your own, name the cameras in loomwatch.toml instead (README)."
            ),
            icon=":material/power_off:",
        )
    elif now.supervisor.state == "problem":
        st.error(
            _("**The camera does not run.** {why}.", why=words.plain(told(now.supervisor.detail))),
            icon=":material/videocam_off:",
        )


# --- the steps beside ------------------------------------------------------------------------------------------------


def choose_step(now: SetUp) -> str:
    """The first that is not done, or the one somebody wants to see, which the address remembers."""
    wanted = st.query_params.get("step", now.next_step)
    chosen = st.radio(
        _("Steps"),
        STEPS,
        index=STEPS.index(wanted if wanted in STEPS else now.next_step),
        format_func=lambda step: f"{numbered(step)}{DONE if now.done(step) else ''}",
        captions=[summary(now, step) for step in STEPS],
        key=f"setup.step.{st.session_state.get(TURN_KEY, 0)}.{now.next_step}",
        label_visibility="collapsed",
    )
    shell.remember("step", chosen, default=now.next_step)
    return chosen


def numbered(step: str) -> str:
    return " · ".join((str(STEPS.index(step) + 1), _(NAMES[step])))


def summary(now: SetUp, step: str) -> str:
    """What was chosen or reached, in a few words."""
    set_up = now.setup
    elsewhere = ", ".join(map(words.plain, now.elsewhere))
    if step == "golden" and now.capture is not None and now.is_recording:
        return words.taken(now.capture)
    if step == "train" and now.job is not None and now.job.state in OPEN and not now.knows:
        return _("being trained, {share}", share=figure(now.job.progress * 100, ".0f") + " %")
    if not now.done(step):
        return _("to do") if step == now.next_step else _("later")
    if step == "golden":
        return ngettext("{number} picture", "{number} pictures", now.usable) if now.usable else _("not needed")
    if step == "train":
        known = now.candidate if now.candidate is not None else now.running
        return words.plain(known.name) if known is not None else ""
    return {
        "line": words.plain(set_up.line) or elsewhere,
        "camera": words.plain(set_up.camera.name) if set_up.camera is not None else elsewhere,
        "style": words.plain(set_up.style),
        "start": _("the line runs"),
    }[step]


def go_on() -> None:
    """To the step that is next now."""
    st.query_params.pop("step", None)
    st.session_state[TURN_KEY] = st.session_state.get(TURN_KEY, 0) + 1
    st.rerun()


# --- each step -------------------------------------------------------------------------------------------------------


def show_line(now: SetUp) -> None:
    st.markdown(_("What is the machine called, at which the cloth passes the camera? Rolls and reports name it so."))
    if now.elsewhere:
        return show_elsewhere(now)
    ask_name(
        "line", _("Name of the line"), now.setup.line or "line-1", most=64, label=_("Save line"), least="admin",
        save=setup_data.set_line,
    )  # fmt: skip


def ask_name(
    key: str, title: str, name: str, *, most: int, label: str, least: Role, save: Callable[[str], None]
) -> None:
    with st.form(f"setup.{key}", border=False):
        chosen = st.text_input(title, name, max_chars=most, key=f"setup.{key}.name")
        needed = shell.needs(least)
        sent = st.form_submit_button(
            label, type="primary", icon=":material/check:", key=f"setup.{key}.save", disabled=needed is not None,
            help=needed,
        )  # fmt: skip
    if sent and attempt(lambda: save(chosen)):
        go_on()


def show_elsewhere(now: SetUp) -> None:
    st.info(
        _(
            "The cameras {cameras} are not from this page: they are named in loomwatch.toml, or deliver from another "
            "machine. Change them there.",
            cameras=", ".join(f"**{words.plain(name)}**" for name in now.elsewhere),
        ),
        icon=":material/videocam:",
    )


def show_camera(now: SetUp) -> None:
    if now.elsewhere:
        return show_elsewhere(now)
    if not now.done("line"):
        return show_before(now)
    if now.setup.camera is not None:
        st.caption(_("Saved: {camera}", camera=camera_form.in_words(now.setup.camera)))
        if now.setup.runs:
            st.info(_("The line runs: what you save takes effect at once."), icon=":material/bolt:")
    camera_form.show_camera(now, after=go_on)


def show_style(now: SetUp) -> None:
    st.markdown(
        _(
            "Cloth that is meant to look alike is one style: a weave in its colours. Name the one to begin with; "
            "more can follow."
        )
    )
    if now.running is not None:
        known = ", ".join(f"**{words.plain(name)}**" for name in sorted(now.running.manifest["styles"]))
        st.info(
            _(
                "The model in charge knows {styles}. Name one of these and nothing has to be learned; a new one is "
                "added to it in a minute or two.",
                styles=known,
            ),
            icon=":material/model_training:",
        )
    ask_name(
        "style", _("Name of the style"), now.setup.style, most=120, label=_("Save style"), least="quality",
        save=setup_data.set_style,
    )  # fmt: skip


def show_golden(now: SetUp) -> None:
    for step in ("camera", "style"):
        if not now.done(step):
            return show_before(now)
    if now.knows:
        st.success(
            _("The model in charge knows **{style}**: nothing to record.", style=words.plain(now.setup.style)),
            icon=":material/check_circle:",
        )
        return
    st.markdown(
        _(
            "Let cloth without defects pass the camera. A camera gives one picture of each metre, a folder or a "
            "video each of its pictures; from these the model learns what is normal."
        )
    )
    if now.elsewhere and now.running is None:
        st.info(
            _("Until a model is in charge these cameras cannot be recorded from here: give pictures as files."),
            icon=":material/upload_file:",
        )
    else:
        show_recording_form(now)
    if st.button(_("Give pictures as files instead"), icon=":material/upload_file:", type="tertiary"):
        st.switch_page("views/samples.py", query_params={"part": "give"})
    if now.usable:
        counted = ngettext("{number} picture so far", "{number} pictures so far", now.usable)
        least = _("{least} at least are needed", least=ENOUGH)
        st.caption(counted if now.usable >= ENOUGH else f"{counted}, {least}")


def show_recording_form(now: SetUp) -> None:
    if now.is_recording:
        st.fragment(show_recording, run_every=PART_S)()
        return
    if now.capture is not None and now.capture.state == "failed":
        st.error(
            _("**The golden roll ended too early.** {why}.", why=words.plain(told(now.capture.why))),
            icon=":material/error:",
        )
    least, most = GOLDEN_METRES
    metres = st.select_slider(
        _("Length"), range(least, most + 1), least, format_func=words.golden_roll, key="setup.golden.metres"
    )
    again = now.done("golden")
    if shell.act_button(
        _("Record more") if again else _("Record the golden roll"),
        least="quality", type="secondary" if again else "primary", icon=":material/fiber_manual_record:",
        key="setup.golden.start", disabled=now.supervisor is None and not now.elsewhere,
    ) and attempt(lambda: setup_data.start_golden_roll(metres)):  # fmt: skip
        go_on()


def show_recording() -> None:
    """Redrawn in place until it is over."""
    with shell.told():
        now = setup_data.state()
        if now.capture is None or not now.is_recording:
            go_on()
            return
        st.progress(min(1.0, now.capture.taken / now.capture.metres), text=words.taken(now.capture))
        if shell.act_button(_("Stop, and keep these"), least="quality", key="setup.golden.stop"):
            sample_data.stop_capture(now.capture.id)
            go_on()


def show_train(now: SetUp) -> None:
    if not now.done("golden"):
        return show_before(now)
    if now.job is not None and now.job.state in OPEN:
        st.fragment(show_training, run_every=PART_S)()
        return
    if now.job is not None and now.job.state == "failed":
        st.error(_("**The training failed.** {why}.", why=words.plain(told(now.job.message))), icon=":material/error:")
    if now.done("train"):
        known = now.candidate or now.running
        st.success(
            _("Model **{model}** knows **{style}**.", model=words.plain(known.name if known else ""),
              style=words.plain(now.setup.style)),
            icon=":material/check_circle:",
        )  # fmt: skip
        if now.job is not None and now.job.state == "done":
            st.caption(words.plain(told(now.job.message)))
    show_training_form(now)


def show_training_form(now: SetUp) -> None:
    careful, again = True, now.done("train")
    if now.joins_a_model and again and not now.knows:
        return  # it was added, and waits to be started
    if now.joins_a_model:
        st.markdown(
            _(
                "**{style}** is added to the model in charge by statistics alone, in a minute or two; the other styles "
                "score as before. It counts as provisional until a training has learned it, which begins with the "
                "start of the line (page Models).",
                style=words.plain(now.setup.style),
            )
        )
    else:
        st.markdown(
            _("The model learns from the pictures of the golden roll. Nothing else is needed, above all no defects.")
        )
        careful = (
            st.radio(
                _("How"),
                ("quick", "careful"),
                index=1 if again else 0,
                format_func={"quick": _("Quickly"), "careful": _("Carefully")}.__getitem__,
                captions=[
                    _("A minute or two: to see the line run. Its limits are rough; train carefully soon."),
                    _("Several minutes: limits are set from all of the cloth."),
                ],
                key="setup.train.how",
            )
            == "careful"
        )
    label = _("Train again") if again else _("Add the style") if now.joins_a_model else _("Train the model")
    if shell.act_button(
        label, least="quality", type="secondary" if again else "primary", icon=":material/model_training:",
        key="setup.train.start",
        help=_("What was trained anew waits on the page Models until somebody promotes it.") if now.knows else None,
    ) and attempt(lambda: setup_data.start_training(careful=careful)):  # fmt: skip
        go_on()


def show_training() -> None:
    """Redrawn in place until it is over."""
    with shell.told():
        job = setup_data.state().job
        if job is None or job.state not in OPEN:
            go_on()
            return
        show_progress(job)
        if job.state == "queued" and trainer_is_off():
            st.warning(
                _("No trainer answers: start it (loomwatch trainer), the training waits."), icon=":material/power_off:"
            )
        if shell.act_button(_("Cancel the training"), least="quality", icon=":material/cancel:", key="setup.cancel"):
            data.cancel_training(job.id)
            go_on()


def show_progress(job: Job) -> None:
    text = f"{figure(job.progress * 100, '.0f')} % · {words.plain(told(job.message))}"
    st.progress(min(1.0, max(0.0, job.progress)), text=text)
    if job.ends_at is not None:
        st.caption(_("ends about {at}", at=shell.clock(job.ends_at)))
    if job.losses:
        st.vega_lite_chart(loss_chart(job), key="setup.loss", alt=_("Loss by epoch"))


def show_start(now: SetUp) -> None:
    if not now.done("train"):
        return show_before(now)
    if now.done("start"):
        st.fragment(show_running, run_every=PART_S)()
        return
    chosen = now.running if now.knows else now.candidate
    if not now.knows and chosen is not None:
        st.markdown(
            _("Model **{model}** is put in charge, and the camera starts. Both can be taken back at any time.",
              model=words.plain(chosen.name))
        )  # fmt: skip
    else:
        st.markdown(_("The camera starts, and every millimetre of cloth that passes it is inspected."))
    if shell.act_button(
        _("Start the line"), least="admin", type="primary", icon=":material/play_arrow:", key="setup.start"
    ) and attempt(setup_data.start_line):  # fmt: skip
        go_on()


def show_running() -> None:
    """How the first frames come, redrawn in place."""
    with shell.told():
        now = setup_data.state()
        own = now.setup.camera.name if now.setup.camera is not None else ""
        seen = [camera for camera in data.cameras() if own in ("", camera.camera)]
        metres = sum(camera.inspected_mm for camera in seen)
        if metres > 0:
            st.success(
                _("**The line is watched.** {metres} inspected in the last ten minutes.", metres=words.metres(metres)),
                icon=":material/check_circle:",
            )
        elif seen and all(camera.ended for camera in seen):
            st.success(_("All that the camera gave is inspected."), icon=":material/flag:")
        else:
            st.info(
                _("The line starts. The first pictures are inspected in a moment."), icon=":material/hourglass_top:"
            )
        st.markdown(
            _(
                "Next: name the roll that is on the loom (page Line or Roll), review the first alarms (Review), let "
                "colleagues in (System, Users)."
            )
        )
        with st.container(horizontal=True):
            if st.button(_("See the line"), type="primary", icon=":material/tv:", key="setup.see"):
                st.switch_page("views/line.py")
            if own and shell.act_button(_("Stop the line"), least="admin", icon=":material/stop:", key="setup.stop"):
                setup_data.stop_line()
                go_on()


def show_before(now: SetUp) -> None:
    """Not the step just before: the first that is still to do."""
    step = now.next_step
    st.info(
        _("First comes step {number}: {name}.", number=STEPS.index(step) + 1, name=_(NAMES[step])),
        icon=":material/arrow_back:",
    )
    if st.button(_("Go there"), type="primary", key="setup.before"):
        go_on()


SHOWN = {
    "line": show_line,
    "camera": show_camera,
    "style": show_style,
    "golden": show_golden,
    "train": show_train,
    "start": show_start,
}

with shell.page(_("Set up")):
    show_page()
