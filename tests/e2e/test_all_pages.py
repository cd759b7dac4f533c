"""Every page, looked at once in a real browser: nothing left in English before who speaks German, and nothing that
keeps somebody out who sees badly or uses no mouse."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from babel import Locale
from babel.messages.pofile import read_po
from playwright.sync_api import Browser, Page, expect

from dashboard import language
from inspection.settings import StoreSettings, load
from storage.accounts import links
from storage.database import open_database
from storage.live import Live
from storage.redis_server import start_private_redis
from tests.e2e.browser import TABLET, WALL, enter, new_page, serve, settle, sign_in
from tests.e2e.screenshots import PAGES, run
from tests.integration.dashboard.plausible_line import set_to_work

pytestmark = pytest.mark.e2e

PLACES = PAGES | {
    "roll": "roll",  # the running one
    "system-logs": "system?part=logs",
    "system-audit": "system?part=audit",
    "samples-give": "samples?part=give",
    "samples-sensitivity": "samples?part=sensitivity",
    **{f"setup-{step}": f"setup?step={step}" for step in ("line", "style", "golden", "train", "start")},
}
# What people, machines and records are called is the same in every language
DATA = re.compile(
    r"[\w.+-]*[a-z][\w+-]*[._:/-]\w[\w./:+-]*"  # roll.open, cam-left, m.ivanova, torch-float32, /a/file
    r"|\w+:/+\S*|twill navy|plaid red|plain ecru|R-\d+|\b(admin|operator|quality|viewer|early|late|night)\b"
    r"|^\{.*\}$|^(the line|test)$|^(Python|SQLAlchemy|Streamlit|Linux.*|sqlite|postgresql)$|PNG, JPG, TIF, BMP"
)
# Streamlit's own words, which it has in English only
STREAMLIT = re.compile(
    r"^(Show/hide columns|Download as CSV|Search|Show data|Download as PNG|Copy Vega-Lite spec|Fullscreen)(?=:|$)"
    r"|^(Next page|Previous page|Page \d+|Pagination|Decrement|Increment|file upload|progress)$|^(year|month|day)(?=, )"
    r"|^(Open|Shortcut|Choose date|Choose an option|Help for|Skip to main content|Upload|Drag and drop files? here)\b"
    r"|\d+MB per file|^Press Enter to .*"
)
WORDS = """() => {
  const found = [];
  const skipped = '[data-testid=stIconMaterial], [translate=no], [data-testid=stHeader], script, style, code';
  const walk = document.createTreeWalker(document.querySelector('[data-testid=stApp]'), NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());)
    if (!node.parentElement.closest(skipped)) found.push(node.textContent);
  for (const name of ['aria-label', 'alt', 'title', 'placeholder'])
    for (const each of document.querySelectorAll(`[data-testid=stMain] [${name}]`))
      if (!each.closest(skipped)) found.push(each.getAttribute(name));
  return found;
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was found on a page. violations: (look, rule, where) of the serious and the critical ones. ends_px: where
    its first chart ends, as it is opened."""

    words: frozenset[str]
    ends_px: float
    violations: tuple[tuple[str, str, str], ...]


@pytest.fixture(scope="module")
def looked(chromium: Browser, seeded_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Looked]:
    """All pages in German, light and dark."""
    folder = Path(shutil.copytree(seeded_folder, tmp_path_factory.mktemp("looked") / "line"))
    store = load(StoreSettings, data_dir=folder, database_url="", redis_url="", pictures_url="")
    with open_database(store.database) as database:
        set_to_work(database)
    found = {}
    with (
        start_private_redis(folder, folder / "redis.log") as redis,
        serve(folder) as address,
        new_page(chromium, language="de") as page,
    ):
        live = Live(redis.url)
        sign_in(page, address)
        for name, path in PLACES.items():
            run(store, live)
            page.emulate_media(color_scheme="light")
            page.goto(f"{address}/{path}")
            expect(page.get_by_role("heading", level=1).first).to_be_visible()
            settle(page)
            drawn(page)
            charts = page.get_by_test_id("stVegaLiteChart").or_(page.locator(".map")).filter(visible=True).all()
            box = charts[0].bounding_box() if charts else None
            ends_px = box["y"] + box["height"] if box else 0.0
            words = frozenset(words_of(page))
            light = tuple(violations(page, "light"))
            page.emulate_media(color_scheme="dark")
            found[name] = Looked(words=words, ends_px=ends_px, violations=(*light, *violations(page, "dark")))
        live.close()
    return found


def drawn(page: Page) -> None:
    """Waits for what the browser fetches and draws by itself: tables and charts."""
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    for chart in page.get_by_test_id("stVegaLiteChart").filter(visible=True).all():
        expect(chart.locator("canvas, svg").first).to_be_attached()
    for table in page.get_by_test_id("stDataFrame").filter(visible=True).all():
        table.scroll_into_view_if_needed()
        expect(table.locator("canvas [role=grid]")).to_be_attached()


def words_of(page: Page) -> Iterator[str]:
    for text in page.evaluate(WORDS):
        yield from re.findall(r"[A-Za-zÄÖÜäöüß]{3,}", DATA.sub(" ", STREAMLIT.sub(" ", text)))


def violations(page: Page, look: str) -> Iterator[tuple[str, str, str]]:
    answer: dict[str, Any] = Axe().run(page).response
    for found in answer["violations"]:
        if found["impact"] in ("serious", "critical"):
            for node in found["nodes"]:
                yield look, found["id"], f"{node['target']} {node['html'][:300]}"


def german() -> set[str]:
    """All words of the catalogs, and those of dates."""
    locale = Locale("de")
    texts = [name for form in ("wide", "abbreviated") for name in locale.days["format"][form].values()]
    texts += [name for form in ("wide", "abbreviated") for name in locale.months["format"][form].values()]
    for folder in (language.FOLDER, language.PAPERS):
        with (folder / "de" / "LC_MESSAGES" / "loomwatch.po").open("rb") as file:
            for message in read_po(file, locale="de"):
                texts += message.string if isinstance(message.string, tuple | list) else [message.string]
    return {
        word.lower() for text in texts for word in re.findall(r"[A-Za-zÄÖÜäöüß]{3,}", re.sub(r"\{\w+\}", " ", text))
    }


@pytest.mark.timeout(600)
def test_a_page_in_german_has_no_english_word_left(looked: dict[str, Looked]) -> None:
    known = german()
    left = {(name, word) for name, page in looked.items() for word in page.words if word.lower() not in known}
    assert not left, "\n".join(f"{name}: {word}" for name, word in sorted(left))


def test_axe_finds_nothing_serious_on_any_page(looked: dict[str, Looked]) -> None:
    found = [(name, *each) for name, page in looked.items() for each in page.violations]
    assert not found, "\n".join(map(str, found))


def test_the_wall_screen_shows_the_map_of_the_roll_without_scrolling(looked: dict[str, Looked]) -> None:
    assert 0 < looked["line"].ends_px <= WALL[1]


def test_axe_finds_nothing_serious_before_somebody_is_signed_in(
    chromium: Browser, seeded_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(seeded_folder, tmp_path / "line"))
    found = []
    with open_database(f"sqlite:///{folder / 'loomwatch.db'}") as database, serve(folder) as address:
        link = links.make_link(database, purpose="password", name="viewer", by="test")
        for size in (WALL, TABLET):
            with new_page(chromium, size=size) as page:
                page.goto(address)
                found += violations(page, "sign-in")
                enter(page, name="nobody", password="wrong, wrong")
                expect(page.get_by_role("alert")).to_be_visible()
                found += violations(page, "sign-in refused")
                page.goto(f"{address}/welcome#{link}")
                expect(page.get_by_label("Once more")).to_be_visible()
                found += violations(page, "a password is chosen")
            with new_page(chromium, size=size) as page:
                page.goto(f"{address}/welcome#spent")
                expect(page.get_by_role("heading", name="This link no longer works")).to_be_visible()
                found += violations(page, "a link that is spent")
    assert not found, "\n".join(map(str, found))
