"""How long people wait for the dashboard's pages, in a real browser before a full store.

1. first content   each page opened by its address, until the first of its own figures, tables, charts, pictures or
                   words of what to do stands there; frame, title and spinner do not count
2. filters         of Trends, Review and Roll, from the choice until the page has changed for the last time
3. verdicts        by keyboard on Review, from the key until the next defect stands there
4. the map         of the roll with the most defects: the longest pause between two pictures, while the strip is marked
                   and the part is zoomed

Each try asks for other days and another roll, so that nothing is answered from the last try's reads. Streamlit's own
files are in the browser before the first try. The store gets pictures, samples and what else pages show
(`bench_content`), and a verdict of each try.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import func, select

from inspection.errors import SettingsError
from inspection.settings import DashboardSettings
from loomwatch.bench import signed_in, start_dashboard
from loomwatch.bench_content import fill_content
from loomwatch.bench_pipeline import Figure, at_least, at_most, result
from loomwatch.chromium import launch_chromium
from loomwatch.supervisor import Supervisor
from storage.accounts import sessions
from storage.database import Database, open_database
from storage.redis_server import start_private_redis
from storage.tables import DefectRow, FrameRow, RollRow

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

FIRST_S, FILTER_S, PAUSE_MS, VERDICTS = 1.5, 1.0, 100.0, 300.0
VERDICT = "Review: from a verdict's key to the next defect"
ROLLS = 40  # whose defects have pictures of their own
SIZE = {"width": 1920, "height": 1080}
PATIENCE_MS = 120_000.0
ATTEMPTS = 3  # at choosing an option

# What a page tells of itself: when somebody last pressed, when a run of it ended, when it last changed, its pauses.
# What stands in a canvas is a table's text for who does not see it, which comes 0.2 s after the table.
WATCH = """
const seen = window.seen = {pressed: 0, ended: 0, changed: 0, longest: 0};
for (const kind of ['pointerdown', 'keydown'])
  addEventListener(kind, () => Object.assign(seen, {pressed: performance.now(), ended: 0, changed: 0}), true);
