"""Accounts of the company's: made or found when their owner comes from its provider, by the provider's own number for
them, since names change and are given again."""

from datetime import UTC, datetime

from sqlalchemy import select

from inspection.errors import SettingsError
from storage import audit
from storage.accounts.roles import Role
from storage.accounts.sessions import Limits, forget_ended, start_session
from storage.accounts.users import keep_an_admin, parse_name
from storage.database import Database
from storage.tables import UserRow


def sign_in_company(
    database: Database, *, subject: str, name: str, role: Role | None, otherwise: Role | None, limits: Limits
) -> str:
    """The secret of a new session. subject: the provider and its number of the person. role: what the provider says,
    which then holds from this sign-in on; None: what the account here has. otherwise: for who has neither; None: they
    stay out.

    An account that an admin has made for the company's NAME becomes theirs the first time; one of anybody else never
    does. Raises `SettingsError`, which says what an admin can do.
    """
    shown, key = parse_name(name)
    now = datetime.now(UTC)
    with database.session() as session:
        database.lock(session, "users")
        row = session.scalar(select(UserRow).where(UserRow.subject == subject))
        if row is None:
            row = session.scalar(select(UserRow).where(UserRow.key == key))
            if row is not None and (row.origin != "company" or row.subject):
                raise SettingsError(
                    f"the name {shown} is somebody else's here: ask an admin to give that account another"
                )
            if row is not None:
                row.subject = subject
        if row is None:
            first = role or otherwise
            if first is None:
                raise SettingsError(
                    f"{shown} has no account here yet: ask an admin for one (loomwatch users add {shown!r} --company)"
                )
            row = UserRow(
                name=shown, key=key, role=first, password="", origin="company", subject=subject, disabled=False,
                created_at=now,
            )  # fmt: skip
            session.add(row)
            session.flush()
            audit.record(
                session, by="company", action="user.add", subject=shown, detail={"role": first, "origin": "company"}
            )
        if row.disabled:
            raise SettingsError(f"the account {row.name} is disabled: ask an admin")
        if role is not None and row.role != role:
            audit.record(session, by="company", action="user.role", subject=row.name, detail={"role": [row.role, role]})
            row.role = role
            keep_an_admin(session)
        forget_ended(session, limits, at=now)
        return start_session(session, row, how="company")
