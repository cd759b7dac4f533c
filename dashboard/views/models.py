"""Models: which one is in charge, which others there are, how a new one is trained, and who changed what."""

import pandas as pd
import streamlit as st

from dashboard import charts, data, model_comparison, model_words, shell, training_schedules, trainings, words
from dashboard.language import _, ngettext
from dashboard.sample_data import SOURCES
from dashboard.stored_sentences import told
from storage.in_force import meant_for
from storage.registry import Model


def show_page() -> None:
    st.title(_("Models"), anchor=False)
    models = data.models()
    show_running(models)
    training, samples = st.columns([3, 2], gap="medium")
    with training, st.container(border=True, height="stretch"):
        st.subheader(_("Training"), anchor=False)
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
            _("**No model is in charge, so no cloth is inspected.** ")
            + (_("Promote one of the versions below.") if models else _("Start a training below, or import a model.")),
            icon=":material/model_training:",
        )
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(words.plain(running.name), anchor=False, width="content")
            st.badge(_("In charge"), icon=":material/verified:", color="green")
            st.space("stretch")
            show_roll_back(former_model())
        since = next((each for each in data.promotions() if each.model == running.name), None)
        by = (
            _(" · in charge since {clock}, by {by}", clock=shell.clock(since.at), by=words.plain(words.who(since.by)))
            if since
            else ""
        )
        st.caption(words.plain(model_words.facts_of(running.manifest)) + by)
        show_metrics(running)
        st.markdown(_("**Limits by style**"))
        st.dataframe(
            model_words.thresholds_of(running.manifest),
            hide_index=True,
            column_config={
                _("Limit"): st.column_config.TextColumn(help=_("A place with a higher score is a defect")),
                _("Tried on"): st.column_config.TextColumn(help=_("Normal fabric that was kept out of training")),
            },
            alt=_("The limit of each style and how it was set"),
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
    (main, before), (_main, now) = standing[-2:]
    style = next((name for name, model in now.items() if before.get(name, main) != model), "")
    return (before.get(style, main), style) if style else (main, "")


def show_metrics(model: Model) -> None:
    metrics = model_words.metrics_of(model.manifest)
    if not metrics:
        st.caption(_("This model came without measured figures."))
        return
    with st.grid(min(6, len(metrics)), min_column_width=150):
        for name, value in metrics.items():
            st.metric(name, value)


def show_roll_back(former: tuple[str, str] | None) -> None:
    needed = shell.needs("quality")
    popover = st.popover(
        _("Roll back"), icon=":material/undo:", disabled=former is None or needed is not None, help=needed
    )
    with popover, st.form("roll_back_form", border=False):
        name, style = former or ("", "")
        st.markdown(
            _(
                "**{name}** takes over again{styles}. The workers change between two frames; no cloth is missed.",
                name=words.plain(name),
                styles=words.plain(_(" for {style}", style=style)) if style else "",
            )
        )
        reason = st.text_input(_("Why"), key="roll_back.reason", max_chars=200)
        if st.form_submit_button(_("Yes, roll back"), type="primary", key="roll_back", disabled=former is None):
            if reason.strip():
                data.roll_back(reason.strip())
                st.rerun()
            st.error(_("Write why, for those who look for it later."), icon=":material/edit:")


def show_samples() -> None:
    st.subheader(_("Samples of normal fabric"), anchor=False)
    counts = data.sample_counts()
    if not len(counts):
        st.info(
            _(
                "**No samples yet.** Give normal fabric on the page Samples or step by step on the page Set up, or "
                "call a false alarm one on the page Review."
            ),
            icon=":material/photo_library:",
        )
        return
    total = int(counts["count"].sum())
    st.caption(
        _(
            "{pictures} · {styles}",
            pictures=ngettext("{number} picture", "{number} pictures", total),
            styles=ngettext("{number} style", "{number} styles", counts["style"].nunique()),
        )
    )
    st.vega_lite_chart(
        charts.spoken(charts.sample_counts(counts, {source: _(text) for source, text in SOURCES.items()})),
        key="samples",
        alt=_("Samples by style and source"),
    )


# --- versions ------------------------------------------------------------------------------------------------------


def show_versions(models: list[Model]) -> None:
    st.subheader(_("Versions"), anchor=False)
    if not models:
        st.info(
            _(
                "**No model yet.** Train one above once there are samples, or import a bundle "
                "(loomwatch models import)."
            ),
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
                st.badge(_("In charge"), icon=":material/verified:", color="green")
            for style in model.styles:
                st.badge(_("In charge of {style}", style=words.plain(style)), icon=":material/verified:", color="green")
            if provisional := model_words.provisional_of(model.manifest):
                st.badge(
                    _("Provisional: {provisional}", provisional=words.plain(", ".join(provisional))),
                    icon=":material/bolt:",
                    color="orange",
                )
            model_comparison.gate_badge(data.latest_gates().get(model.name))
        source = model_words.source_in_words(model.source)
        st.caption(
            _(
                "{source} {clock} by {by}",
                source=words.plain(source),
                clock=shell.clock(model.created_at),
                by=words.plain(model.by),
            )
        )
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
            _("Promote"),
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
        _("**{name}** takes over", name=words.plain(model.name))
        + (_(" from **{name}**", name=words.plain(running.name)) if running else "")
        + _(". The workers change between two frames; no cloth is missed. You can roll back at any time.")
    )
    limits = model_words.thresholds_of(model.manifest)
    st.caption(
        _("Limits: ")
        + ", ".join(
            f"{words.plain(style)} {limit}" for style, limit in zip(limits[_("Style")], limits[_("Limit")], strict=True)
        )
    )
    styles = ["", *(sorted(model_words.styles_of(model.manifest)) if running else ())]
    meant = meant_for(model.manifest)
    style = st.selectbox(
        _("For"),
        styles,
        index=styles.index(meant) if meant in styles else 0,
        format_func=lambda each: each or _("all styles"),
        key=f"promote.style.{model.id}",
        help=_("A model may take over for one style; the others stay with theirs."),
    )
    against = data.objection(model.name, style)
    if against:
        st.warning(words.plain(told(against)), icon=":material/block:")
    with st.form(f"promote_form.{model.id}", border=False):
        reason = st.text_input(_("Why"), key=f"promote.reason.{model.id}", max_chars=200)
        override = bool(against) and st.checkbox(_("Promote it all the same"), key=f"promote.override.{model.id}")
        if st.form_submit_button(_("Yes, promote"), type="primary", key=f"promote.{model.id}", disabled=model.running):
            if reason.strip():
                data.promote(model.name, style=style, reason=reason.strip(), override=override)
                st.rerun()
            st.error(_("Write why, for those who look for it later."), icon=":material/edit:")


def show_promotions() -> None:
    promotions = data.promotions()
    if not promotions:
        return
    with st.expander(_("Who put which model in charge"), icon=":material/history:"):
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        _("When"): shell.clock(each.at),
                        _("What"): _("Rolled back to") if each.action == "rollback" else _("Promoted"),
                        _("Model"): each.model,
                        _("For"): each.style or _("all styles"),
                        _("Why"): each.reason,
                        _("Who"): words.who(each.by),
                    }
                    for each in promotions
                ]
            ),
            hide_index=True,
            alt=_("Promotions, newest first"),
        )


with shell.page(_("Models")):
    show_page()
