"""Two models side by side on the page Models: figures, the gate, the shadow run, and pictures where they disagree."""

import pandas as pd
import streamlit as st

from dashboard import data, model_words, shell, words
from dashboard.language import _, figure
from dashboard.stored_sentences import told
from inspection.language import N_
from storage.gates import Gate
from storage.jobs import OPEN
from storage.registry import Model
from storage.shadow import Apart, Shadow

RULES = {
    "false_alarms": N_("False alarms, all styles"),
    "recall": N_("Confirmed defects, all styles"),
    "styles": N_("Each style by itself"),
    "speed": N_("Speed"),
    "parity": N_("Runtimes"),
}
VERDICTS = {"passed": N_("✓ passed"), "failed": N_("✗ failed"), "unjudged": N_("? not judged")}
COLUMNS = 2
SHOWN = 8


def gate_badge(gate: Gate | None) -> None:
    if gate is None:
        return
    if gate.failed:
        st.badge(_("Gate failed"), icon=":material/block:", color="red")
    elif gate.whole:
        st.badge(_("Gate passed"), icon=":material/check_circle:", color="green")
    else:
        st.badge(_("Gate passed, not all judged"), icon=":material/rule:", color="orange")


def show_side_by_side(models: list[Model]) -> None:
    """Any two; at first the running model and the newest other one."""
    if len(models) < 2:
        return
    st.subheader(_("Side by side"), anchor=False)
    names = [model.name for model in models]
    running = next((model.name for model in models if model.running), names[-1])
    first, second = st.columns(2, gap="medium")
    with first:
        left = shell.select(_("This model"), "left", _first(running, names), page="models")
    with second:
        right = shell.select(_("Beside"), "right", _first(next(n for n in names if n != left), names), page="models")
    if left == right:
        st.info(_("Choose two different models."), icon=":material/compare:")
        return
    by_name = {model.name: model for model in models}
    show_figures(by_name[left], by_name[right])
    for column, name in zip(st.columns(2, gap="medium"), (left, right), strict=True):
        with column:
            show_gate(data.latest_gates().get(name), by_name[name])
            show_shadow(by_name[name])


def _first(name: str, names: list[str]) -> dict[str, str]:
    return {each: each for each in (name, *(other for other in names if other != name))}


def show_figures(left: Model, right: Model) -> None:
    table = model_words.side_by_side(left.manifest, right.manifest)
    st.dataframe(
        table.rename(columns={"left": left.name, "right": right.name}),
        hide_index=True,
        alt=_("Figures and limits of both models"),
    )


def show_gate(gate: Gate | None, model: Model) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(_("**Gate of {name}**", name=words.plain(model.name)), width="content")
            gate_badge(gate)
            st.space("stretch")
            show_gate_act(model)
        if gate is None:
            st.caption(
                _("It came in charge without a gate.")
                if model.running
                else _("It was never compared with the running model.")
            )
            return
        beside = (
            _("beside {against}", against=words.plain(gate.against))
            if gate.against
            else _("while no model was in charge")
        )
        by = words.plain(words.who(gate.by))
        st.caption(_("{beside}, {clock}, by {by}", beside=beside, clock=shell.clock(gate.at), by=by))
        for rule in gate.rules:
            name = _(RULES[rule.rule]) if rule.rule in RULES else rule.rule
            of_style = f" · {words.plain(rule.style)}" if rule.style else ""
            st.markdown(
                f"{_(VERDICTS[rule.verdict])} · **{words.plain(name)}**{of_style}  \n"
                f":small[{words.plain(told(rule.words))}]"
            )
        _gallery([(p.picture, p.heat, p.words) for rule in gate.failed for p in rule.pictures])


def show_gate_act(model: Model) -> None:
    asked = any(job.judges == model.name and job.state in OPEN for job in data.training_jobs())
    if not model.running and shell.act_button(
        _("Asked for") if asked else _("Judge now"), least="quality", icon=":material/balance:",
        key=f"gate.{model.id}", disabled=asked,
        help=_("The trainer compares it with the model in charge, between two trainings; how far it is shows there."),
    ):  # fmt: skip
        data.start_gate(model.name)
        st.rerun()


