"""Models: which one is in charge, which others there are, how a new one is trained, and who changed what."""

import pandas as pd
import streamlit as st

from dashboard import charts, data, model_comparison, model_words, shell, training_schedules, trainings, words
from storage.registry import Model

SAMPLE_SOURCES = {"golden": "given as normal", "review": "false alarms of reviews"}


def show_page() -> None:
    st.title("Models", anchor=False)
    models = data.models()
    show_running(models)
    training, samples = st.columns([3, 2], gap="medium")
    with training, st.container(border=True, height="stretch"):
        st.subheader("Training", anchor=False)
        st.fragment(trainings.show_trainings, run_every=data.refresh_s())()
    with samples, st.container(border=True, height="stretch"):
        show_samples()
    with st.container(border=True):
        training_schedules.show_schedules()
    show_versions(models)
    model_comparison.show_side_by_side(models)
    show_promotions()


# --- the model in charge -------------------------------------------------------------------------------------------


def show_running(models: list[Model]) -> None:
    running = next((model for model in models if model.running), None)
    if running is None:
        st.warning(
            "**No model is in charge, so no cloth is inspected.** "
            + ("Promote one of the versions below." if models else "Start a training below, or import a model."),
            icon=":material/model_training:",
        )
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(words.plain(running.name), anchor=False, width="content")
            st.badge("In charge", icon=":material/verified:", color="green")
            st.space("stretch")
            show_roll_back(former_model())
        since = next((each for each in data.promotions() if each.model == running.name), None)
        by = f" · in charge since {shell.clock(since.at)}, by {words.plain(since.by)}" if since else ""
        st.caption(words.plain(model_words.facts_of(running.manifest)) + by)
        show_metrics(running)
        st.markdown("**Limits by style**")
        st.dataframe(
            model_words.thresholds_of(running.manifest),
            hide_index=True,
            column_config={
                "Limit": st.column_config.TextColumn(help="A place with a higher score is a defect"),
                "Tried on": st.column_config.TextColumn(help="Normal fabric that was kept out of training"),
            },
            alt="The limit of each style and how it was set",
        )


def former_model() -> tuple[str, str] | None:
    """What a roll back would take back: the model in charge before, and the style where only one was changed."""
    standing: list[tuple[str, dict[str, str]]] = []
    style = ""
    for act in reversed(data.promotions()):
        if act.action == "rollback":
            standing = standing[:-1]
        elif act.style:
            standing.append((standing[-1][0], {**standing[-1][1], act.style: act.model}))
        else:
            standing.append((act.model, {}))
    if len(standing) < 2:
        return None
    (main, before), (_, now) = standing[-2:]
    style = next((name for name, model in now.items() if before.get(name, main) != model), "")
    return (before.get(style, main), style) if style else (main, "")


def show_metrics(model: Model) -> None:
    metrics = model_words.metrics_of(model.manifest)
    if not metrics:
        st.caption("This model came without measured figures.")
        return
    with st.grid(min(6, len(metrics)), min_column_width=150):
        for name, value in metrics.items():
            st.metric(name, value)


def show_roll_back(former: tuple[str, str] | None) -> None:
    needed = shell.needs("quality")
    popover = st.popover(
        "Roll back", icon=":material/undo:", disabled=former is None or needed is not None, help=needed
    )
    with popover, st.form("roll_back_form", border=False):
        name, style = former or ("", "")
        st.markdown(
            f"**{words.plain(name)}** takes over again{words.plain(f' for {style}') if style else ''}. The workers "
            "change between two frames; no cloth is missed."
        )
        reason = st.text_input("Why", key="roll_back.reason", max_chars=200)
        if st.form_submit_button("Yes, roll back", type="primary", key="roll_back", disabled=former is None):
            if reason.strip():
                data.roll_back(reason.strip())
                st.rerun()
            st.error("Write why, for those who look for it later.", icon=":material/edit:")


def show_samples() -> None:
    st.subheader("Samples of normal fabric", anchor=False)
    counts = data.sample_counts()
    if not len(counts):
        st.info(
            "**No samples yet.** Reject a false alarm on the page Defects, or add normal fabric with "
            "loomwatch samples add.",
            icon=":material/photo_library:",
        )
        return
    total = int(counts["count"].sum())
    st.caption(f"{words.count(total, 'picture')} in {words.count(counts['style'].nunique(), 'style')}")
    st.altair_chart(charts.sample_counts(counts, SAMPLE_SOURCES), key="samples", alt="Samples by style and source")


