"""Signing in, in a real browser before the real dashboard: passwords, roles, links, sessions, the way out."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import requests
from playwright.sync_api import Browser, expect
from sqlalchemy import select, update

from inspection.settings import StoreSettings
from storage.accounts import links
from storage.database import Database, open_database
from storage.tables import AuditRow, DefectRow, SessionRow
from tests.e2e.browser import PASSWORD, PATIENCE_S, enter, new_page, serve, settle, sign_in

pytestmark = pytest.mark.e2e


def states(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(DefectRow.state).order_by(DefectRow.id)))


def log_of(store: StoreSettings) -> str:
    return (store.data_dir / "dashboard.log").read_text()


def test_from_the_sign_in_page_to_the_end_of_the_session(chromium: Browser, seeded_line: StoreSettings) -> None:
    with (
        open_database(seeded_line.database) as database,
        serve(seeded_line.data_dir) as address,
        new_page(chromium) as page,
    ):
        # nothing is served before: not a page, not its data
        assert requests.get(f"{address}/_stcore/host-config", timeout=PATIENCE_S).status_code == 401
        assert requests.get(f"{address}/media/x.png", timeout=PATIENCE_S).status_code == 401
        page.goto(f"{address}/review?strength=1.1")
        expect(page).to_have_url(re.compile("/sign-in"))

        # wrong name or password: told the same, and what was typed is not in the log
        for name in ("operator", "nobody"):
            enter(page, name=name, password="wrong, wrong")
            expect(page.get_by_role("alert")).to_have_text("That is not a name and password that belong together.")

        # right: on to the page that was asked for
        enter(page, name="operator", password=PASSWORD)
        expect(page).to_have_url(re.compile(r"/review\?.*strength=1\.1"))
        expect(page.get_by_role("heading", level=1, name="Review")).to_be_visible()
        [cookie] = [each for each in page.context.cookies() if each["name"].startswith("loomwatch_")]
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        assert "loomwatch_" not in page.evaluate("document.cookie")
        assert PASSWORD not in log_of(seeded_line)

        # it survives a reload
        page.reload()
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        settle(page)

        # somebody ends it elsewhere: the open page notices with the next act, and nothing is written
        before = states(database)
        with database.session() as session:
            session.execute(update(SessionRow).values(created_at=datetime.now(UTC) - timedelta(days=400)))
        page.get_by_role("button", name="Confirm defect").click()
        expect(page).to_have_url(re.compile(r"/sign-in\?next=%2Freview"))
        expect(page.get_by_role("alert")).to_contain_text("The session on this screen has ended.")
        assert states(database) == before

        # in again, and out: the cookie that the browser had is worth nothing
        enter(page, name="operator", password=PASSWORD)
        settle(page)
        [cookie] = [each for each in page.context.cookies() if each["name"].startswith("loomwatch_")]
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(re.compile("/sign-in$"))
        kept = {cookie["name"]: cookie["value"]}
        assert requests.get(f"{address}/_stcore/host-config", cookies=kept, timeout=PATIENCE_S).status_code == 401
        with database.reading() as session:
            said = [(row.action, row.by) for row in session.scalars(select(AuditRow).order_by(AuditRow.id))]
        assert said[-1] == ("user.sign_out", "operator")


def test_each_role_can_press_what_it_may(chromium: Browser, seeded_line: StoreSettings) -> None:
    confirms = {"viewer": False, "operator": True, "quality": True, "admin": True}
    trains = {"viewer": False, "operator": False, "quality": True, "admin": True}
    users = {"viewer": False, "operator": False, "quality": False, "admin": True}
    with serve(seeded_line.data_dir) as address:
        for role in confirms:
            with new_page(chromium) as page:
                sign_in(page, f"{address}/review?state=unreviewed", role=role)
                confirm = page.get_by_role("button", name="Confirm defect")
                expect(confirm).to_be_enabled(enabled=confirms[role])
                if role == "viewer":  # nor does its key
                    page.keyboard.press("d")
                    settle(page)
                page.get_by_test_id("stSidebarNav").get_by_role("link", name="Models").click()
                expect(page.get_by_role("button", name="Start training")).to_be_enabled(enabled=trains[role])
                page.get_by_test_id("stSidebarNav").get_by_role("link", name="System").click()
                expect(page.get_by_role("heading", level=1, name="System")).to_be_visible()
                settle(page)
                parts = page.get_by_text("Who did what", exact=True)
                if users[role]:
                    expect(parts.first).to_be_visible()
                else:
                    expect(parts).to_have_count(0)
    with open_database(seeded_line.database) as database, database.reading() as session:
        assert not session.scalars(
            select(AuditRow.id).where(AuditRow.by == "viewer", AuditRow.action != "user.sign_in")
        ).all()


def test_five_wrong_passwords_slow_down(chromium: Browser, seeded_line: StoreSettings) -> None:
    with serve(seeded_line.data_dir) as address, new_page(chromium) as page:
        page.goto(address)
        for _ in range(5):
            enter(page, name="quality", password="wrong, wrong")
            expect(page.get_by_role("alert")).to_contain_text("belong together")
        enter(page, name="quality", password=PASSWORD)
        expect(page.get_by_role("alert")).to_contain_text("Too many wrong passwords. Wait")
        # and a page of another site cannot send the form
        sent = requests.post(
            f"{address}/sign-in",
            data={"name": "viewer", "password": PASSWORD},
            headers={"Origin": "https://elsewhere.example"},
            timeout=PATIENCE_S,
            allow_redirects=False,
        )
        assert sent.status_code == 403
        assert "set-cookie" not in sent.headers


def test_a_one_time_link_walks_in_and_leaves_no_trace(chromium: Browser, seeded_line: StoreSettings) -> None:
    with open_database(seeded_line.database) as database, serve(seeded_line.data_dir) as address:
        secret = links.make_link(database, purpose="demo", by="test")
        with new_page(chromium) as page:
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.goto(f"{address}/welcome#{secret}")
            expect(page.get_by_role("heading", level=1, name="line-1")).to_be_visible()
            expect(page.get_by_text("demo", exact=True).first).to_be_visible()
            assert secret not in page.url
            page.go_back()
            assert secret not in page.url
            assert not any(secret in url.partition("#")[0] for url in asked)
        with new_page(chromium) as page:
            page.goto(f"{address}/welcome#{secret}")
            expect(page.get_by_role("heading", name="This link no longer works")).to_be_visible()
        assert secret not in log_of(seeded_line)

        password = links.make_link(database, purpose="password", name="viewer", by="test")
        with new_page(chromium) as page:
            page.goto(f"{address}/welcome#{password}")
            page.get_by_label("Password").fill("jute weft 1912")
            page.get_by_label("Once more").fill("jute weft 1913")
            page.get_by_role("button", name="Save and sign in").click()
            expect(page.get_by_role("alert")).to_contain_text("not the same")
            page.get_by_label("Password").fill("jute weft 1912")
            page.get_by_label("Once more").fill("jute weft 1912")
            page.get_by_role("button", name="Save and sign in").click()
            expect(page.get_by_role("heading", level=1, name="line-1")).to_be_visible()
