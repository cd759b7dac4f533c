"""What people set for themselves: their language and units, on every page, kept with their account."""

import re

import pytest
from sqlalchemy import select

from dashboard import data
from inspection.settings import StoreSettings
from storage.accounts import users
from storage.accounts.passwords import hash_password, is_password
from storage.database import Database
from storage.tables import UserRow
from tests.integration.dashboard.conftest import NAME, VIEWS, OpenPage, text_of
from tests.integration.dashboard.plausible_line import set_to_work

pytestmark = pytest.mark.integration
GERMAN = {
    "line": "Fehlerpunkte bisher",
    "live": "Livewerte fehlen",
    "roll": "Nicht geprüft",
    "review": "Fehlalarm: als normal lernen",
    "trends": "Fehler je 100 yd²",
    "reports": "Schichtbericht",
    "models": "Im Einsatz",
    "system": "Nicht geprüft, und warum",
    "samples": "Ganzes Bild",
    "setup": "In sechs Schritten",
}
PARTS = {"samples": [{"part": "give"}, {"part": "sensitivity"}, {"state": "held"}], "setup": [{"step": "golden"}]}
PARTS |= {"reports": [{"of": "style"}], "models": [{"left": "cras-2024-05-19"}]}
METRIC = re.compile(r"\d (?:m|mm|cm²|m/min|m²)\b(?!/)")
ENGLISH = re.compile(r"\b(?:the|and|of|not|with|is|are|to|by|from|since|inspected|defects?)\b", re.IGNORECASE)


@pytest.mark.parametrize("view", [view for view in VIEWS if view in GERMAN])
def test_a_page_is_in_german_and_in_yards_for_who_set_it(line: Database, open_page: OpenPage, view: str) -> None:
    users.set_preferences(line, by=NAME, language="de", units="imperial")
    words = text_of(open_page(view))
    assert GERMAN[view] in words
    assert "Zeiten: " in words
    if view in ("line", "roll", "review", "trends"):  # the others quote what commands and the stores say
        assert ENGLISH.findall(words) == []
        # a profile's bounds keep its unit, and so do the reasons of a grade, which are stored as sentences
        own = re.sub(r"Grad.*|\d+ (?:×|mm ×).*|.*(?:Bis|Über) \d.*|.*noch nicht geprüft.*", "", words)
        assert METRIC.findall(own) == []


@pytest.mark.parametrize(
    ("view", "address"), [(view, address) for view in VIEWS for address in ({}, *PARTS.get(view, ()))]
)
def test_no_length_is_left_in_metres_for_who_wants_yards(
    line: Database, open_page: OpenPage, view: str, address: dict[str, str]
) -> None:
    set_to_work(line)
    users.set_preferences(line, by=NAME, language="en", units="imperial")
    page = open_page(view, **address)
    words = "\n".join([text_of(page), *(str(each.label) for each in (*page.number_input, *page.select_slider))])
    own = re.sub(r"\d (?:×|mm ×).*|.*(?:Up to|Over) \d.*", "", words)  # a profile's bounds keep its unit
    assert METRIC.findall(own) == []


def test_what_is_set_is_kept_with_the_account_and_holds_at_once(
    line: Database, store: StoreSettings, open_page: OpenPage
) -> None:
    page = open_page("trends")
    assert "In the course of time" in text_of(page)
    page.selectbox(key="account.language").select("de").run()
    assert "Im Zeitverlauf" in text_of(page)
    page.selectbox(key="account.units").select("imperial").run()
    assert "Fehler je 100 yd²" in text_of(page)
    with line.reading() as session:
        row = session.scalars(select(UserRow).where(UserRow.name == NAME)).one()
        assert (row.language, row.units) == ("de", "imperial")


def test_who_has_a_password_chooses_another_one(line: Database, open_page: OpenPage) -> None:
    assert not [box for box in open_page("trends").text_input if box.label == "Present password"]
    with line.session() as session:
        session.scalars(select(UserRow).where(UserRow.name == NAME)).one().password = hash_password("linen warp 1887")

    def change(old: str, new: str, again: str) -> str:
        page = open_page("trends")
        boxes = {box.label: box for box in page.text_input}
        boxes["Present password"].set_value(old)
        boxes["New password"].set_value(new)
        boxes["New password, again"].set_value(again)
        return text_of(next(button for button in page.button if button.label == "Change password").click().run())

    assert "The two passwords are not the same" in change("linen warp 1887", "jute weft 1912", "jute weft 1913")
    assert "The present password is another one" in change("silk", "jute weft 1912", "jute weft 1912")
    assert "It holds from now on" in change("linen warp 1887", "jute weft 1912", "jute weft 1912")
    with line.reading() as session:
        row = session.scalars(select(UserRow).where(UserRow.name == NAME)).one()
        assert is_password("jute weft 1912", row.password)


def test_times_are_those_of_the_plant(line: Database, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOMWATCH_REPORT_TIME_ZONE", "Asia/Kolkata")
    assert str(data.zone()) == "Asia/Kolkata"
    assert "Times of Asia/Kolkata" in text_of(open_page("review"))
