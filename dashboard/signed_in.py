"""Who is signed in, and whether they may: the one place below the pages where every act is checked.

A page asks `user()`. An act takes its `by=` from `allowed(ROLE)`, and there is no other way to a name: whoever has not
this role gets `NotAllowed` before anything is written. Both ask the database each time, so that a role taken away or a
session ended elsewhere holds at once.
"""

from datetime import timedelta

import streamlit as st

from dashboard.stores import store
from inspection.settings import DashboardSettings, load
from storage.accounts import sessions
from storage.accounts.roles import NotAllowed, Role, reaches
from storage.accounts.sessions import Limits
from storage.accounts.users import User

ENDED = "you are not signed in any more: sign in again"


def cookie_name(settings: DashboardSettings) -> str:
    """One a port: browsers share cookies among the ports of a host."""
    return f"loomwatch_{settings.port}"


def limits_of(settings: DashboardSettings) -> Limits:
    return Limits(idle=timedelta(hours=settings.session_idle_h), absolute=timedelta(hours=settings.session_h))


def user() -> User | None:
    """Whose browser this is; None when nobody is signed in."""
    secret = browser_secret()
    return sessions.find_user(store().database, secret, limits_of(_settings())) if secret else None


def allowed(least: Role, *, by_itself: bool = False) -> str:
    """The name to write beside an act. Raises `NotAllowed` for a lesser role, and where nobody is signed in.

    by_itself: the page does it without anybody's doing, so that the session stays idle.
    """
    found = user()
    if found is None:
        raise NotAllowed(ENDED)
    if not reaches(found.role, least):
        raise NotAllowed(f"this needs the role {least}, and {found.name} is {found.role}: ask an admin")
    if not by_itself:
        touch()
    return found.name


def may(least: Role) -> bool:
    """For what a page shows or leaves away; what an act asks is `allowed`."""
    found = user()
    return found is not None and reaches(found.role, least)


def touch() -> None:
    """Somebody did something just now: the session is not idle. What a page redraws by itself does not count."""
    sessions.touch_session(store().database, browser_secret())


def sign_out() -> None:
    sessions.end_session(store().database, browser_secret())


def browser_secret() -> str:
    """The session's secret in this browser's cookie, "" for none."""
    return st.context.cookies.get(cookie_name(_settings()), "")


@st.cache_resource(show_spinner=False)
def _settings() -> DashboardSettings:
    return load(DashboardSettings)
