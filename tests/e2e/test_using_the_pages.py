"""What staff do on the pages all day, in a real browser before one dashboard: many at once, rolls, papers, alarms."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from inspection.settings import StoreSettings, load
from storage.alarms import alarm_store
from storage.alarms.alarm_store import Signal
from storage.alarms.rules import parse_rule
from storage.database import Database, open_database
from storage.tables import AlarmRow, DefectRow, ReviewRow, RollRow
from tests.e2e.browser import TABLET, WALL, new_page, serve, settle, sign_in
from tests.waiting import wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, seeded_folder: Path) -> StoreSettings:
    folder = Path(shutil.copytree(seeded_folder, tmp_path_factory.mktemp("used") / "line"))
    return load(StoreSettings, data_dir=folder, database_url="", redis_url="", pictures_url="")


@pytest.fixture(scope="module")
def database(store: StoreSettings) -> Iterator[Database]:
    rule = parse_rule({"name": "camera-down", "kind": "camera_down"})
    with open_database(store.database) as database:
        with database.session() as session:
            signal = Signal(subject="cam-left", level="raise", text="camera cam-left is silent")
            alarm_store.observe(session, rule, line="line-1", signals=[signal], at=datetime.now(UTC))
        yield database


@pytest.fixture(scope="module")
def address(store: StoreSettings, database: Database) -> Iterator[str]:
    with serve(store.data_dir) as address:
        yield address


def verdicts(database: Database) -> list[tuple[int, str, str]]:
    """(defect, act, state) of all that was done by hand, in order."""
    with database.reading() as session:
        rows = session.scalars(select(ReviewRow).order_by(ReviewRow.id))
        return [(row.defect_id, row.act, row.state or "") for row in rows]


def states(database: Database) -> dict[int, str]:
    with database.reading() as session:
        return {row.id: row.state for row in session.scalars(select(DefectRow))}


def test_many_are_decided_at_once_in_the_grid(chromium: Browser, address: str, database: Database) -> None:
    with new_page(chromium) as page:
        sign_in(page, f"{address}/review?view=grid&state=unreviewed", role="operator")
        before = len(verdicts(database))
        page.get_by_role("button", name="Tick this page").click()
        expect(page.get_by_role("button", name="Untick all")).to_be_visible()
        settle(page)
        chosen = page.get_by_role("checkbox", name="Choose", checked=True).count()
        assert chosen >= 2
        page.get_by_role("button", name="Confirm", exact=False).first.click()
        wait_for(lambda: len(verdicts(database)) == before + chosen)
        settle(page)
        page.get_by_role("button", name="Undo").click()
        wait_for(lambda: all(states(database)[number] == "unreviewed" for number, _, _ in verdicts(database)[before:]))


def test_a_roll_is_closed_and_the_next_opened_and_its_certificate_taken_along(
    chromium: Browser, address: str, database: Database, tmp_path: Path
) -> None:
    def running() -> RollRow | None:
        with database.reading() as session:
            return session.scalar(select(RollRow).where(RollRow.closed_at.is_(None), ~RollRow.automatic))

    opened = running()
    assert opened is not None
    with new_page(chromium) as page:
        sign_in(page, f"{address}/roll?roll={opened.id}", role="operator")
        page.get_by_role("button", name="Change this roll").click()
        page.get_by_role("button", name=f"Close roll {opened.name}").click()
        wait_for(lambda: running() is None)
        settle(page)
        page.keyboard.press("Escape")  # what is open would take the next click

        page.get_by_role("button", name="Certificate").click()
        with page.expect_download() as coming:
            page.get_by_role("button", name="Certificate (PDF)").click()
        coming.value.save_as(tmp_path / "roll.pdf")
        assert (tmp_path / "roll.pdf").read_bytes().startswith(b"%PDF-")
        assert coming.value.suggested_filename.endswith(".pdf")
        page.keyboard.press("Escape")

        page.get_by_role("button", name="Open a roll").click()
        page.get_by_label("Roll number").fill("R-2001")
        page.get_by_label("Roll number").press("Enter")
        page.get_by_role("button", name="Open it").click()
        wait_for(lambda: (now := running()) is not None and now.name == "R-2001")
        settle(page)
        expect(page.get_by_text("R-2001").first).to_be_visible()


def test_an_alarm_is_acknowledged_on_the_wall_screen(chromium: Browser, address: str, database: Database) -> None:
    with new_page(chromium) as page:
        sign_in(page, address, role="operator")
        page.get_by_role("button", name="Acknowledge").click()
        expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    with database.reading() as session:
        [alarm] = session.scalars(select(AlarmRow))
        assert alarm.acknowledged_by == "operator"


def test_the_wall_screen_renews_itself_in_place_and_leads_to_a_defect(
    chromium: Browser, address: str, database: Database
) -> None:
    with new_page(chromium) as page:
        sign_in(page, address)
        seen = page.locator(".defects .seen").first
        expect(seen).to_contain_text("cam-")
        page.evaluate(
            "document.querySelector('.wall').first = true; document.querySelector('.seen').textContent = 'old'"
        )
        expect(seen).to_contain_text("cam-")  # it was renewed,
        with database.session() as session:
            rule = parse_rule({"name": "another", "kind": "camera_down"})
            signal = Signal(subject="cam-right", level="raise", text="camera cam-right is silent")
            alarm_store.observe(session, rule, line="line-1", signals=[signal], at=datetime.now(UTC))
        expect(page.get_by_text("camera cam-right is silent")).to_be_visible()
        assert page.evaluate("document.querySelector('.wall').first")  # and is the same, beneath an alarm, too
        page.get_by_role("link", name="Look").first.click()
        expect(page.get_by_role("heading", name=re.compile(r"Defect \d+"))).to_be_visible()
        assert "/review?defect=" in page.url


def shown(page: Page, *, after: int = 0) -> int:
    """The defect in view, once the one before has gone."""
    expect(page.get_by_role("heading", name=f"Defect {after}", exact=True)).to_have_count(0)
    heading = page.get_by_role("heading", name=re.compile(r"Defect \d+"))
    expect(heading).to_have_count(1)
    settle(page)
    return int(heading.inner_text().split()[-1])


def test_a_review_by_keyboard_alone(chromium: Browser, address: str, database: Database) -> None:
    def defect(number: int) -> DefectRow:
        with database.reading() as session:
            return session.get_one(DefectRow, number)

    with new_page(chromium) as page:
        sign_in(page, f"{address}/review", role="operator")
        first = shown(page)
        severity = defect(first).severity

        def named() -> str:
            """Once more when the key came before the page listened to it."""
            page.keyboard.press("2")
            with contextlib.suppress(AssertionError):
                wait_for(lambda: defect(first).code, seconds=20)
            return defect(first).code

        wait_for(named)
        settle(page)
        page.keyboard.press("s")
        wait_for(lambda: defect(first).severity != severity)
        settle(page)
        page.keyboard.press("d")
        wait_for(lambda: defect(first).state == "confirmed")
        second = shown(page, after=first)
        page.keyboard.press("f")
        wait_for(lambda: defect(second).state == "rejected")
        third = shown(page, after=second)
        assert len({first, second, third}) == 3
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("heading", name=f"Defect {third}", exact=True)).to_have_count(0)
        settle(page)
        page.keyboard.press("ArrowLeft")
        expect(page.get_by_role("heading", name=f"Defect {third}", exact=True)).to_be_visible()
        for number in (second, first):  # the false alarm, then the confirmed one, its severity and its name
            settle(page)
            page.keyboard.press("u")
            expect(page.get_by_role("heading", name=f"Defect {number}", exact=True)).to_be_visible()
            wait_for(lambda number=number: defect(number).state == "unreviewed")  # type: ignore[misc]
        for back in (lambda: defect(first).severity == severity, lambda: not defect(first).code):
            settle(page)
            page.keyboard.press("u")
            wait_for(back)

        # and everything can be reached by the tabulator and pressed by Enter
        settle(page)
        reached = set()
        page.get_by_role("heading", level=1).click()
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''"))
            if page.evaluate("document.activeElement.innerText.includes('Confirm defect')"):
                page.keyboard.press("Enter")
                break
        wait_for(lambda: defect(first).state == "confirmed")
        assert any("All rolls" in name or "Roll" in name for name in reached)


@pytest.mark.parametrize("size", [WALL, TABLET])
def test_a_defect_is_looked_at_and_judged_without_scrolling(
    chromium: Browser, address: str, size: tuple[int, int]
) -> None:
    with new_page(chromium, size=size) as page:
        sign_in(page, f"{address}/review?state=all", role="operator")
        number = shown(page)
        for name in ("Confirm defect", "False alarm: learn as normal", "Undo", "Next"):
            expect(page.get_by_role("button", name=name).first).to_be_in_viewport(ratio=1)
        pictures = (f"Cloth around defect {number}", f"Heat of defect {number}", f"Defect {number} outlined")
        for alt in pictures:
            expect(page.get_by_alt_text(alt, exact=True)).to_be_in_viewport(ratio=1)
        for name in ("Place", "Size", "Form", "Strength", "Roll", "Style", "Seen", "Model"):
            told = page.get_by_test_id("stMain").locator("strong").get_by_text(name, exact=True)
            expect(told).to_be_in_viewport(ratio=1)
        # on a tablet what is told stands below each picture, on the wall beside the last one
        cloth, *_, outline = [page.get_by_alt_text(alt, exact=True).bounding_box() for alt in pictures]
        place = page.get_by_text("Place", exact=True).bounding_box()
        assert cloth is not None
        assert outline is not None
        assert place is not None
        if size == TABLET:
            assert place["y"] > cloth["y"] + cloth["height"]
            assert place["x"] < outline["x"]
        else:
            assert place["x"] > outline["x"] + outline["width"]


def seen(page: Page) -> str:
    """All that is on a page, as a screen reader tells it: words, figures, what is chosen."""
    return page.get_by_test_id("stMain").aria_snapshot()


def test_a_link_shows_another_person_the_same_screen(chromium: Browser, address: str) -> None:
    choices = {
        "trends": {"Style": "twill navy", "Measure": "Coverage", "Days": "7 days"},
        "review": {"Style": "twill navy"},
    }
    for path, chosen in choices.items():
        with new_page(chromium) as page, new_page(chromium) as other:
            sign_in(page, f"{address}/{path}", role="operator")
            for label, option in chosen.items():
                page.get_by_role("combobox", name=label).first.click()
                page.get_by_role("option", name=option, exact=True).click()
                expect(page).to_have_url(re.compile(f"{label.lower()}="))
                settle(page)
            if path == "review":
                page.get_by_role("radio", name="All", exact=True).click()
                expect(page).to_have_url(re.compile("state=all"))
                settle(page)
            sign_in(other, page.url, role="quality")
            wait_for(lambda: seen(other) == seen(page))