# --- versions ------------------------------------------------------------------------------------------------------


def show_versions(models: list[Model]) -> None:
    st.subheader("Versions", anchor=False)
    if not models:
        st.info(
            "**No model yet.** Train one above once there are samples, or import a bundle (loomwatch models import).",
            icon=":material/deployed_code:",
        )
        return
    for model in models:
        with st.container(border=True):
            show_version(model, next((each for each in models if each.running), None))


def show_version(model: Model, running: Model | None) -> None:
    name, figures, act = st.columns([4, 5, 2], vertical_alignment="center")
    with name:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{words.plain(model.name)}**", width="content")
            if model.running:
                st.badge("In charge", icon=":material/verified:", color="green")
            for style in model.styles:
                st.badge(f"In charge of {words.plain(style)}", icon=":material/verified:", color="green")
            if provisional := model_words.provisional_of(model.manifest):
                st.badge(f"Provisional: {words.plain(', '.join(provisional))}", icon=":material/bolt:", color="orange")
            model_comparison.gate_badge(data.latest_gates().get(model.name))
        source = model_words.SOURCES.get(model.source, model.source)
        st.caption(f"{words.plain(source)} {shell.clock(model.created_at)} by {words.plain(model.by)}")
    with figures:
        metrics = model_words.metrics_of(model.manifest)
        st.caption(
            " · ".join(f"{words.plain(key)} **{value}**" for key, value in metrics.items())
            or words.plain(model_words.facts_of(model.manifest))
        )
    barred = shell.needs("quality")
    with (
        act,
        st.popover(
            "Promote",
            icon=":material/publish:",
            disabled=model.running or barred is not None,
            help=barred,
            width="stretch",
        ),
    ):
        show_promote(model, running)


def show_promote(model: Model, running: Model | None) -> None:
    """The question before a model takes over."""
    st.markdown(
        f"**{words.plain(model.name)}** takes over"
        + (f" from **{words.plain(running.name)}**" if running else "")
        + ". The workers change between two frames; no cloth is missed. You can roll back at any time."
    )
    limits = model_words.thresholds_of(model.manifest)
    st.caption(
        "Limits: "
        + ", ".join(
            f"{words.plain(style)} {limit}" for style, limit in zip(limits["Style"], limits["Limit"], strict=True)
        )
    )
    forgotten = model_words.styles_of(running.manifest) - model_words.styles_of(model.manifest) if running else set()
    if forgotten:
        st.warning(f"It does not know: {words.plain(', '.join(sorted(forgotten)))}.", icon=":material/warning:")
    styles = sorted(model_words.styles_of(model.manifest) & model_words.styles_of(running.manifest)) if running else []
    with st.form(f"promote_form.{model.id}", border=False):
        style = st.selectbox(
            "For",
            ["", *styles],
            format_func=lambda each: each or "all styles",
            key=f"promote.style.{model.id}",
            help="A model may take over for one style; the others stay with theirs.",
        )
        against = data.objection(model.name)
        if against:
            st.warning(words.plain(words.sentence(against)), icon=":material/block:")
        reason = st.text_input("Why", key=f"promote.reason.{model.id}", max_chars=200)
        override = bool(against) and st.checkbox("Promote it all the same", key=f"promote.override.{model.id}")
        if st.form_submit_button("Yes, promote", type="primary", key=f"promote.{model.id}", disabled=model.running):
            if reason.strip():
                data.promote(model.name, style=style or "", reason=reason.strip(), override=override)
                st.rerun()
            st.error("Write why, for those who look for it later.", icon=":material/edit:")


def show_promotions() -> None:
    promotions = data.promotions()
    if not promotions:
        return
    with st.expander("Who put which model in charge", icon=":material/history:"):
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        "When": shell.clock(each.at),
                        "What": "Rolled back to" if each.action == "rollback" else "Promoted",
                        "Model": each.model,
                        "For": each.style or "all styles",
                        "Why": each.reason,
                        "Who": each.by,
                    }
                    for each in promotions
                ]
            ),
            hide_index=True,
            alt="Promotions, newest first",
        )


with shell.page("Models"):
    show_page()
