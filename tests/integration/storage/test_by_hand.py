"""Defects that staff join and part: what comes late finds its side, in any order."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from inspection.errors import ChangedMeanwhile, StorageError
from storage.defects.by_hand import cuts_near, key_of
from storage.defects.merging import components
from storage.frames import store_report
from storage.reads.defects import DefectFilter, list_defects, read_defect
from storage.reviews import merge_defects, review_defect, split_defect, unmerge
from storage.rolls import close_roll, open_roll
from storage.tables import DefectCutRow, DefectLinkRow, DefectRow, FragmentRow, FrameRow, RollRow
from tests.integration.storage.test_merging import frame, region
from tests.records import HEIGHT_PX, LINE, at

pytestmark = pytest.mark.integration


def pieces(database):
    """The columns of all fragments."""
    with database.reading() as session:
        return [dict(row) for row in session.execute(select(*FragmentRow.__table__.columns)).mappings()]


def partition(database):
    """Sets of (camera, sequence, number)."""
    found = {}
    with database.reading() as session:
        query = select(FragmentRow.defect_id, FragmentRow.camera, FrameRow.sequence, FragmentRow.number).join(FrameRow)
        for defect_id, *key in session.execute(query):
            found.setdefault(defect_id, set()).add(tuple(key))
    return sorted(sorted(group) for group in found.values())


def ids(database):
    return sorted(item.id for item in list_defects(database, DefectFilter(), limit=100)[0])


def keys_of(database, *sequences):
    with database.reading() as session:
        query = select(FragmentRow.frame_id, FragmentRow.number).join(FrameRow).where(FrameRow.sequence.in_(sequences))
        return {tuple(row) for row in session.execute(query)}


def line_of(database, pictures, *sequences):
    for sequence in sequences:
        store_report(database, pictures, frame(sequence, region(200, 0, 3, HEIGHT_PX)))


def empty(database):
    with database.session() as session:
        for table in (DefectCutRow, DefectLinkRow, DefectRow, FrameRow, RollRow):
            session.execute(delete(table))


def by_the_rules(database):
    """The components of all fragments by rules, cuts and links, found at once."""
    fragments = pieces(database)
    with database.reading() as session:
        links = [
            ((row.frame_a, row.number_a), (row.frame_b, row.number_b)) for row in session.scalars(select(DefectLinkRow))
        ]
        cuts = cuts_near(session, LINE, fragments)
    return {frozenset(map(key_of, group)) for group in components(fragments, cuts=cuts, links=links)}


def as_stored(database):
    found = {}
    for values in pieces(database):
        found.setdefault(values["defect_id"], set()).add(key_of(values))
    return {frozenset(group) for group in found.values()}


def test_a_line_that_staff_part_stays_parted_when_a_late_piece_bridges_it(database, pictures):
    line_of(database, pictures, 0, 1, 3, 4)
    [whole] = ids(database)
    rest, out = split_defect(database, whole, keys_of(database, 3, 4), by="eva")
    line_of(database, pictures, 2, 5, 99)
    assert [[key[1] for key in group] for group in partition(database)] in (
        [[0, 1, 2], [3, 4, 5], [99]],
        [[0, 1], [2, 3, 4, 5], [99]],
    )
    assert {rest, out} < set(ids(database))
    assert as_stored(database) == by_the_rules(database)


def test_parts_keep_review_and_history_and_can_be_joined_again(database, pictures):
    line_of(database, pictures, 0, 1, 2)
    [whole] = ids(database)
    review_defect(database, pictures, whole, state="confirmed", by="eva")
    parts = split_defect(database, whole, keys_of(database, 2), by="max", expected=1)
    for number in parts:
        detail = read_defect(database, number)
        assert detail.item.state == "confirmed"
        assert [(act.act, act.by) for act in detail.history] == [("verdict", "eva"), ("split", "max")]
        assert detail.item.version == 2
    joined = merge_defects(database, dict.fromkeys(parts, 2), by="eva")
    assert joined.defect_id == min(parts)
    [only] = ids(database)
    assert read_defect(database, max(parts)).item.id == only
    line_of(database, pictures, 3)
    assert ids(database) == [only]
    assert as_stored(database) == by_the_rules(database)


def test_merged_by_hand_is_one_defect_that_both_sides_grow_and_undo_gives_the_states_back(database, pictures):
    for sequence in (0, 40):
        line_of(database, pictures, sequence)
    first, second = ids(database)
    review_defect(database, pictures, second, state="rejected", by="eva")
    joined = merge_defects(database, {first: 0, second: 1}, by="eva")
    line_of(database, pictures, 1, 41)
    assert ids(database) == [first]
    detail = read_defect(database, second)
    assert (detail.item.id, detail.item.fragments) == (first, 4)
    parts = unmerge(database, pictures, joined, by="eva")
    assert {read_defect(database, number).item.state for number in parts} == {"unreviewed", "rejected"}
    assert as_stored(database) == by_the_rules(database)


def test_a_number_that_went_away_may_come_back_and_go_away_again(database, pictures):
    """SQLite gives the highest number that went away to the next defect."""
    line_of(database, pictures, 0)
    for sequence in (40, 80):
        line_of(database, pictures, sequence)
        newest = ids(database)[-1]
        merge_defects(database, dict.fromkeys(ids(database)), by="eva")
        assert read_defect(database, newest).item.id == ids(database)[0]
    line_of(database, pictures, 120)
    assert read_defect(database, ids(database)[-1]).item.fragments == 1


def test_what_cannot_be_parted_or_merged_is_told(sqlite_database, pictures):
    line_of(sqlite_database, pictures, 0, 1)
    [whole] = ids(sqlite_database)
    for chosen in (set(), keys_of(sqlite_database, 0, 1), {(99, 0)}):
        with pytest.raises(StorageError, match="has 2 pieces: choose at least one"):
            split_defect(sqlite_database, whole, chosen, by="eva")
    with pytest.raises(StorageError, match="choose at least two"):
        merge_defects(sqlite_database, {whole: None}, by="eva")
    with pytest.raises(ChangedMeanwhile):
        split_defect(sqlite_database, whole, keys_of(sqlite_database, 0), by="eva", expected=3)
    open_roll(sqlite_database, line=LINE, name="R1", style="", by="eva", at=at(0.9))
    store_report(sqlite_database, pictures, frame(60, region(200, 0, 3, HEIGHT_PX)))
    with pytest.raises(StorageError, match="two rolls"):
        merge_defects(sqlite_database, dict.fromkeys(ids(sqlite_database)), by="eva")


def test_staff_s_word_holds_when_a_roll_s_boundary_takes_the_cloth_along(database, pictures):
    line_of(database, pictures, 0, 1, 2, 3, 40)
    first, far = ids(database)
    split_defect(database, first, keys_of(database, 2, 3), by="eva")
    merge_defects(database, dict.fromkeys([first, far]), by="eva")
    before = partition(database)
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(-1))
    close_roll(database, line=LINE, by="eva", at=at(60))
    assert partition(database) == before == [
        [("camera-1", 0, 0), ("camera-1", 1, 0), ("camera-1", 40, 0)],
        [("camera-1", 2, 0), ("camera-1", 3, 0)],
    ]  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_after_staff_s_acts_the_order_of_what_comes_late_does_not_matter(sqlite_database, pictures, data):
    """Crowded frames; staff part and join between them; the rest comes in two orders."""
    boxes = st.tuples(st.integers(0, 60), st.sampled_from([0, 10, 60]), st.integers(2, 12), st.sampled_from([20, 60]))
    frames = {
        sequence: [region(*box) for box in data.draw(st.lists(boxes, min_size=1, max_size=2))] for sequence in range(6)
    }
    early = data.draw(st.lists(st.sampled_from(range(6)), min_size=3, max_size=5, unique=True))
    late = [sequence for sequence in frames if sequence not in early]
    acts = data.draw(st.lists(st.tuples(st.booleans(), st.integers(0, 99)), min_size=1, max_size=4))
    found = []
    for order in (late, data.draw(st.permutations(late))):
        empty(sqlite_database)
        for sequence in early:
            store_report(sqlite_database, pictures, frame(sequence, *frames[sequence]))
        apart = None
        for merge, seed in acts:
            random = Random(seed)
            there = ids(sqlite_database)
            by_defect = {number: sorted(key_of(v) for v in pieces(sqlite_database) if v["defect_id"] == number)
                         for number in there}  # fmt: skip
            large = [number for number in there if len(by_defect[number]) > 1]
            if merge and len(there) > 1:
                merge_defects(sqlite_database, dict.fromkeys(random.sample(there, 2)), by="eva")
                apart = None
            elif not merge and large:
                whole = random.choice(large)
                keys = by_defect[whole]
                out = random.sample(keys, random.randrange(1, len(keys)))
                split_defect(sqlite_database, whole, out, by="eva")
                apart = set(out), set(keys) - set(out)
            assert as_stored(sqlite_database) == by_the_rules(sqlite_database)
        for sequence in order:
            store_report(sqlite_database, pictures, frame(sequence, *frames[sequence]))
            assert as_stored(sqlite_database) == by_the_rules(sqlite_database)
        if apart is not None:
            for group in as_stored(sqlite_database):
                assert not (group & apart[0] and group & apart[1])
        found.append(partition(sqlite_database))
    assert found[0] == found[1]
