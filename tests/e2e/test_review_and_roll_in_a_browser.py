"""Review and Roll as people use them: by keyboard, several at once, by links, with the mouse on the map."""

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from dashboard.theme import SEVERITY_COLOURS
from inspection.settings import StoreSettings, load
from storage.database import Database, open_database
from storage.reads.defects import DefectFilter, list_defects, read_defect
from storage.rolls import list_rolls
from tests.e2e.browser import new_page, serve, settle, sign_in

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def module_line(tmp_path_factory: pytest.TempPathFactory, seeded_folder: Path) -> StoreSettings:
    """One line for all tests of this file, each of which leaves its defects as they were."""
    folder = Path(shutil.copytree(seeded_folder, tmp_path_factory.mktemp("reviewed") / "line"))
    return load(StoreSettings, data_dir=folder, database_url="", redis_url="", pictures_url="")


@pytest.fixture(scope="module")
def database(module_line: StoreSettings) -> Iterator[Database]:
    with open_database(module_line.database) as database:
        yield database


@pytest.fixture(scope="module")
def address(module_line: StoreSettings) -> Iterator[str]:
    with serve(module_line.data_dir) as address:
        yield address


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    with new_page(chromium) as page:
        sign_in(page, address)
        yield page


def waiting(database: Database) -> list[int]:
    return [item.id for item in list_defects(database, DefectFilter(state="unreviewed"), limit=99)[0]]


def state_of(database: Database, number: int) -> str:
    detail = read_defect(database, number)
    assert detail is not None
    return detail.item.state


def see(page: Page, number: int) -> None:
    expect(page.get_by_role("heading", name=f"Defect {number}", exact=True)).to_be_visible()
    settle(page)


def press(page: Page, key: str) -> None:
    page.locator("body").press(key)


def test_review_by_keyboard_alone(page: Page, address: str, database: Database) -> None:
    first, second, third, *_ = waiting(database)
    page.goto(f"{address}/review")
    see(page, first)
    press(page, "1")
    expect(page.get_by_text(re.compile("^Named ")).first).to_be_visible()
    settle(page)
    press(page, "s")
    expect(page.get_by_text("Severity critical").first).to_be_visible()
    settle(page)
    press(page, "d")
    see(page, second)
    assert state_of(database, first) == "confirmed"
    press(page, "f")
    see(page, third)
    assert state_of(database, second) == "rejected"
    for number in (second, first):
        press(page, "u")
        see(page, number)
    assert {first, second} <= set(waiting(database))
    for _ in range(2):  # severity and name
        press(page, "u")
        settle(page)
    press(page, "ArrowRight")
    see(page, second)
    press(page, "ArrowLeft")
    see(page, first)


def test_two_people_at_once(page: Page, chromium: Browser, address: str, database: Database) -> None:
    number = waiting(database)[0]
    with new_page(chromium) as other:
        for each in (page, other):
            sign_in(each, address)
            each.goto(f"{address}/review?defect={number}")
            see(each, number)
        press(other, "f")
        expect(other.get_by_role("heading", name=f"Defect {number}", exact=True)).to_have_count(0)
        assert state_of(database, number) == "rejected"
        press(page, "d")
        expect(page.get_by_text("a false alarm meanwhile: look at it again, then decide")).to_be_visible()
        see(page, number)
        assert state_of(database, number) == "rejected"
        settle(other)
        press(other, "u")
        see(other, number)


def test_many_at_once_in_the_grid(page: Page, address: str, database: Database) -> None:
    before = waiting(database)
    page.goto(f"{address}/review?view=grid")
    expect(page.get_by_text("0 defects chosen")).to_be_visible()
    settle(page)
    page.get_by_role("button", name=re.compile("Tick this page")).click()
    expect(page.get_by_text(f"{len(before)} defects chosen")).to_be_visible()
    settle(page)
    page.get_by_text(f"Choose {before[0]}", exact=True).click()
    expect(page.get_by_text(f"{len(before) - 1} defects chosen")).to_be_visible()
    settle(page)
    page.get_by_role("button", name=re.compile("^Confirm|Confirm$")).first.click()
    expect(page.get_by_text(f"{len(before) - 1} defects: confirmed")).to_be_visible()
    settle(page)
    assert waiting(database) == before[:1]
    page.get_by_role("button", name=re.compile("Undo")).click()
    expect(page.get_by_text(f"Taken back: {len(before) - 1} defects")).to_be_visible()
    assert waiting(database) == before


def test_a_link_reproduces_filters_and_defect(page: Page, address: str, database: Database) -> None:
    found = list_defects(database, DefectFilter(style="twill navy", camera="cam-left", state="confirmed"), limit=9)[0]
    page.goto(f"{address}/review?style=twill+navy&camera=cam-left&state=confirmed&defect={found[1].id}")
    see(page, found[1].id)
    expect(page.get_by_text(f"2 of {len(found)}, worst first")).to_be_visible()
    press(page, "ArrowLeft")
    see(page, found[0].id)
    assert f"defect={found[0].id}" in page.url
    with page.context.expect_page() as opened:
        page.evaluate("window.open(window.location.href)")
    again = opened.value
    see(again, found[0].id)


def test_a_click_on_the_map_shows_the_defect(page: Page, address: str, database: Database) -> None:
    roll = next(roll for roll in list_rolls(database) if roll.name == "R-1041")
    page.goto(f"{address}/roll?roll={roll.id}&at=0")
    settle(page)
    chart = page.get_by_test_id("stVegaLiteChart").nth(1)
    expect(chart.locator("canvas")).to_be_visible()
    box = chart.bounding_box()
    assert box is not None
    for x, y in marks_in(chart.screenshot()):
        page.mouse.click(box["x"] + x, box["y"] + y)
        settle(page)
        if "defect=" in page.url:
            break
    number = int(page.url.partition("defect=")[2].partition("&")[0])
    see(page, number)
    assert number in {item.id for item in list_defects(database, DefectFilter(roll=roll), limit=99)[0]}


def marks_in(png: bytes) -> list[tuple[int, int]]:
    """Middles of the marks of major defects below the legend, the largest first; a canvas names nothing."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.int16)
    colour = np.array([int(SEVERITY_COLOURS["major"][k : k + 2], 16) for k in (1, 3, 5)])
    alike = (np.abs(picture - colour).max(axis=2) < 60).astype(np.uint8)
    alike[:70] = 0
    _, _, stats, middles = cv2.connectedComponentsWithStats(alike)
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA]) + 1
    return [(int(middles[index][0]), int(middles[index][1])) for index in order[:5]]


def test_a_roll_is_closed_and_the_next_opened_and_its_certificate_downloaded(
    page: Page, address: str, database: Database
) -> None:
    page.goto(f"{address}/roll")
    settle(page)
    page.get_by_role("button", name=re.compile("Change this roll")).click()
    page.get_by_role("button", name=re.compile("Close roll R-1043")).click()
    expect(page.get_by_text("Roll R-1043 is closed")).to_be_visible()
    settle(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("Certificate")).click()
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("Certificate .PDF.")).click()
    assert download.value.path().read_bytes().startswith(b"%PDF")
    assert download.value.suggested_filename == "roll-line-1-R-1043.pdf"
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("Open a roll")).click()
    page.get_by_label("Roll number").fill("R-1044")
    page.get_by_label("Roll number").press("Enter")
    settle(page)
    page.get_by_role("button", name="Open it").click()
    expect(page.get_by_text("Nothing was captured on this roll yet")).to_be_visible()
    assert "R-1044" in {roll.name for roll in list_rolls(database) if roll.closed_at is None}