new MutationObserver(found => {
  for (const each of found) {
    const state = each.target.getAttribute?.('data-test-script-state');
    const place = each.type === 'childList' ? each.target : each.target.parentElement;
    if (each.attributeName === 'data-test-script-state')
      seen.ended = state === 'notRunning' ? performance.now() : 0;
    else if (place?.closest?.('[data-testid=stMain]') && !place.closest('canvas'))
      seen.changed = performance.now();
  }
}).observe(document, {attributes: true, childList: true, characterData: true, subtree: true});
let last = performance.now();
const picture = now => {
  seen.longest = Math.max(seen.longest, now - last);
  last = now;
  requestAnimationFrame(picture);
};
requestAnimationFrame(picture);
"""
KINDS = ("stMetric", "stDataFrame", "stVegaLiteChart", "stImage", "stAlert", "stProgress", "stRadio")
CONTENT = ", ".join([*(f"[data-testid={kind}]" for kind in KINDS), ".wall dd"])  # the wall screen's figures, too
STANDS_THERE = """([title, content]) => {
  const main = document.querySelector('[data-testid=stMain]');
  const there = main && [...main.querySelectorAll('h1')].some(each => each.innerText.trim() === title)
    && [...main.querySelectorAll(content)].some(each => each.checkVisibility());
  return there ? performance.now() : 0;
}"""
STILL_MS = 300  # without a change, after a run's end
UNSEEN_MS = 2000  # the same where none was seen to end: React shows a very short one as if it had not been
CHANGED = f"""() => {{
  const {{pressed, ended, changed}} = window.seen, last = Math.max(ended, changed), still = performance.now() - last;
  const idle = document.querySelector('[data-test-script-state=notRunning]');
  return last > pressed && idle && still > (ended > pressed ? {STILL_MS} : {UNSEEN_MS}) ? last - pressed : 0;
}}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What there is to look at. rolls: by number, the one with the most defects first."""

    line: str
    last: date
    rolls: Sequence[int]


def time_pages(
    url: str, *, tries: int, port: int, tell: Callable[[str], None], bundle: Path | None = None
) -> dict[str, Any]:
    """The p95 of so many tries each. url: of a store as `loomwatch bench storage --folder` fills it; an account
    "bench admin" is added to it, and what `bench_content` adds, with models where a bundle is given. Raises
    `SettingsError` for a store without cloth, and where there is no browser."""
    found: dict[str, list[float]] = {}
    with _browser(url, port=port, bundle=bundle, tell=tell) as (page, address, store):
        for name, path in _addresses(store).items():
            found[f"{name}: first content"] = [_open(page, f"{address}/{path(n)}", name, store) for n in range(tries)]
            _say(tell, found)
        changes = {"Trends": _change_trends, "Review": _change_review, "Roll": _change_roll}
        for name, change in changes.items():
            _open(page, f"{address}/{_addresses(store)[name](0)}", name, store)
            found[f"{name}: a filter changed"] = [_until_changed(page, change, n) for n in range(tries)]
            _say(tell, found)
        _open(page, f"{address}/review", "Review", store)
        found[VERDICT] = [_until_changed(page, _give_verdict, n) for n in range(tries)]
        _say(tell, found)
        _open(page, f"{address}/roll?roll={store.rolls[0]}", "Roll", store)
        found["Roll: the next defect on the map"] = [_until_changed(page, _next_defect, n) for n in range(tries)]
        _say(tell, found)
        for name, move in (("the strip is marked", _mark_strip), ("the part is zoomed", _zoom_part)):
            found[f"Roll: longest pause while {name}"] = move(page, tries)
            _say(tell, found)
    hour = at_least("verdicts an hour by keyboard", 3600 / float(np.mean(found[VERDICT])), "", VERDICTS)
    return result([*(_figure(name, values) for name, values in found.items()), hour], tries=tries, seconds_or_ms=found)


def _figure(name: str, values: Sequence[float]) -> Figure:
    p95 = float(np.percentile(values, 95))
    if "pause" in name:
        return at_most(f"{name}, p95", p95, "ms", PAUSE_MS)
    return at_most(f"{name}, p95", p95, "s", FIRST_S if "first" in name else FILTER_S)


def _say(tell: Callable[[str], None], found: dict[str, list[float]]) -> None:
    figure = _figure(*list(found.items())[-1])
    tell(f"{figure.name}: {figure.value:.2f} {figure.unit}")


@contextmanager
def _browser(
    url: str, *, port: int, bundle: Path | None, tell: Callable[[str], None]
) -> "Iterator[tuple[Page, str, Store]]":
    """A dashboard on the store, and a signed-in browser before it."""
    with ExitStack() as stack:
        database = stack.enter_context(open_database(url))
        store = _look(database)
        browser = stack.enter_context(launch_chromium())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loomwatch-bench-")))
        redis = stack.enter_context(start_private_redis(folder, folder / "redis.log"))
        supervisor = stack.enter_context(Supervisor(folder / "logs"))
        fill_content(database, folder / "pictures", rolls=store.rolls[:ROLLS], bundle=bundle, tell=tell)
        settings = DashboardSettings(port=port)
        start_dashboard(
            supervisor,
            settings,
            {
                "LOOMWATCH_DATA_DIR": str(folder),
                "LOOMWATCH_DATABASE_URL": url,
                "LOOMWATCH_REDIS_URL": redis.url,
                "LOOMWATCH_PICTURES_URL": str(folder / "pictures"),
            },
        )
        address = f"http://{settings.host}:{port}"
        name, secret = signed_in(database, settings, "admin")
        stack.callback(sessions.end_session, database, secret)
        context = browser.new_context(viewport=SIZE, locale="en")  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(WATCH)
        context.add_cookies([{"name": name, "value": secret, "url": address}])
        page = context.new_page()
        _open(page, address, "Line", store)
        yield page, address, store


def _look(database: Database) -> Store:
    with database.reading() as session:
        last = session.execute(
            select(FrameRow.line, FrameRow.captured_at).order_by(FrameRow.captured_at.desc()).limit(1)
        ).first()
        rolls = session.scalars(
            select(RollRow.id)
            .join(DefectRow, DefectRow.roll_id == RollRow.id)
            .where(~RollRow.automatic)
            .group_by(RollRow.id)
            .order_by(func.count().desc(), RollRow.id.desc())
            .limit(200)
        ).all()
        lines = sorted(session.scalars(select(FrameRow.line).distinct()))
    if last is None or not rolls:
        raise SettingsError(f"{database} holds no rolls to look at: fill one with loomwatch bench storage --folder")
    return Store(line=lines[0], last=last.captured_at.date(), rolls=rolls)


def _addresses(store: Store) -> dict[str, Callable[[int], str]]:
    """Each page's address of a try."""

    def roll(n: int) -> int:
        return store.rolls[n % len(store.rolls)]

    return {
        "Line": lambda _: "",
        "Live": lambda _: "live",
        "Roll": lambda n: f"roll?roll={roll(n)}",
        "Review": lambda n: f"review?state=all&roll={roll(n)}",
        "Trends": lambda n: f"trends?days=365&last={store.last - timedelta(days=n)}",
        "Reports": lambda n: f"reports?of=day&day={store.last - timedelta(days=n)}",
        "Samples": lambda _: "samples",
        "Models": lambda _: "models",
        "System": lambda _: "system",
        "Set up": lambda _: "setup",
    }


