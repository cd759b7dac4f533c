"""Signing in with the company's account, at a real provider: who comes in, as what, and who stays out."""

import json
import logging
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from dashboard import door
from inspection.errors import SettingsError
from inspection.settings import DashboardSettings, StoreSettings, load
from storage.accounts import users
from storage.database import Database, open_database, upgrade
from storage.tables import AuditRow, UserRow
from tests.integration.dashboard.provider import CLIENT, SECRET, Provider, provide

pytestmark = pytest.mark.integration
COOKIE = "loomwatch_8501"
GROUPS = {"weaving": "operator", "lab": "quality"}
BEN = {"sub": "4711", "preferred_username": "Ben", "groups": ["lab", "weaving", "canteen"]}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provide() as provider:
        yield provider


@pytest.fixture
def accounts(store: StoreSettings) -> Iterator[Database]:
    upgrade(store.database)
    with open_database(store.database) as database:
        users.add_user(database, name="Anna", role="admin", password="linen warp 1887", by="test")
        yield database


@pytest.fixture
def house(accounts: Database, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Starlette:
    monkeypatch.setenv("LOOMWATCH_DASHBOARD_OIDC_ISSUER", provider.issuer)
    monkeypatch.setenv("LOOMWATCH_DASHBOARD_OIDC_CLIENT_ID", CLIENT)
    monkeypatch.setenv("LOOMWATCH_DASHBOARD_OIDC_CLIENT_SECRET", SECRET)
    monkeypatch.setattr(door, "entrance", door.Entrance())

    async def inside(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("inside")

    return Starlette(
        routes=[*door.routes, Route("/", inside), Route("/rolls", inside)], middleware=[Middleware(door.Door)]
    )


def browser(house: Starlette) -> TestClient:
    return TestClient(house, follow_redirects=False)


def go_there(client: TestClient, *, wanted: str = "/") -> str:
    """From the sign-in page to the provider; the address that it sends the browser back to."""
    sent = client.get("/sign-in/company", params={"next": wanted})
    assert sent.status_code == 303
    there = requests.get(sent.headers["location"], allow_redirects=False, timeout=30)
    back = urlsplit(there.headers["location"])
    assert back.path == "/sign-in/company/back"
    return f"{back.path}?{back.query}"


def account(database: Database, name: str) -> UserRow:
    with database.reading() as session:
        return session.scalars(select(UserRow).where(UserRow.name == name)).one()


def use_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMWATCH_DASHBOARD_OIDC_ROLE_CLAIM", "groups")
    monkeypatch.setenv("LOOMWATCH_DASHBOARD_OIDC_ROLES", json.dumps(GROUPS))


def test_groups_of_the_company_give_the_role_at_every_sign_in(
    accounts: Database, house: Starlette, provider: Provider, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    caplog.set_level(logging.DEBUG)
    use_groups(monkeypatch)
    provider.person = dict(BEN)
    client = browser(house)
    assert "Sign in with the company" in client.get("/sign-in", headers={"Accept": "text/html"}).text
    back = client.get(go_there(client, wanted="/rolls?roll=3"))
    assert (back.status_code, back.headers["location"]) == (303, "/rolls?roll=3")
    assert client.get("/rolls").text == "inside"
    assert (account(accounts, "Ben").role, account(accounts, "Ben").origin) == ("quality", "company")

    provider.person = {**BEN, "preferred_username": "Ben Maier", "groups": ["weaving"]}  # the same person, by number
    again = browser(house)
    again.get(go_there(again))
    assert account(accounts, "Ben").role == "operator"
    with accounts.reading() as session:
        said = [(row.by, row.action) for row in session.scalars(select(AuditRow).where(AuditRow.subject == "Ben"))]
    assert said == [
        ("company", "user.add"),
        ("Ben", "user.sign_in"),
        ("company", "user.role"),
        ("Ben", "user.sign_in"),
    ]

    # nothing that is worth anything stood in an address or in a log
    asked = parse_qs(urlsplit(provider.asked[0]).query)
    assert "code_verifier" not in asked
    assert SECRET not in str(provider.asked)
    assert SECRET not in caplog.text
    held = client.cookies.get(f"{COOKIE}_company")
    assert held is None  # gone with the way


def test_without_a_claim_an_account_that_was_made_for_them_says_the_role(
    accounts: Database, house: Starlette, provider: Provider
) -> None:
    provider.person = {"sub": "1", "preferred_username": "Eva"}
    client = browser(house)
    refused = client.get(go_there(client))
    assert refused.status_code == 403
    assert "Eva has no account here yet" in refused.text
    users.add_user(accounts, name="Eva", role="operator", password=None, by="Anna", origin="company")
    assert client.get(go_there(client)).status_code == 303
    assert client.get("/").text == "inside"
    assert account(accounts, "Eva").role == "operator"

    # the account is theirs from now on: another person of that name stays out, and a disabled one does
    provider.person = {"sub": "2", "preferred_username": "Eva"}
    other = browser(house)
    assert "somebody else" in other.get(go_there(other)).text
    users.set_disabled(accounts, name="Eva", disabled=True, by="Anna")
    assert client.get("/").status_code == 401
    provider.person = {"sub": "1", "preferred_username": "Eva"}
    assert "disabled" in client.get(go_there(client)).text


def test_a_role_for_everybody_else_can_be_set(
    accounts: Database, house: Starlette, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOMWATCH_DASHBOARD_OIDC_OTHERWISE", "viewer")
    provider.person = {"sub": "9", "preferred_username": "Guest"}
    client = browser(house)
    client.get(go_there(client))
    assert account(accounts, "Guest").role == "viewer"


def test_nobody_takes_over_a_local_account_by_its_name(
    accounts: Database, house: Starlette, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_groups(monkeypatch)
    provider.person = {**BEN, "preferred_username": "ANNA"}
    client = browser(house)
    refused = client.get(go_there(client))
    assert refused.status_code == 403
    assert "somebody else" in refused.text
    assert COOKIE not in client.cookies


@pytest.mark.parametrize(
    "spoil",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://elsewhere.example"},
        {"aud": "another"},
        {"exp": 1000},
        {"exp": None},
        {"sub": None},
        {"preferred_username": None},
    ],
    ids=str,
)
def test_a_token_that_was_not_made_for_this_sign_in_is_refused(
    accounts: Database, house: Starlette, provider: Provider, spoil: dict[str, object]
) -> None:
    users.add_user(accounts, name="Ben", role="operator", password=None, by="Anna", origin="company")
    provider.person, provider.spoil = dict(BEN), spoil
    client = browser(house)
    assert client.get(go_there(client)).status_code == 403
    assert COOKIE not in client.cookies


def test_a_token_signed_by_somebody_else_is_refused(accounts: Database, house: Starlette, provider: Provider) -> None:
    users.add_user(accounts, name="Ben", role="operator", password=None, by="Anna", origin="company")
    provider.person, provider.sign_by_another = dict(BEN), True
    client = browser(house)
    assert client.get(go_there(client)).status_code == 403


def test_only_the_browser_that_went_there_comes_back_and_only_once(
    accounts: Database, house: Starlette, provider: Provider
) -> None:
    users.add_user(accounts, name="Ben", role="operator", password=None, by="Anna", origin="company")
    provider.person = dict(BEN)
    client = browser(house)
    back = go_there(client)
    assert browser(house).get(back).status_code == 403  # the address was sent to somebody else
    wrong = back.replace("state=", "state=x")
    assert client.get(wrong).status_code == 403
    assert client.get(back).status_code == 403  # a wrong state has ended this way
    assert client.get(go_there(client)).status_code == 303
    refused = browser(house)
    go_there(refused)
    said = refused.get("/sign-in/company/back?error=access_denied&state=x")
    assert said.status_code == 403


def test_a_provider_that_is_away_or_has_another_name_is_told(
    accounts: Database, house: Starlette, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOMWATCH_DASHBOARD_OIDC_ISSUER", provider.issuer + "/")
    shown = browser(house).get("/sign-in/company")
    assert shown.status_code == 503
    assert "LOOMWATCH_DASHBOARD_OIDC_ISSUER" in shown.text
    monkeypatch.setenv("LOOMWATCH_DASHBOARD_OIDC_ISSUER", "http://127.0.0.1:9")
    monkeypatch.setattr(door, "entrance", door.Entrance())
    assert "does not answer" in browser(house).get("/sign-in/company").text


def test_a_local_dashboard_knows_no_company(accounts: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "entrance", door.Entrance())
    client = browser(Starlette(routes=door.routes, middleware=[Middleware(door.Door)]))
    assert "company" not in client.get("/sign-in").text
    for path in ("/sign-in/company", "/sign-in/company/back?code=x&state=y"):
        assert client.get(path).headers["location"] == "/sign-in"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"oidc_issuer": "http://sso.mill.example", "oidc_client_id": "x"}, "https"),
        ({"oidc_issuer": "https://sso.mill.example"}, "oidc_client_id"),
        ({"oidc_issuer": "https://s.example", "oidc_client_id": "x", "oidc_role_claim": "groups"}, "oidc_roles"),
        ({"oidc_issuer": "https://s.example", "oidc_client_id": "x", "oidc_scope": "email"}, "openid"),
    ],
)
def test_half_a_company_is_refused(values: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load(DashboardSettings, **values)
