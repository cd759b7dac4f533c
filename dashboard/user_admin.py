"""Users, on the page System: who there is, and what an admin does about it."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard import shell, system_data, words
from inspection.errors import LoomwatchError
from storage.accounts.roles import ROLES
from storage.accounts.users import MAX_NAME, User

LINK_KEY = "system.link"  # name and one-time link, shown until something else is done
MAY = {
    "viewer": "sees everything but this",
    "operator": "also reviews defects, acknowledges alarms, opens and closes rolls",
    "quality": "also curates samples, retrains, promotes and rolls back models",
    "admin": "also manages users and the plant",
}
WAYS = {"company": "the company's account", "demo": "a demo's link"}


def show_users() -> None:
    found = system_data.list_users()
    show_link()
    st.dataframe(
        pd.DataFrame([row_of(user) for user in found]), hide_index=True, alt="Accounts, their roles and last sign-in"
    )
    st.caption(" · ".join(f"**{role}** {what}" for role, what in MAY.items()))
    with st.grid(2, min_column_width=360):
        with st.container(border=True):
            show_new()
        with st.container(border=True):
            show_one(found)


def row_of(user: User) -> dict[str, str]:
    return {
        "Name": user.name,
        "Role": user.role,
        "State": "✖ disabled" if user.disabled else "✔ may sign in",
        "Signs in with": WAYS.get(user.origin, "password" if user.has_password else "nothing yet: give a link"),
        "Last": shell.clock(user.signed_in_at) if user.signed_in_at else "never",
        "Since": shell.clock(user.created_at),
    }


def show_link() -> None:
    """What was made last, until something else is done."""
    name, link = st.session_state.get(LINK_KEY, ("", ""))
    if link:
        st.success(
            f"**Give this link to {words.plain(name)}.** With it they choose their password; it works once, for an "
            "hour, and is not shown again.",
            icon=":material/key:",
        )
        st.code(link, language=None)


def show_new() -> None:
    st.markdown("**New user**")
    with st.form("system.new", border=False, clear_on_submit=True):
        name = st.text_input("Name", max_chars=MAX_NAME, help="It stands beside all they do")
        role = st.selectbox("Role", ROLES)
        if st.form_submit_button("Add user", icon=":material/person_add:", type="primary"):
            attempt(lambda: (" ".join(name.split()), system_data.add_user(name, role)))


def show_one(found: list[User]) -> None:
    st.markdown("**Change a user**")
    by_name = {user.name: user for user in found}
    user = by_name.get(st.selectbox("User", list(by_name), key="system.user") or "")
    if user is None:
        return
    role = st.selectbox("Role ", ROLES, index=ROLES.index(user.role), key=f"system.role.{user.id}.{user.role}")
    with st.container(horizontal=True):
        if st.button("Save role", icon=":material/check:", disabled=role == user.role):
            attempt(lambda: system_data.set_role(user.name, role))
        if st.button("Enable" if user.disabled else "Disable", icon=":material/block:"):
            attempt(lambda: system_data.set_disabled(user.name, not user.disabled))
        if st.button("Link for a new password", icon=":material/key:", disabled=user.disabled or user.origin in WAYS):
            attempt(lambda: (user.name, system_data.password_link(user.name)))


def attempt(act: Callable[[], tuple[str, str] | None]) -> None:
    """Does it and shows the page as it is then; what is refused is said, and the page stays."""
    st.session_state.pop(LINK_KEY, None)
    try:
        made = act()
    except LoomwatchError as error:
        st.error(words.plain(words.sentence(str(error))), icon=":material/error:")
        return
    if made is not None:
        st.session_state[LINK_KEY] = made
    st.rerun()
