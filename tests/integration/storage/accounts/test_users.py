"""Accounts: names, roles, passwords, and the admin that always remains."""

import pytest
from sqlalchemy import select

from inspection.errors import SettingsError
from storage.accounts import users
from storage.accounts.passwords import is_password
from storage.accounts.roles import ROLES, parse_role, reaches
from storage.database import Database
from storage.tables import AuditRow, UserRow

pytestmark = pytest.mark.integration
PASSWORD = "linen warp 1887"


def add(database: Database, name: str = "Anna", role: str = "admin") -> users.User:
    return users.add_user(database, name=name, role=role, password=PASSWORD, by="root")


def audited(database: Database) -> list[tuple[str, str, str]]:
    with database.reading() as session:
        return [(row.action, row.subject, row.by) for row in session.scalars(select(AuditRow).order_by(AuditRow.id))]


def test_a_password_is_kept_as_argon2id_and_nowhere_else(database: Database) -> None:
    add(database)
    with database.reading() as session:
        row = session.scalars(select(UserRow)).one()
        said = [str(entry.detail) + entry.subject for entry in session.scalars(select(AuditRow))]
    assert row.password.startswith("$argon2id$")
    assert is_password(PASSWORD, row.password)
    assert not is_password(PASSWORD.upper(), row.password)
    assert all(PASSWORD not in text and row.password not in text for text in said)
    assert audited(database) == [("user.add", "Anna", "root")]


def test_a_name_is_one_however_it_is_written(database: Database) -> None:
    add(database, "Jörg  Weber")
    for same in ("JÖRG WEBER", " jörg weber ", "Jo\u0308rg Weber"):
        with pytest.raises(SettingsError, match="there is already a user"):
            add(database, same)
    assert [user.name for user in users.list_users(database)] == ["Jörg Weber"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "a\x00b", "a\x1b[31m"])
def test_a_name_that_cannot_be_shown_is_refused(database: Database, name: str) -> None:
    with pytest.raises(SettingsError, match=r"^name: "):
        add(database, name)
    assert users.list_users(database) == []


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaa", "annaannaanna anna", "x" * 257, "Anna Keller"])
def test_a_weak_password_is_refused_without_being_quoted(database: Database, password: str) -> None:
    name = "Anna Keller" if password == "Anna Keller" else "Anna"
    with pytest.raises(SettingsError, match="password") as told:
        users.add_user(database, name=name, role="viewer", password=password, by="root")
    assert password not in str(told.value)


def test_the_last_admin_stays(database: Database) -> None:
    add(database, "Anna", "admin")
    add(database, "Ben", "admin")
    users.set_disabled(database, name="anna", disabled=True, by="Ben")
    for act in (
        lambda: users.set_disabled(database, name="Ben", disabled=True, by="Ben"),
        lambda: users.set_role(database, name="Ben", role="viewer", by="Ben"),
    ):
        with pytest.raises(SettingsError, match="last admin"):
            act()
    found = {user.name: (user.role, user.disabled) for user in users.list_users(database)}
    assert found == {"Anna": ("admin", True), "Ben": ("admin", False)}
    assert [entry[0] for entry in audited(database)] == ["user.add", "user.add", "user.disable"]


def test_an_unknown_user_or_role_is_told(database: Database) -> None:
    with pytest.raises(SettingsError, match="there is no user Eve: see loomwatch users list"):
        users.set_role(database, name="Eve", role="admin", by="root")
    with pytest.raises(SettingsError, match="must be one of viewer, operator, quality, admin, got 'boss'"):
        add(database, role="boss")


def test_each_role_reaches_for_what_those_before_it_may() -> None:
    assert [[reaches(parse_role(one), other) for other in ROLES] for one in ROLES] == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]
