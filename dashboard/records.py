"""What was written down, on the page System: the services' logs and the audit trail."""

import streamlit as st

from dashboard import shell, system_data, words
from dashboard.audit_changes import change_in_words
from dashboard.audit_words import act_in_words, kind_in_words, subject_asked_for, subject_in_words
from dashboard.language import _, figure
from storage.reads.audit_trail import AuditFilter

PAGE_ROWS = 50


def show_logs() -> None:
    files = system_data.log_files()
    if not files:
        st.info(
            _(
                "**No logs on this machine.** Under loomwatch up and demo they are here; elsewhere "
                "the containers or the service manager keep them."
            ),
            icon=":material/description:",
        )
        return
    name = shell.select(_("Log"), "log", {each: each.removesuffix(".log") for each in files}, page="system", width=260)
    st.code(system_data.log_tail(name) or _("(empty)"), language=None, height=560)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(_("Read again"), icon=":material/refresh:")
        st.caption(_("The last {log_lines} lines", log_lines=system_data.LOG_LINES))


def show_audit() -> None:
    with st.grid(3, min_column_width=200):
        names = {name: words.who(name) for name in system_data.audit_names() if name}
        by = shell.select(_("Who"), "by", {"": _("Everybody"), **names}, page="system")
        kinds = {kind: kind_in_words(kind) for kind in system_data.audit_kinds()}
        kind = shell.select(_("What"), "kind", {"": _("Everything"), **kinds}, page="system")
        subject = st.text_input(
            _("Of what"), value=st.query_params.get("subject", ""), key="system.subject", max_chars=80
        )
    shell.remember("subject", subject)
    wanted = AuditFilter(by=by, kind=kind, subject=subject_asked_for(subject))
    total = system_data.audit_entries(wanted, limit=1, offset=0)[1]
    if not total:
        st.info(
            _("**Nothing fits.** Choose everybody and everything, or other words."), icon=":material/filter_alt_off:"
        )
        return
    pages = -(-total // PAGE_ROWS)
    page = min(max(1, shell.address_number("page") or 1), pages)
    entries = system_data.audit_entries(wanted, limit=PAGE_ROWS, offset=(page - 1) * PAGE_ROWS)[0]
    table = system_data.table_of(entries)
    st.dataframe(
        table.assign(
            **{
                _("When"): [shell.clock(entry.at) for entry in entries],
                _("Who"): [words.who(entry.by) for entry in entries],
                _("What"): [words.sentence(act_in_words(entry.action)) for entry in entries],
                _("Of what"): [subject_in_words(entry.action, entry.subject) for entry in entries],
                _("How"): [change_in_words(entry.action, entry.detail) for entry in entries],
            }
        ),
        hide_index=True,
        height=560,
        column_config={_("How"): st.column_config.TextColumn(width="large")},
        alt=_("Who did what, the latest first"),
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_("{total} entries", total=figure(total, ",")))
        st.download_button(
            _("CSV"),
            system_data.audit_csv(wanted),
            file_name="audit.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        if pages > 1:
            key = f"system.pages.{pages}"
            st.pagination(pages, default=page, key=key, on_change=turn, args=(key,))


def turn(key: str) -> None:
    shell.remember("page", str(st.session_state[key]), default="1")
