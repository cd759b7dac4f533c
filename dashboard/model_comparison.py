"""Two models side by side on the page Models: figures, the gate, the shadow run, and pictures where they disagree."""

import pandas as pd
import streamlit as st

from dashboard import data, model_words, shell, words
from storage.gates import Gate
from storage.registry import Model
from storage.shadow import Apart, Shadow

RULES = {
    "false_alarms": "False alarms, all styles",
    "recall": "Confirmed defects, all styles",
    "styles": "Each style by itself",
    "speed": "Speed",
    "parity": "Runtimes",
}
VERDICTS = {"passed": "✓ passed", "failed": "✗ failed", "unjudged": "? not judged"}
COLUMNS = 4
SHOWN = 8


def gate_badge(gate: Gate | None) -> None:
    if gate is None:
        return
    if gate.failed:
        st.badge("Gate failed", icon=":material/block:", color="red")
    elif gate.whole:
        st.badge("Gate passed", icon=":material/check_circle:", color="green")
    else:
        st.badge("Gate passed, not all judged", icon=":material/rule:", color="orange")


def show_side_by_side(models: list[Model]) -> None:
    """Any two; at first the running model and the newest other one."""
    if len(models) < 2:
        return
    st.subheader("Side by side", anchor=False)
    names = [model.name for model in models]
    running = next((model.name for model in models if model.running), names[-1])
    first, second = st.columns(2, gap="medium")
    with first:
        left = shell.select("This model", "left", _first(running, names), page="models")
    with second:
        right = shell.select("Beside", "right", _first(next(n for n in names if n != left), names), page="models")
    if left == right:
        st.info("Choose two different models.", icon=":material/compare:")
        return
    by_name = {model.name: model for model in models}
    show_figures(by_name[left], by_name[right])
    show_gate(data.latest_gates().get(right), right)
    show_shadow(by_name[right])


def _first(name: str, names: list[str]) -> dict[str, str]:
    return {each: each for each in (name, *(other for other in names if other != name))}


def show_figures(left: Model, right: Model) -> None:
    table = model_words.side_by_side(left.manifest, right.manifest)
    st.dataframe(
        table.rename(columns={"left": left.name, "right": right.name}),
        hide_index=True,
        alt="Figures and limits of both models",
    )


def show_gate(gate: Gate | None, name: str) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Gate of {words.plain(name)}**", width="content")
            gate_badge(gate)
        if gate is None:
            st.caption(f"It was never compared with the running model: loomwatch models gate {words.plain(name)}")
            return
        beside = f"beside {words.plain(gate.against)}" if gate.against else "while no model was in charge"
        st.caption(f"{beside}, {shell.clock(gate.at)}, by {words.plain(gate.by)}")
        rows = [
            {
                "Rule": RULES.get(rule.rule, rule.rule),
                "Style": rule.style or "all",
                "Result": VERDICTS[rule.verdict],
                "What was found": rule.words,
            }
            for rule in gate.rules
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Each rule of the gate and its result")
        _gallery([(p.picture, p.heat, p.words) for rule in gate.failed for p in rule.pictures])


def show_shadow(model: Model) -> None:
    own = next((each for each in data.shadows() if each.model == model.name), None)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**Shadow of {words.plain(model.name)}**", width="content")
            st.space("stretch")
            show_shadow_act(model, own)
        if own is None:
            st.caption(
                "Scores a share of live frames beside the running model, without touching any result. A model that "
                "passed the gate may."
            )
            return
        show_shadow_figures(own)


def show_shadow_act(model: Model, own: Shadow | None) -> None:
    if own is not None and own.state == "running":
        if shell.act_button("Stop", least="quality", icon=":material/stop:", key="shadow.stop"):
            data.stop_shadow()
            st.rerun()
        return
    gate = data.latest_gates().get(model.name)
    may = gate is not None and not gate.failed and not model.running
    if shell.act_button(
        "Start", least="quality", icon=":material/visibility:", key=f"shadow.{model.id}", disabled=not may
    ):
        data.start_shadow(model.name)
        st.rerun()


def show_shadow_figures(shadow: Shadow) -> None:
    whole, *styles = data.shadow_figures(shadow.id)
    state = {"running": "running", "done": "done", "stopped": "ended early"}.get(shadow.state, shadow.state)
    st.caption(
        f"beside {words.plain(shadow.against)} · {state} {words.plain(shadow.message)} · {100 * shadow.share:g} % of "
        f"frames, {100 * shadow.budget:g} % of a worker's time at most"
    )
    st.progress(min(1.0, whole.metres / shadow.metres), text=f"{whole.metres:,.1f} of {shadow.metres:,g} m compared")
    agreement = "–" if whole.agreement is None else f"{100 * whole.agreement:.0f} %"
    with st.grid(4, min_column_width=150):
        st.metric("Alarms of both", f"{whole.both:,}")
        st.metric("Only the running one", f"{whole.only_running:,}")
        st.metric("Only this one", f"{whole.only_candidate:,}")
        st.metric("Agreement", agreement, help="Share of all alarms that both models raised")
    if len(styles) > 1:
        rows = [
            {
                "Style": each.style,
                "Metres": each.metres,
                "Both": each.both,
                "Only the running one": each.only_running,
                "Only this one": each.only_candidate,
            }
            for each in styles
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Alarms of both models by style")
    apart = data.alarms_apart(shadow.id)
    for side, title in (("candidate", "Raised by this one alone"), ("running", "Raised by the running one alone")):
        own = [each for each in apart if each.side == side and each.crop]
        if own:
            st.markdown(f"**{title}**")
            _gallery([(each.crop, each.heat, _place(each)) for each in own[:SHOWN]])


def _place(apart: Apart) -> str:
    return f"{apart.camera}, {apart.y_mm / 1000:,.2f} m, {apart.strength:.1f} × the limit"


def _gallery(shown: list[tuple[str, str, str]]) -> None:
    """Cloth with its heat, side by side."""
    for start in range(0, len(shown), COLUMNS):
        for column, (cloth, heat, text) in zip(st.columns(COLUMNS), shown[start : start + COLUMNS], strict=False):
            with column:
                picture = data.heated(cloth, heat)
                if picture is None:
                    st.caption("The picture was not kept.")
                else:
                    st.image(picture, width="stretch")
                st.caption(words.plain(text))
