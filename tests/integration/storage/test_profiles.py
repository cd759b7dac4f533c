"""Grading profiles in the database: versions, who changed what, and that a change never regrades what is over."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from inspection.errors import SettingsError
from inspection.types import Roll
from storage.database import upgrade
from storage.grading.profile_store import (
    add_profile,
    choose_profile,
    list_choices,
    list_profiles,
    parse_reference,
    profile_of,
    read_profile,
)
from storage.grading.shipped import shipped_profiles
from storage.tables import AuditRow, GradingChoiceRow, GradingProfileRow
from tests.unit.storage.grading.cloths import profile

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)


def roll(*, style="twill", closed_at=None):
    return Roll(id=1, line="line-1", name="R", style=style, opened_at=NOW, closed_at=closed_at, automatic=False)


def audit_of(database, action):
    with database.reading() as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.action == action).order_by(AuditRow.id))
        return [(row.by, row.subject, row.detail) for row in rows]


def test_what_is_shipped_is_there(database):
    shipped = [each.name for each in shipped_profiles()]
    assert [(each.profile.name, each.version) for each in list_profiles(database)] == [(name, 1) for name in shipped]
    assert {each.by for each in list_profiles(database)} == {"loomwatch"}


def test_an_upgrade_leaves_what_a_mill_made_its_own(database, database_url):
    add_profile(database, profile(edge_ignore_mm=10.0), by="eva")
    upgrade(database_url)
    assert read_profile(database, "four-point").version == 2
    with database.session() as session:
        session.query(GradingProfileRow).filter_by(name="ten-point").delete()
    upgrade(database_url)
    assert read_profile(database, "ten-point").version == 1


def test_a_changed_profile_is_the_next_version_and_the_audit_says_what_changed(database):
    stored = add_profile(database, profile(edge_ignore_mm=10.0), by="eva")
    assert (stored.version, stored.by) == (2, "eva")
    assert read_profile(database, "four-point").profile.edge_ignore_mm == 10.0
    assert read_profile(database, "four-point@1").profile.edge_ignore_mm == 25.4
    changed = {"version": 2, "changed": {"edge_ignore_mm": [25.4, 10.0]}}
    assert audit_of(database, "profile.add")[-1] == ("eva", "four-point", changed)


def test_the_same_profile_again_is_no_new_version(database):
    before = len(audit_of(database, "profile.add"))
    assert add_profile(database, profile(), by="eva").version == 1
    assert len(audit_of(database, "profile.add")) == before


def test_a_profile_that_is_not_there_is_named_with_those_that_are(database):
    with pytest.raises(SettingsError, match=r"there is no profile mine: .*four-point-denim"):
        read_profile(database, "mine")
    with pytest.raises(SettingsError, match="there is no version 7 of profile four-point"):
        read_profile(database, "four-point@7")
    with pytest.raises(SettingsError, match="there is no profile mine"):
        choose_profile(database, style="", profile="mine", by="eva")
    assert list_choices(database) == []


@pytest.mark.parametrize("text", ["a@", "a@0", "a@x", "a@-1"])
def test_a_wrong_version_is_refused(text):
    with pytest.raises(SettingsError, match="NAME or NAME@VERSION, got"):
        parse_reference(text)


def test_a_style_is_graded_by_its_own_profile_and_others_by_the_plants(database):
    def name(style, own=""):
        with database.reading() as session:
            return profile_of(session, roll(style=style), own=own).profile.name

    assert name("denim") == name("") == "four-point"
    choose_profile(database, style="denim", profile="four-point-denim", by="eva")
    choose_profile(database, style="", profile="ten-point", by="eva")
    assert (name("denim"), name("twill"), name("")) == ("four-point-denim", "ten-point", "ten-point")
    assert name("denim", own="four-point-silk") == "four-point-silk"
    choose_profile(database, style="denim", profile="four-point", by="eva")
    assert name("denim") == "four-point"
    assert [(each.style, each.profile) for each in list_choices(database)] == [
        ("", "ten-point"),
        ("denim", "four-point"),
    ]


def test_what_was_graded_stays_as_it_was(database):
    """A roll that was closed keeps the choice and the version that were there when it was."""
    add_profile(database, profile(edge_ignore_mm=10.0), by="eva")
    choose_profile(database, style="", profile="ten-point", by="eva")
    hour = timedelta(hours=1)
    with database.session() as session:
        session.execute(
            update(GradingProfileRow).where(GradingProfileRow.version == 1).values(created_at=NOW - 9 * hour)
        )
        session.execute(
            update(GradingProfileRow).where(GradingProfileRow.version == 2).values(created_at=NOW - 2 * hour)
        )
        session.execute(update(GradingChoiceRow).values(created_at=NOW - hour))
    for closed_at, expected in (
        (NOW - 20 * hour, ("four-point", 1)),
        (NOW - 3 * hour, ("four-point", 1)),
        (NOW - 1.5 * hour, ("four-point", 2)),
        (NOW - 0.5 * hour, ("ten-point", 1)),
        (None, ("ten-point", 1)),
    ):
        with database.reading() as session:
            found = profile_of(session, roll(closed_at=closed_at))
        assert (found.profile.name, found.version) == expected
    with database.reading() as session:
        pinned = profile_of(session, roll(), own="four-point", own_version=1)
        assert pinned.version == 1
