"""Sessions, one-time links, and what slows guessing down."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from inspection.errors import SettingsError
from storage.accounts import links, sessions, slowing, users
from storage.accounts.sessions import Limits
from storage.accounts.sign_in import Tried, change_password, sign_in
from storage.database import Database
from storage.tables import AuditRow, OneTimeLinkRow, SessionRow, UserRow

pytestmark = pytest.mark.integration
PASSWORD, OTHER = "linen warp 1887", "jute weft 1912"
LIMITS = Limits(idle=timedelta(hours=1), absolute=timedelta(hours=10))
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
START = datetime.now(UTC)


@pytest.fixture
def plant(database: Database) -> Database:
    for name, role in (("Anna", "admin"), ("Ben", "operator"), ("Wall", "viewer")):
        users.add_user(database, name=name, role=role, password=PASSWORD, by="root")
    return database


Try = Callable[..., Tried]


@pytest.fixture
def attempt(plant: Database) -> Try:
    def run(name: str = "Ben", password: str = PASSWORD, *, address: str = "10.0.0.1", at: datetime = START) -> Tried:
        return sign_in(plant, name=name, password=password, address=address, limits=LIMITS, at=at)

    return run


# --- sessions ------------------------------------------------------------------------------------------------------


def test_the_right_password_starts_a_session_of_which_only_a_hash_is_kept(plant: Database, attempt: Try) -> None:
    secret = attempt("ben").secret
    found = sessions.find_user(plant, secret, LIMITS)
    assert found is not None
    assert (found.name, found.role) == ("Ben", "operator")
    with plant.reading() as session:
        [row] = session.scalars(select(SessionRow))
        said = [(entry.action, entry.by, str(entry.detail)) for entry in session.scalars(select(AuditRow))]
    assert secret not in row.hash
    assert said[-1] == ("user.sign_in", "Ben", "{'how': 'password'}")
    assert sessions.find_user(plant, secret + "x", LIMITS) is None
    assert sessions.find_user(plant, row.hash, LIMITS) is None


def test_wrong_name_wrong_password_disabled_and_without_password_look_alike(plant: Database, attempt: Try) -> None:
    users.add_user(plant, name="Demo", role="viewer", password=None, by="root")
    users.set_disabled(plant, name="Wall", disabled=True, by="Anna")
    tries = [("Eve", PASSWORD), ("Ben", OTHER), ("Wall", PASSWORD), ("Demo", ""), ("", ""), ("\0", "x" * 1000)]
    assert {attempt(name, password) for name, password in tries[:5]} == {Tried()}
    assert attempt(*tries[5], address="10.0.0.2") == Tried()


def test_a_session_ends_when_idle_but_a_wall_screen_s_does_not(plant: Database, attempt: Try) -> None:
    secret, wall = attempt("Ben").secret, attempt("Wall").secret

    def who(secret: str, at: datetime) -> str:
        found = sessions.find_user(plant, secret, LIMITS, at=at)
        return found.name if found else ""

    now = datetime.now(UTC)
    assert who(secret, now + HOUR - MINUTE) == "Ben"
    assert who(secret, now + HOUR + MINUTE) == ""
    sessions.touch_session(plant, secret, at=now + HOUR / 2)
    assert who(secret, now + HOUR + MINUTE) == "Ben"
    for hours in range(1, 200):  # its page is open
        assert who(wall, now + hours * HOUR) == "Wall"
    sign_in(plant, name="Anna", password=PASSWORD, address="10.0.0.9", limits=LIMITS, at=now + 200 * HOUR)
    assert who(wall, now + 200 * HOUR) == "Wall"  # others' are forgotten, this is not
    assert who(wall, now + 211 * HOUR) == ""  # it was switched off


def test_a_wall_screen_s_session_that_becomes_somebody_else_s_is_as_old_as_it_is(plant: Database, attempt: Try) -> None:
    wall, now = attempt("Wall").secret, datetime.now(UTC)
    for hours in range(1, 30):
        assert sessions.find_user(plant, wall, LIMITS, at=now + hours * HOUR) is not None
    users.set_role(plant, name="Wall", role="operator", by="Anna")
    assert sessions.find_user(plant, wall, LIMITS, at=now + 29 * HOUR) is None


def test_a_viewer_of_the_company_is_asked_for_again(plant: Database, attempt: Try) -> None:
    wall, now = attempt("Wall").secret, datetime.now(UTC)
    with plant.session() as session:
        session.scalars(select(UserRow).where(UserRow.name == "Wall")).one().password = ""
    for hours in range(1, 11):
        assert sessions.find_user(plant, wall, LIMITS, at=now + (hours - 0.1) * HOUR) is not None
    assert sessions.find_user(plant, wall, LIMITS, at=now + 10.1 * HOUR) is None


def test_however_busy_a_session_ends_at_last(plant: Database, attempt: Try) -> None:
    secret, now = attempt("Ben").secret, datetime.now(UTC)
    for half_hours in range(1, 22):
        sessions.touch_session(plant, secret, at=now + half_hours * HOUR / 2)
    assert sessions.find_user(plant, secret, LIMITS, at=now + 10 * HOUR - MINUTE) is not None
    assert sessions.find_user(plant, secret, LIMITS, at=now + 10 * HOUR + MINUTE) is None


@pytest.mark.parametrize("end", ["sign out", "disable", "password"])
def test_what_ends_a_session_ends_it_at_once(plant: Database, attempt: Try, end: str) -> None:
    secret, other = attempt("Ben").secret, attempt("Anna").secret
    if end == "sign out":
        sessions.end_session(plant, secret)
    elif end == "disable":
        users.set_disabled(plant, name="Ben", disabled=True, by="Anna")
    else:
        users.set_password(plant, name="Ben", password=OTHER, by="Anna")
    assert sessions.find_user(plant, secret, LIMITS) is None
    assert sessions.find_user(plant, other, LIMITS) is not None


def test_a_changed_role_holds_in_a_running_session(plant: Database, attempt: Try) -> None:
    secret = attempt("Ben").secret
    users.set_role(plant, name="Ben", role="viewer", by="Anna")
    found = sessions.find_user(plant, secret, LIMITS)
    assert found is not None
    assert found.role == "viewer"


# --- another password ----------------------------------------------------------------------------------------------


def test_who_knows_the_present_password_chooses_another_and_is_out_everywhere_else(
    plant: Database, attempt: Try
) -> None:
    here, elsewhere = attempt().secret, attempt().secret
    anna = attempt("Anna").secret
    change_password(plant, by="Ben", old=PASSWORD, new=OTHER, address="10.0.0.1", keep=here)
    signed_in = [sessions.find_user(plant, secret, LIMITS) for secret in (here, elsewhere, anna)]
    assert [found and found.name for found in signed_in] == ["Ben", None, "Anna"]
    assert not attempt().secret
    assert attempt(password=OTHER).secret
    with plant.reading() as session:
        changed = session.scalars(select(AuditRow.by).where(AuditRow.action == "user.password")).all()
    assert changed == ["Ben"]


def test_who_does_not_know_the_present_password_is_slowed_as_when_signing_in(plant: Database, attempt: Try) -> None:
    def change(old: str, new: str = OTHER, *, by: str = "Ben") -> None:
        change_password(plant, by=by, old=old, new=new, address="10.0.0.1", keep="", at=START)

    with pytest.raises(SettingsError, match="10 to 256 characters"):
        change(PASSWORD, "short")
    for _ in range(5):
        with pytest.raises(SettingsError, match="the present password is another one"):
            change("guessed it all")
    with pytest.raises(SettingsError, match="wait 2 s"):
        change(PASSWORD)
    users.add_user(plant, name="Carla", role="viewer", password=None, by="root", origin="company")
    with pytest.raises(SettingsError, match="Carla has no password here"):
        change("", by="Carla")


# --- slowing down --------------------------------------------------------------------------------------------------


def test_after_five_wrong_passwords_even_the_right_one_waits(attempt: Try) -> None:
    for _ in range(5):
        assert attempt(password=OTHER) == Tried()
    assert attempt().wait == timedelta(seconds=2)
    assert attempt(at=START + timedelta(seconds=1)).wait == timedelta(seconds=1)
    assert attempt(at=START + timedelta(seconds=2)).secret


def test_each_further_try_waits_twice_as_long_up_to_a_limit(attempt: Try) -> None:
    """Another name each time, so it is the address that counts."""
    at, waits = START, []
    for number in range(18):
        if wait := attempt(f"nobody-{number}", at=at).wait:
            waits.append(wait.total_seconds())
            at += wait
            assert attempt(f"nobody-{number}", at=at) == Tried()
    longest = slowing.LONGEST["address"].total_seconds()
    assert waits[:8] == [2, 4, 8, 16, 32, 64, 128, 256]
    assert max(waits) <= longest
    assert min(waits[9:]) >= longest / 4, "it is forgiven slowly"


def test_a_try_made_while_waiting_does_not_prolong_it(attempt: Try) -> None:
    for _ in range(5):
        attempt(password=OTHER)
    for _ in range(50):
        attempt(password=OTHER)
    assert attempt(at=START + timedelta(seconds=2)).secret


def test_an_attacker_elsewhere_keeps_nobody_out(attempt: Try) -> None:
    """Not from where they have signed in before; and from a new place they wait a minute at most."""
    assert attempt("Ben", address="10.0.0.7").secret
    for number in range(60):
        attempt("Ben", OTHER, address=f"203.0.113.{number}", at=START + number * MINUTE)
    now = START + 59 * MINUTE + timedelta(seconds=1)
    assert attempt("Ben", address="10.0.0.7", at=now).secret
    elsewhere = attempt("Ben", address="10.0.0.8", at=now).wait
    assert timedelta(0) < elsewhere <= MINUTE
    assert attempt("Ben", address="10.0.0.8", at=now + elsewhere).secret


def test_an_account_of_one_s_own_does_not_buy_more_guesses_of_others(attempt: Try) -> None:
    for _ in range(8):
        attempt("Anna", OTHER)
        attempt("Ben")
    assert attempt("Anna", OTHER).wait


def test_guesses_at_the_same_time_are_all_counted(plant: Database) -> None:
    tried: list[Tried] = []

    def guess() -> None:
        tried.append(sign_in(plant, name="Ben", password=OTHER, address="10.0.0.1", limits=LIMITS, at=START))

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(not each.wait for each in tried) == 5
    assert not any(each.secret for each in tried)


# --- one-time links ------------------------------------------------------------------------------------------------


def test_the_first_admin_comes_in_by_a_link_that_works_once(database: Database) -> None:
    secret = links.make_link(database, purpose="first-admin", by="root")
    with database.reading() as session:
        assert secret not in session.scalars(select(OneTimeLinkRow.hash)).one()
    with pytest.raises(SettingsError, match="password must have"):
        links.use_link(database, secret, name="Anna", password="short")
    opened = links.use_link(database, secret, name="Anna", password=PASSWORD)
    found = sessions.find_user(database, opened, LIMITS)
    assert found is not None
    assert (found.name, found.role) == ("Anna", "admin")
    assert links.look_at_link(database, secret) is None
    with pytest.raises(SettingsError, match="used already or is too old"):
        links.use_link(database, secret, name="Eve", password=PASSWORD)
    assert sign_in(database, name="Anna", password=PASSWORD, address="x", limits=LIMITS).secret


def test_a_link_for_the_first_admin_makes_no_second(plant: Database) -> None:
    secret = links.make_link(plant, purpose="first-admin", by="root")
    with pytest.raises(SettingsError, match="there is an admin already"):
        links.use_link(plant, secret, name="Eve", password=PASSWORD)
    assert [user.name for user in users.list_users(plant)] == ["Anna", "Ben", "Wall"]


def test_a_link_expires(database: Database) -> None:
    secret = links.make_link(database, purpose="demo", by="root", at=START)
    assert links.look_at_link(database, secret, at=START + HOUR - MINUTE) is not None
    with pytest.raises(SettingsError, match="too old"):
        links.use_link(database, secret, at=START + HOUR)


def test_a_demo_s_link_walks_in_without_a_password_and_leaves_none(database: Database) -> None:
    for _ in range(2):
        opened = links.use_link(database, links.make_link(database, purpose="demo", by="root"))
        assert sessions.find_user(database, opened, LIMITS) is not None
    [user] = users.list_users(database)
    assert (user.name, user.role, user.has_password) == ("demo", "admin", False)
    assert sign_in(database, name="demo", password="", address="x", limits=LIMITS) == Tried()


def test_a_link_to_choose_a_password_ends_the_sessions_with_the_old_one(plant: Database, attempt: Try) -> None:
    before = attempt("Ben").secret
    secret = links.make_link(plant, purpose="password", name="ben", by="Anna")
    opened = links.use_link(plant, secret, password=OTHER, name="Anna")
    found = sessions.find_user(plant, opened, LIMITS)
    assert found is not None
    assert found.name == "Ben"
    assert sessions.find_user(plant, before, LIMITS) is None
    assert attempt("Ben") == Tried()
    assert attempt("Ben", OTHER).secret


def test_there_is_no_link_for_nobody(plant: Database) -> None:
    users.set_disabled(plant, name="Ben", disabled=True, by="Anna")
    for name in ("Eve", "Ben"):
        with pytest.raises(SettingsError, match="there is no user"):
            links.make_link(plant, purpose="password", name=name, by="Anna")


def test_an_older_hash_is_renewed_at_the_next_sign_in(plant: Database, attempt: Try) -> None:
    from argon2 import PasswordHasher

    with plant.session() as session:
        row = session.scalars(select(UserRow).where(UserRow.name == "Ben")).one()
        row.password = PasswordHasher(time_cost=2, memory_cost=128).hash(PASSWORD)
        before = row.password
    assert attempt("Ben").secret
    with plant.reading() as session:
        after = session.scalars(select(UserRow.password).where(UserRow.name == "Ben")).one()
    assert after != before
    assert attempt("Ben").secret
