"""Whatever an address says, a page shows something: what cannot be is left away."""

import pytest

from storage.database import Database
from tests.integration.dashboard.conftest import TITLES, VIEWS, OpenPage

pytestmark = pytest.mark.integration
NAMES = {
    "line": ("line",),
    "live": (),
    "roll": ("roll", "at", "defect"),
    "review": (
        *("roll", "style", "strength", "day", "line", "camera", "form", "name", "severity", "by"),
        *("state", "page", "defect", "show"),
    ),
    "trends": (
        *("days", "last", "before", "line", "style", "shift", "camera", "severity", "form", "measure", "step", "by"),
    ),
    "reports": ("day", "first", "last", "style", "line"),
    "samples": ("style", "state", "source", "page"),
    "models": ("left", "right"),
    "system": ("hours", "by", "kind", "subject", "log", "page"),
    "setup": ("step",),
}
PARTS = {"review": ("view", ["grid"]), "reports": ("of", ["day", "style"])}
PARTS |= {"samples": ("part", ["confirmed", "sensitivity"]), "system": ("part", ["audit", "logs"])}
BAD = ["garbage", "-1", "9" * 30, "nan", "0001-01-01", "9999-12-31", "2026-02-30", "<b>x</b>\x00", "٣"]
CASES = [(view, {}) for view in VIEWS] + [
    (view, {name: part}) for view, (name, parts) in PARTS.items() for part in (*parts, "garbage")
]


@pytest.mark.parametrize(("view", "part"), CASES)
def test_a_page_opens_whatever_its_address_says(
    line: Database, open_page: OpenPage, view: str, part: dict[str, str]
) -> None:
    for bad in BAD if NAMES[view] else ():
        page = open_page(view, **part, **dict.fromkeys(NAMES[view], bad))
        assert not page.exception, (bad, [each.value for each in page.exception])
        assert page.title[0].value == TITLES[view]
        assert not page.error or view == "models", (bad, page.error[0].value)
