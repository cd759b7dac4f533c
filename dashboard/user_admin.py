"""Users, on the page System: who there is, and what an admin does about it."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard import shell, system_data, words
from dashboard.language import _
from dashboard.stored_sentences import told
from dashboard.stored_words import said
from inspection.errors import LoomwatchError
from inspection.language import N_
from storage.accounts.roles import ROLES
from storage.accounts.users import MAX_NAME, User

LINK_KEY = "system.link"  # name and one-time link, shown until something else is done
MAY = {
    "viewer": N_("sees everything but this, and stays signed in, as a wall screen must"),
    "operator": N_("also reviews defects, acknowledges alarms, opens and closes rolls"),
    "quality": N_("also curates samples, retrains, promotes and rolls back models"),
    "admin": N_("also manages users and the plant"),
}
WAYS = {"company": N_("the company's account"), "demo": N_("a demo's link")}


def show_users() -> None:
    found = system_data.list_users()
    show_link()
    st.dataframe(
        pd.DataFrame([row_of(user) for user in found]), hide_index=True, alt=_("Accounts, their roles and last sign-in")
    )
    st.caption(" · ".join(f"**{said(role)}** {_(what)}" for role, what in MAY.items()))
    with st.grid(2, min_column_width=360):
        with st.container(border=True):
            show_new()
        with st.container(border=True):
            show_one(found)


def row_of(user: User) -> dict[str, str]:
    return {
        _("Name"): user.name,
        _("Role"): said(user.role),
        _("State"): _("✖ disabled") if user.disabled else _("✔ may sign in"),
        _("Signs in with"): _(WAYS[user.origin])
        if user.origin in WAYS
        else (_("password") if user.has_password else _("nothing yet: give a link")),
        _("Last"): shell.clock(user.signed_in_at) if user.signed_in_at else _("never"),
        _("Since"): shell.clock(user.created_at),
    }


def show_link() -> None:
    """What was made last, until something else is done."""
    name, link = st.session_state.get(LINK_KEY, ("", ""))
    if link:
        st.success(
            _(
                "**Give this link to {name}.** With it they choose their password; it works once, "
                "for an hour, and is not shown again.",
                name=words.plain(name),
            ),
            icon=":material/key:",
        )
        st.code(link, language=None)


def show_new() -> None:
    st.markdown(_("**New user**"))
    with st.form("system.new", border=False, clear_on_submit=True):
        name = st.text_input(_("Name"), max_chars=MAX_NAME, help=_("It stands beside all they do"))
        role = st.selectbox(_("Role"), ROLES, format_func=said)
        if st.form_submit_button(_("Add user"), icon=":material/person_add:", type="primary"):
            attempt(lambda: (" ".join(name.split()), system_data.add_user(name, role)))


def show_one(found: list[User]) -> None:
    st.markdown(_("**Change a user**"))
    by_name = {user.name: user for user in found}
    user = by_name.get(st.selectbox(_("User"), list(by_name), key="system.user") or "")
    if user is None:
        return
    role = st.selectbox(
        _("New role"), ROLES, format_func=said, index=ROLES.index(user.role), key=f"system.role.{user.id}.{user.role}"
    )
    with st.container(horizontal=True):
        if st.button(_("Save role"), icon=":material/check:", disabled=role == user.role):
            attempt(lambda: system_data.set_role(user.name, role))
        if st.button(_("Enable") if user.disabled else _("Disable"), icon=":material/block:"):
            attempt(lambda: system_data.set_disabled(user.name, not user.disabled))
        if st.button(
            _("Link for a new password"), icon=":material/key:", disabled=user.disabled or user.origin in WAYS
        ):
            attempt(lambda: (user.name, system_data.password_link(user.name)))


def attempt(act: Callable[[], tuple[str, str] | None]) -> None:
    """Does it and shows the page as it is then; what is refused is said, and the page stays."""
    st.session_state.pop(LINK_KEY, None)
    try:
        made = act()
    except LoomwatchError as error:
        st.error(words.plain(told(str(error))), icon=":material/error:")
        return
    if made is not None:
        st.session_state[LINK_KEY] = made
    st.rerun()
