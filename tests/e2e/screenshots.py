"""`make screenshots`: every page as a picture, of a line that was drawn for it, light and dark, as on the wall and on a
tablet, in each language.

usage: python -m tests.e2e.screenshots FOLDER

FOLDER/NAME.png is what the documents show: light, as on the wall, in few colours, under 200 kB. All others lie in
FOLDER/all, which git does not keep.
"""

import io
import itertools
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect
from sqlalchemy import update

import dashboard
from inspection.language import LANGUAGES
from inspection.line_setup import change_setup
from inspection.settings import CameraSettings, StoreSettings, load
from loomwatch.chromium import launch_chromium
from storage.database import open_database, upgrade
from storage.defects.machine import set_element
from storage.live import Live, supervisor_name
from storage.redis_server import start_private_redis
from storage.tables import BandTotalRow, ClothTotalRow, DefectTotalRow, FrameRow
from tests.e2e.browser import TABLET, WALL, new_page, people, serve, settle, sign_in
from tests.integration.dashboard.plausible_line import (
    CAMERAS,
    Plan,
    live_camera,
    seed,
    service,
    strip_piece,
)

VIEWS = Path(dashboard.__file__).parent / "views"
LONG_ROLL = 1  # its number
LAST = 2  # days before today, the last of the past ones: after midnight the rolls are of yesterday
PAGES = {path.stem: path.stem for path in sorted(VIEWS.glob("[a-z]*.py"))} | {
    "line": "",
    "roll": f"roll?roll={LONG_ROLL}&at=14.2",
    "trends": f"trends?last={datetime.now(UTC).date() - timedelta(days=LAST)}",  # before the few metres of the rolls
    "review-grid": "review?view=grid",
    "system-users": "system?part=users",
    "setup": "setup?step=camera",
}
MOST_BYTES = 200_000
PAST_DAYS = 61
SET_UP = CameraSettings(name="camera-1", source="sim://denim?seed=7&speed_m_min=30")
SHRINK = 0.75  # of what the documents show


def take_all(folder: Path) -> None:
    (folder / "all").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        data_dir = Path(place) / "line"
        data_dir.mkdir()
        store = load(StoreSettings, data_dir=data_dir, database_url="", redis_url="", pictures_url="")
        upgrade(store.database)
        with open_database(store.database) as database:
            roller = {"diameter_mm": 163.0}  # its circumference is the pitch of the marks
            set_element(database, line="line-1", name="guide roller", kind="roller", values=roller, by="test")
        seed(store, Path(place) / "bundles", frames=40, earlier=(long_roll(),))
        add_past_days(store)
        redis = start_private_redis(data_dir, data_dir / "redis.log")
        try:
            with open_database(store.database) as database:
                people(database)
            change_setup(data_dir, line="line-1", camera=SET_UP.model_dump())
            live = Live(redis.url)
            with serve(data_dir) as address, launch_chromium() as browser:
                for language, dark, size in itertools.product(LANGUAGES, (False, True), (WALL, TABLET)):
                    look = f"{language}-{'dark' if dark else 'light'}-{size[0]}"
                    with new_page(browser, size=size, dark=dark, language=language) as page:
                        keep(folder, "sign-in", look, take(page, f"{address}/sign-in"))
                        sign_in(page, address)
                        for name, path in PAGES.items():
                            run(store, live)
                            keep(folder, name, look, take(page, f"{address}/{path}"))
        finally:
            redis.stop()


def long_roll() -> Plan:
    """58 m with a roller's mark that repeats and a bad stretch to cut out; what is left is first quality."""
    marks = tuple((frame, 0, "mark", 1.3) for frame in range(64, 86, 2))
    places = itertools.product(range(60, 100, 3), (0, 1), ("hole", "stain"))
    bad = tuple((*place, 1.9) for place in places)
    few = ((12, 1, "slub", 1.2), (40, 0, "stain", 1.6), (130, 1, "slub", 1.15), (175, 0, "slub", 1.3))
    return Plan(name="R-1040", style="twill navy", frames=226, defects=(*few, *marks, *bad))


def keep(folder: Path, name: str, look: str, picture: bytes) -> None:
    (folder / "all" / f"{name}-{look}.png").write_bytes(picture)
    if look == f"en-light-{WALL[0]}":
        (folder / f"{name}.png").write_bytes(small(picture))
    print(f"{name}, {look}")


