"""The door: who comes in, by which form, and what the browser is given."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard import door
from inspection.settings import StoreSettings
from storage.accounts import links, passwords, users
from storage.database import Database, open_database, upgrade
from storage.tables import AuditRow, SessionRow

pytestmark = pytest.mark.integration
PASSWORD = "linen warp 1887"
COOKIE = "loomwatch_8501"
PAGE = {"Accept": "text/html,application/xhtml+xml"}


async def inside(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("inside")


async def stream(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("inside")
    await socket.close()


@pytest.fixture
def house(store: StoreSettings, monkeypatch: pytest.MonkeyPatch) -> Starlette:
    """Something to get into, behind the door; no database yet."""
    monkeypatch.setattr(door, "entrance", door.Entrance())
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    rooms = [Route("/", inside), Route("/rolls", inside), WebSocketRoute("/_stcore/stream", stream)]
    return Starlette(routes=[*door.routes, *rooms], middleware=[Middleware(door.Door)])


@pytest.fixture
def accounts(store: StoreSettings) -> Iterator[Database]:
    upgrade(store.database)
    with open_database(store.database) as database:
        yield database


@pytest.fixture
def anna(accounts: Database, house: Starlette) -> Database:
    users.add_user(accounts, name="Anna", role="admin", password=PASSWORD, by="test")
    return accounts


def visitor(house: Starlette, *, address: str = "10.0.0.1", scheme: str = "http") -> TestClient:
    return TestClient(house, base_url=f"{scheme}://testserver", client=(address, 1), follow_redirects=False)


def enter(client: TestClient, *, password: str = PASSWORD, name: str = "Anna", wanted: str = "/", **headers: str):
    return client.post("/sign-in", data={"name": name, "password": password, "next": wanted}, headers=headers)


def test_without_a_session_there_is_only_the_sign_in_page(anna: Database, house: Starlette) -> None:
    client = visitor(house)
    shown = client.get("/rolls?roll=3&camera=a b", headers=PAGE)
    assert shown.status_code == 303
    assert unquote(shown.headers["location"].partition("?next=")[2]) == "/rolls?roll=3&camera=a%20b"
    assert client.get("/rolls").status_code == 401
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/_stcore/stream"):
        pass
    for guess in ("x", "", "' OR 1=1"):
        client.cookies.set(COOKIE, guess)
        assert client.get("/rolls").status_code == 401


def test_the_right_password_opens_the_page_that_was_asked_for(anna: Database, house: Starlette) -> None:
    client = visitor(house)
    sent = enter(client, wanted="/rolls?roll=3")
    assert (sent.status_code, sent.headers["location"]) == (303, "/rolls?roll=3")
    set_cookie = sent.headers["set-cookie"].lower()
    assert "httponly" in set_cookie
    assert "samesite=lax" in set_cookie
    assert "secure" not in set_cookie
    assert client.get("/rolls").text == "inside"
    with client.websocket_connect("/_stcore/stream") as socket:
        assert socket.receive_text() == "inside"
    assert "secure" in enter(visitor(house, scheme="https")).headers["set-cookie"].lower()


@pytest.mark.parametrize("wanted", ["https://evil.example", "//evil.example", "/\\evil.example", "evil"])
def test_nobody_is_sent_elsewhere(anna: Database, house: Starlette, wanted: str) -> None:
    assert enter(visitor(house), wanted=wanted).headers["location"] == "/"


def test_wrong_is_told_alike_and_slows_down(anna: Database, house: Starlette) -> None:
    client = visitor(house)
    said = [enter(client, password="wrong, wrong"), enter(client, name='"><script>')]
    assert {answer.status_code for answer in said} == {403}
    assert all(door.WRONG in answer.text and "set-cookie" not in answer.headers for answer in said)
    assert "<script>" not in said[1].text.replace('<script nonce="', "")
    for _ in range(3):
        enter(client, password="wrong, wrong")
    slowed = enter(client)
    assert slowed.status_code == 429
    assert int(slowed.headers["retry-after"]) >= 1
    assert "Too many wrong passwords" in slowed.text


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_another_site_s_form_is_refused(anna: Database, house: Starlette, headers: dict[str, str]) -> None:
    client = visitor(house)
    for path in ("/sign-in", "/welcome", "/sign-out"):
        sent = client.post(path, data={"name": "Anna", "password": PASSWORD}, headers=headers)
        assert sent.status_code == 403
        assert "set-cookie" not in sent.headers
    assert enter(client, Origin="http://testserver").status_code == 303


def test_a_form_without_end_is_refused(anna: Database, house: Starlette) -> None:
    assert enter(visitor(house), password="x" * door.MAX_FORM_BYTES).status_code == 403


def test_signing_out_ends_the_session_for_whoever_kept_the_cookie(anna: Database, house: Starlette) -> None:
    client, thief = visitor(house), visitor(house)
    enter(client)
    thief.cookies.set(COOKIE, client.cookies[COOKIE])
    assert thief.get("/rolls").text == "inside"
    assert client.post("/sign-out").headers["location"] == "/sign-in"
    assert thief.get("/rolls").status_code == 401
    with anna.reading() as session:
        assert session.scalars(select(AuditRow.action).order_by(AuditRow.id.desc())).first() == "user.sign_out"


def test_a_session_that_is_over_opens_nothing(anna: Database, house: Starlette) -> None:
    client = visitor(house)
    enter(client)
    with anna.session() as session:
        session.execute(update(SessionRow).values(used_at=datetime.now(UTC) - timedelta(hours=9)))
    assert client.get("/rolls").status_code == 401


def test_the_first_admin_chooses_name_and_password(accounts: Database, house: Starlette) -> None:
    client = visitor(house)
    assert "loomwatch users add NAME --role admin" in client.get("/sign-in").text
    secret = links.make_link(accounts, purpose="first-admin", by="test")
    assert secret not in client.get("/welcome").text
    asked = client.post("/welcome", data={"secret": secret})
    assert "Your name" in asked.text
    assert asked.headers["cache-control"] == "no-store"
    form = {"secret": secret, "name": "Anna", "password": PASSWORD}
    assert "not the same" in client.post("/welcome", data={**form, "again": "another one 1"}).text
    assert "password must have" in client.post("/welcome", data={**form, "password": "short", "again": "short"}).text
    done = client.post("/welcome", data={**form, "again": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert client.get("/rolls").text == "inside"
    assert client.post("/welcome", data={**form, "again": PASSWORD}).status_code == 410


def test_a_demo_s_link_walks_in_at_once_and_once(accounts: Database, house: Starlette) -> None:
    secret = links.make_link(accounts, purpose="demo", by="test")
    client = visitor(house)
    assert client.post("/welcome", data={"secret": secret}).status_code == 303
    assert client.get("/rolls").text == "inside"
    assert visitor(house).post("/welcome", data={"secret": secret}).status_code == 410


def test_a_database_that_is_missing_is_told_in_a_line(house: Starlette) -> None:
    for answer in (visitor(house).get("/sign-in"), enter(visitor(house))):
        assert answer.status_code == 503
        assert "loomwatch db upgrade" in answer.text
        assert "Traceback" not in answer.text


def test_no_page_can_be_framed_by_another_site(anna: Database, house: Starlette) -> None:
    client = visitor(house)
    assert "frame-ancestors 'none'" in client.get("/sign-in").headers["content-security-policy"]
    enter(client)
    inside = client.get("/rolls").headers
    assert inside["content-security-policy"] == "frame-ancestors 'self'"
    assert inside["x-content-type-options"] == "nosniff"