# --- what is done --------------------------------------------------------------------------------------------------


def _open(page: "Page", address: str, name: str, store: Store) -> float:
    """Seconds from leaving the last page to this one's first content."""
    page.goto(address, wait_until="commit")
    stood = page.wait_for_function(STANDS_THERE, arg=[store.line if name == "Line" else name, CONTENT])
    seconds = float(stood.json_value()) / 1000
    page.wait_for_function("() => window.seen.ended")  # nobody asks for the next before this one is whole
    if name != "Line":  # which never stands still; a key pressed while the others are drawn is not heard
        page.wait_for_function(CHANGED)
    return seconds


def _until_changed(page: "Page", change: "Callable[[Page, int], None]", n: int) -> float:
    """Seconds from the last press to the page's last change."""
    change(page, n)
    return float(page.wait_for_function(CHANGED).json_value()) / 1000


def _choose_next(page: "Page", label: str) -> None:
    """The option after the chosen one. A list that the page closed under the pointer is opened once more."""
    box = page.get_by_role("combobox", name=label).first
    before = box.input_value()
    for _ in range(ATTEMPTS):
        box.click()
        options = page.get_by_role("option")
        options.first.wait_for()
        chosen = "all => all.findIndex(each => each.getAttribute('aria-selected') === 'true')"
        options.nth((int(options.evaluate_all(chosen)) + 1) % options.count()).click()
        page.wait_for_timeout(50)
        if box.input_value() != before:
            return


def _change_trends(page: "Page", n: int) -> None:
    _choose_next(page, ("Days", "Style", "Shift", "Camera", "Severity")[n % 5])


def _change_review(page: "Page", n: int) -> None:
    if n % 3 == 2:
        page.get_by_role("radio", name=("To review", "Confirmed", "False alarm", "All")[n // 3 % 4], exact=True).click()
    else:
        _choose_next(page, ("Style", "Strength")[n % 3])


def _give_verdict(page: "Page", n: int) -> None:
    """Confirm, false alarm, in turn."""
    page.keyboard.press("df"[n % 2])


def _change_roll(page: "Page", n: int) -> None:
    _choose_next(page, "Roll")


def _next_defect(page: "Page", n: int) -> None:
    page.get_by_role("button", name="Defect after").click()


def _mark_strip(page: "Page", tries: int) -> list[float]:
    """ms, each from one place of the pointer to the next while it is held."""
    left, middle, width = _middle(page.get_by_test_id("stVegaLiteChart").first)
    page.mouse.move(left + 0.2 * width, middle)
    page.mouse.down()
    pauses = [
        _pause(page, lambda n=n: page.mouse.move(left + (0.2 + 0.5 * (n + 1) / tries) * width, middle))  # type: ignore[misc]
        for n in range(tries)
    ]
    page.mouse.up()
    page.wait_for_function(CHANGED)
    return pauses


def _zoom_part(page: "Page", tries: int) -> list[float]:
    """ms, each after one turn of the wheel."""
    left, middle, width = _middle(page.get_by_test_id("stVegaLiteChart").nth(1))
    page.mouse.move(left + 0.5 * width, middle)
    return [_pause(page, lambda n=n: page.mouse.wheel(0, 120 if n % 4 < 2 else -120)) for n in range(tries)]  # type: ignore[misc]


def _middle(chart: "Locator") -> tuple[float, float, float]:
    """Its left end, the height of its middle, its width, in px."""
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    if box is None:
        raise SettingsError("the roll with the most defects has no map")
    return box["x"], box["y"] + 0.45 * box["height"], box["width"]


def _pause(page: "Page", move: Callable[[], None]) -> float:
    """The longest time between two pictures, in ms, while something is moved and a little after."""
    page.evaluate("window.seen.longest = 0")
    move()
    page.wait_for_timeout(150)
    return float(page.evaluate("window.seen.longest"))
