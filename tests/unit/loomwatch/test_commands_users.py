"""Users at the command line: passwords never as an argument; what is wrong is one line and exit code 2."""

import io
import os
import sys

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from inspection.settings import StoreSettings, load
from loomwatch import terminal
from loomwatch.cli import run
from loomwatch.commands_users import show_way_in, way_in, who
from storage.accounts import links, passwords
from storage.accounts.passwords import is_password
from storage.accounts.users import count_users
from storage.database import open_database
from storage.tables import AuditRow, UserRow

PASSWORD = "linen warp 1887"


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LOOMWATCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOOMWATCH_DATA_DIR", str(tmp_path / "line"))
    monkeypatch.setattr(terminal.console, "width", 400)  # no line is wrapped
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
def call(capfd, monkeypatch):
    def check(*arguments, given="", code=0):
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        capfd.readouterr()
        assert run([str(argument) for argument in arguments]) == code
        said = capfd.readouterr()
        if code:
            assert said.err.count("\n") == 1
            assert PASSWORD not in said.err
        return said.err if code else said.out

    return check


@pytest.fixture
def database(call):
    call("users", "add", "Anna", "--role", "admin", given=f"{PASSWORD}\n")
    with open_database(load(StoreSettings).database) as opened:
        yield opened


def test_the_first_account_makes_the_database_too(database) -> None:
    with database.reading() as session:
        row = session.scalars(select(UserRow)).one()
        entry = session.scalars(select(AuditRow)).one()
    assert (row.name, row.role) == ("Anna", "admin")
    assert is_password(PASSWORD, row.password)
    assert (entry.action, entry.by) == ("user.add", who())


def test_a_life_of_an_account(call, database) -> None:
    call("users", "add", "Ben", given=f"{PASSWORD}\n")
    assert "quality" in call("users", "role", "ben", "quality")
    call("users", "password", "Ben", given="jute weft 1912\n")
    assert "let in again" not in call("users", "disable", "Ben")
    listed = call("users", "list")
    [line] = [line for line in listed.splitlines() if "Ben" in line]
    assert all(word in line for word in ("quality", "password", "disabled", "never"))
    call("users", "enable", "Ben")
    link = call("users", "link", "Ben").split()[0]
    found = links.look_at_link(database, link.partition("#")[2])
    assert found is not None
    assert found.name == "Ben"
    assert link.startswith("http://127.0.0.1:8501/welcome#")


def test_what_is_wrong_is_told_in_a_line(call, database) -> None:
    assert "password must have" in call("users", "add", "Eve", given="short\n", code=2)
    assert "no password" in call("users", "add", "Eve", code=2)
    assert "already a user ANNA" in call("users", "add", "ANNA", given=f"{PASSWORD}\n", code=2)
    assert "must be one of viewer" in call("users", "add", "Eve", "--role", "boss", given=f"{PASSWORD}\n", code=2)
    assert "last admin" in call("users", "disable", "Anna", code=2)
    assert "no user Eve" in call("users", "role", "Eve", "admin", code=2)
    assert call("users", "add", "Eve", "--password", PASSWORD, given="", code=2)
    assert count_users(database) == 1


def test_a_start_prints_a_way_in_only_on_a_terminal_and_a_demo_always(database, monkeypatch, capfd) -> None:
    assert way_in(database, "http://127.0.0.1:1", demo=False) == "", "this may be a log"
    show_way_in("", load(StoreSettings))
    assert "loomwatch users add NAME --role admin" in capfd.readouterr().out
    monkeypatch.setattr(terminal.console, "_force_terminal", True)
    assert way_in(database, "http://127.0.0.1:1", demo=False) == "", "there is an account"
    link = way_in(database, "http://127.0.0.1:1", demo=True)
    found = links.look_at_link(database, link.partition("/welcome#")[2])
    assert found is not None
    assert found.purpose == "demo"


def test_a_dashboard_that_others_reach_waits_for_the_first_account(call, monkeypatch) -> None:
    call("db", "upgrade")
    monkeypatch.setenv("LOOMWATCH_DASHBOARD_HOST", "0.0.0.0")
    monkeypatch.setenv("LOOMWATCH_DASHBOARD_PORT", "18651")
    for command in ("dashboard", "up"):
        assert "has no account yet" in call(command, code=2)