def add_past_days(store: StoreSettings) -> None:
    """Totals of the weeks before, for Trends: a bad day, and a week in which one place across made defects."""
    chance, today = np.random.default_rng(7), int(datetime.now(UTC).timestamp() // 86400)
    kinds = {
        ("point", "knot"): 0.4,
        ("weft_line", "mispick"): 0.25,
        ("warp_line", ""): 0.2,
        ("area", "stain"): 0.15,
    }
    with open_database(store.database) as database, database.session() as session:
        for back in range(PAST_DAYS, LAST - 1, -1):
            day, bands, by_kind = today - back, Counter[int](), Counter[tuple[str, str]]()
            usual = 9.0 if back != 6 else 22.0
            for hour in range(6, 22):
                style, start = ("twill navy", "plaid red")[hour // 14], day * 1440 + hour * 60
                for camera in CAMERAS:
                    found = int(chance.poisson(usual / 16))
                    for kind in chance.choice(len(kinds), size=found, p=list(kinds.values())):
                        by_kind[list(kinds)[kind]] += 1
                    bands.update(int(band) for band in chance.integers(0, 20, found))
                    values = {
                        "frames": 900, "inspected_um": 230_000_000, "inspected_mm2": 230_000 * 512,
                        "gap_um": int(chance.integers(0, 3)) * 1_000_000, "found": found, "confirmed": found,
                        "rejected": 0, "points_1000": found * 1500, "reviewed": found, "review_s": found * 5400,
                    }  # fmt: skip
                    session.add(
                        ClothTotalRow(line="line-1", span=60, start=start, camera=camera, style=style,
                                      minutes=(1 << 60) - 1, **values)
                    )  # fmt: skip
            if 12 <= back <= 18:
                bands[13] += int(chance.integers(4, 9))
            session.add_all(
                BandTotalRow(line="line-1", day=day, style="twill navy", band=band, found=found)
                for band, found in bands.items()
            )
            session.add_all(
                DefectTotalRow(
                    line="line-1", span=1440, start=day * 1440, camera=CAMERAS[0], style="twill navy",
                    geometry=geometry, severity="major", code=code, found=found, confirmed=found, rejected=0,
                    points_1000=found * 1500, reviewed=found, review_s=found * 5400,
                )
                for (geometry, code), found in by_kind.items()
            )  # fmt: skip


def run(store: StoreSettings, live: Live) -> None:
    """What the line's processes would have stored and tell just now."""
    now = datetime.now(UTC)
    with open_database(store.database) as database, database.session() as session:
        session.execute(update(FrameRow).where(FrameRow.session == "s2").values(stored_at=now))
    for camera in (0, 1):
        for sequence in range(18, 24):
            kinds = [("stain", 1.7)] if (sequence + camera) % 4 == 0 else []
            at = now - timedelta(seconds=24 - sequence)
            live.publish_strip(strip_piece(camera, sequence=sequence, kinds=kinds, at=at))
        live.publish_camera(live_camera(camera, sequence=23, kinds=[], position_mm=23 * 256.0))
    live.publish_service(service("worker", "running", "cras-2024-05-19"))
    live.publish_service(service("trainer", "waiting"))
    live.publish_service(service("alarms", "watching"))
    live.publish_service(replace(service("supervisor", "running"), name=supervisor_name()))


def take(page: Page, address: str) -> bytes:
    page.goto(address)
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    if "/sign-in" in address:  # which is none of Streamlit's
        return page.screenshot()
    settle(page)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    if "/setup" in address:
        page.locator(".st-key-setup-look button").click()  # in whatever language
        expect(page.get_by_test_id("stImage").first).to_be_visible()
        settle(page)
    page.wait_for_function("document.fonts.status === 'loaded' && [...document.images].every(each => each.complete)")
    page.wait_for_timeout(1500)  # charts are drawn after the page has settled
    return page.screenshot()


def small(picture: bytes) -> bytes:
    """In few colours, and smaller until it is small enough."""
    shown, scale = Image.open(io.BytesIO(picture)).convert("RGB"), SHRINK
    while True:
        size = (round(shown.width * scale), round(shown.height * scale))
        out = io.BytesIO()
        shown.resize(size, Image.Resampling.LANCZOS).quantize(
            256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
        ).save(out, "PNG", optimize=True)
        if out.tell() < MOST_BYTES:
            return out.getvalue()
        scale *= 0.9


if __name__ == "__main__":
    take_all(Path(sys.argv[1]))