def show_shadow(model: Model) -> None:
    own = next((each for each in data.shadows() if each.model == model.name), None)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(_("**Shadow of {name}**", name=words.plain(model.name)), width="content")
            st.space("stretch")
            show_shadow_act(model, own)
        if own is None and model.running:
            st.caption(_("It never ran as shadow."))
            return
        if own is None:
            st.caption(
                _(
                    "Scores a share of live frames beside the running model, without touching any "
                    "result. A model that passed the gate may."
                )
            )
            return
        show_shadow_figures(own)


def show_shadow_act(model: Model, own: Shadow | None) -> None:
    if own is not None and own.state == "running":
        if shell.act_button(_("Stop"), least="quality", icon=":material/stop:", key="shadow.stop"):
            data.stop_shadow()
            st.rerun()
        return
    gate = data.latest_gates().get(model.name)
    may = gate is not None and not gate.failed and not model.running
    if shell.act_button(
        _("Start"), least="quality", icon=":material/visibility:", key=f"shadow.{model.id}", disabled=not may
    ):
        data.start_shadow(model.name)
        st.rerun()


def show_shadow_figures(shadow: Shadow) -> None:
    whole, *styles = data.shadow_figures(shadow.id)
    state = {"running": _("running"), "done": _("done"), "stopped": _("ended early")}.get(shadow.state, shadow.state)
    st.caption(
        _(
            "beside {against} · {state} · {share} % of frames, {budget} % of a worker's time at most",
            against=words.plain(shadow.against),
            state=state,
            share=figure(100 * shadow.share, "g"),
            budget=figure(100 * shadow.budget, "g"),
        )
    )
    st.progress(
        min(1.0, whole.metres / shadow.metres),
        text=_(
            "{done} of {planned} compared",
            done=words.metres(whole.metres * 1000, ",.1f"),
            planned=words.metres(shadow.metres * 1000, ",.0f"),
        ),
    )
    if shadow.style:
        st.caption(_("On the cloth of {style} alone", style=words.plain(shadow.style)))
    if shadow.message:
        st.caption(words.plain(told(shadow.message)))
    agreement = "–" if whole.agreement is None else f"{figure(100 * whole.agreement, '.0f')} %"
    with st.grid(4, min_column_width=150):
        st.metric(_("Alarms of both"), figure(whole.both, ","))
        st.metric(_("Only the running one"), figure(whole.only_running, ","))
        st.metric(_("Only this one"), figure(whole.only_candidate, ","))
        st.metric(_("Agreement"), agreement, help=_("Share of all alarms that both models raised"))
    if len(styles) > 1:
        rows = [
            {
                _("Style"): each.style,
                _("Compared"): words.metres(each.metres * 1000, ",.1f"),
                _("Both"): each.both,
                _("Only the running one"): each.only_running,
                _("Only this one"): each.only_candidate,
            }
            for each in styles
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt=_("Alarms of both models by style"))
    apart = data.alarms_apart(shadow.id)
    for side, title in (
        ("candidate", _("Raised by this one alone")),
        ("running", _("Raised by the running one alone")),
    ):
        own = [each for each in apart if each.side == side and each.crop]
        if own:
            st.markdown(f"**{title}**")
            _gallery([(each.crop, each.heat, _place(each)) for each in own[:SHOWN]])


def _place(apart: Apart) -> str:
    return _(
        "{camera}, {place}, {strength} × the limit",
        camera=apart.camera,
        place=words.metres(apart.y_mm),
        strength=figure(apart.strength, ".1f"),
    )


def _gallery(shown: list[tuple[str, str, str]]) -> None:
    """Cloth with its heat, side by side."""
    for start in range(0, len(shown), COLUMNS):
        for column, (cloth, heat, text) in zip(st.columns(COLUMNS), shown[start : start + COLUMNS], strict=False):
            with column:
                picture = data.heated(cloth, heat)
                if picture is None:
                    st.caption(_("The picture was not kept."))
                else:
                    st.image(picture, width="stretch", alt=text)
                st.caption(words.plain(text))
