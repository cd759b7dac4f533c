"""Reviews, and the samples they make: nothing that may hold a defect is ever learned as normal."""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from inspection.errors import ChangedMeanwhile, StorageError
from storage.database import open_database
from storage.frames import store_report
from storage.pictures import PictureStore
from storage.reviews import act_on_defects, merge_defects, name_defect, review_defect, set_severity, take_back
from storage.samples import list_samples
from storage.tables import AuditRow, DefectRow, FragmentRow, FrameRow, ReviewRow, SampleRow
from tests.records import HEIGHT_PX, TILE_PX, make_defect, make_png, make_report

pytestmark = pytest.mark.integration


def store(database, pictures, *places, sequence=0):
    """A frame with a defect at each x; their ids."""
    defects = tuple(make_defect(x) for x in places)
    assert store_report(database, pictures, make_report(sequence, defects=defects))
    with database.reading() as session:
        frame = session.scalars(select(FrameRow.id).where(FrameRow.sequence == sequence)).one()
        return list(session.scalars(select(DefectRow.id).where(DefectRow.frame_id == frame).order_by(DefectRow.id)))


def review(database, pictures, defect, state, by="eva"):
    review_defect(database, pictures, defect, state=state, by=by)


def learned(database):
    return [sample.defect_id for sample in list_samples(database)]


def test_a_rejected_defect_becomes_a_sample_of_its_style(database, pictures):
    (defect,) = store(database, pictures, 100)
    review(database, pictures, defect, "rejected")
    (sample,) = list_samples(database)
    assert (sample.source, sample.defect_id, sample.style, sample.by) == ("review", defect, "twill", "eva")
    assert sample.mm_per_px == 0.25
    assert sample.roll_group == "line-1/auto 2026-03-14"
    assert sample.state == "waits"
    assert sample.captured is not None
    assert (sample.captured.roll, sample.captured.camera) == ("auto 2026-03-14", "camera-1")
    assert sample.scored is not None
    assert (sample.scored.model, sample.scored.ratio) == ("first", 1.8)
    assert pictures.get(sample.picture) == make_png(0)


def test_taking_the_rejection_back_takes_the_sample_out(database, pictures):
    (defect,) = store(database, pictures, 100)
    for state, expected in (("rejected", [defect]), ("confirmed", []), ("rejected", [defect]), ("unreviewed", [])):
        review(database, pictures, defect, state)
        assert learned(database) == expected
    assert len(list_samples(database, active_only=False)) == 1


def test_a_crop_is_learned_only_when_no_doubtful_defect_can_lie_in_it(database, pictures):
    near, other, far = store(database, pictures, 100, 130, 300)
    review(database, pictures, near, "rejected")
    assert learned(database) == []
    review(database, pictures, far, "rejected")
    assert learned(database) == [far]
    review(database, pictures, other, "confirmed")
    assert learned(database) == [far]
    review(database, pictures, other, "rejected")
    assert sorted(learned(database)) == [near, other, far]
    review(database, pictures, near, "unreviewed")
    assert learned(database) == [far]


def test_defects_of_other_frames_do_not_count(database, pictures):
    (first,) = store(database, pictures, 100)
    store(database, pictures, 100, sequence=1)
    review(database, pictures, first, "rejected")
    assert learned(database) == [first]


def test_the_history_tells_each_act(database, pictures):
    (defect,) = store(database, pictures, 100)
    review(database, pictures, defect, "rejected")
    review(database, pictures, defect, "rejected", by="max")
    review(database, pictures, defect, "confirmed", by="max")
    with database.reading() as session:
        history = [
            (row.previous, row.state, row.by) for row in session.scalars(select(ReviewRow).order_by(ReviewRow.id))
        ]
        audit = [(row.action, row.subject) for row in session.scalars(select(AuditRow))]
        assert session.get_one(DefectRow, defect).state == "confirmed"
    assert history == [("unreviewed", "rejected", "eva"), ("rejected", "confirmed", "max")]
    assert audit == [("defect.review", f"defect {defect}")] * 2


def test_a_defect_whose_picture_was_never_kept_is_reviewed_but_not_learned(database, pictures, tmp_path):
    (tmp_path / "file").write_text("in the way")
    (defect,) = store(database, PictureStore(str(tmp_path / "file")), 100)
    review(database, pictures, defect, "rejected")
    assert learned(database) == []
    with database.reading() as session:
        assert session.get_one(DefectRow, defect).state == "rejected"


def test_without_the_picture_store_nothing_is_recorded(database, pictures, tmp_path):
    """The pictures are there; the samples' folder cannot be written."""
    (defect,) = store(database, pictures, 100)
    (tmp_path / "pictures" / "samples").write_text("in the way")
    with pytest.raises(StorageError, match="picture store"):
        review(database, pictures, defect, "rejected")
    with database.reading() as session:
        assert session.get_one(DefectRow, defect).state == "unreviewed"
        assert session.scalars(select(ReviewRow)).all() == []


def test_unknown_defects_and_states_are_refused(sqlite_database, pictures):
    with pytest.raises(StorageError, match="there is no defect 99"):
        review(sqlite_database, pictures, 99, "rejected")
    with pytest.raises(StorageError, match="got 'maybe'"):
        review(sqlite_database, pictures, 1, "maybe")


states = st.sampled_from(["confirmed", "rejected", "unreviewed"])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.integers(10, 500), min_size=1, max_size=5),
    acts=st.lists(st.tuples(st.integers(0, 4), states), max_size=10),
)
def test_no_sample_ever_holds_a_defect_that_is_not_rejected(sqlite_database, pictures, places, acts):
    """Crops cut as the worker cuts them, centered on their defect and moved inside the fabric."""
    database = sqlite_database
    with database.session() as session:
        for table in (SampleRow, ReviewRow, DefectRow, FrameRow):
            session.execute(delete(table))
    ids = store(database, pictures, *places)
    for index, state in acts:
        review(database, pictures, ids[index % len(ids)], state)
    with database.reading() as session:
        state_of = {row.id: row.state for row in session.scalars(select(DefectRow))}
        rows = {row.defect_id: row for row in session.scalars(select(FragmentRow))}
    doubtful = [row for row in rows.values() if state_of[row.defect_id] != "rejected"]
    for sample in list_samples(database):
        row = rows[sample.defect_id]
        assert state_of[row.defect_id] == "rejected"
        x0 = min(max(10, (row.x0_px + row.x1_px - TILE_PX) // 2), 10 + 512 - TILE_PX)
        assert not [other for other in doubtful if other.x0_px < x0 + TILE_PX and other.x1_px > x0]
    if not doubtful:
        assert len(list_samples(database)) == len(rows)
    assert HEIGHT_PX >= TILE_PX


# --- several people ------------------------------------------------------------------------------------------------


def test_of_two_who_act_at_once_one_is_told_what_the_other_chose(database, database_url, pictures):
    """Both looked at the same version; whoever comes second is refused, and nothing of theirs is kept."""
    (defect,) = store(database, pictures, 100)
    barrier, done, refused = threading.Barrier(2), [], []

    def act(by, state):
        with open_database(database_url) as own:
            barrier.wait()
            try:
                done.append((by, review_defect(own, pictures, defect, state=state, by=by, expected=0)))
            except ChangedMeanwhile as error:
                refused.append((by, str(error)))

    threads = [threading.Thread(target=act, args=each) for each in (("eva", "confirmed"), ("max", "rejected"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [(first, act_)], [(second, why)] = done, refused
    words = {"confirmed": f"confirmed defect {defect}", "rejected": f"called defect {defect} a false alarm"}
    assert why == f"{first} {words[act_.value]} meanwhile: look at it again, then decide"
    with database.reading() as session:
        assert [(row.by, row.state) for row in session.scalars(select(ReviewRow))] == [(first, act_.value)]
        assert session.get_one(DefectRow, defect).state == act_.value
        assert {row.by for row in session.scalars(select(AuditRow))} == {first}
    review_defect(database, pictures, defect, state="confirmed", by=second, expected=act_.version)


def test_names_and_severities_count_as_acts_too(sqlite_database, pictures):
    (defect,) = store(sqlite_database, pictures, 100)
    named = name_defect(sqlite_database, defect, code="slub", by="eva", expected=0)
    with pytest.raises(ChangedMeanwhile, match=f"eva named defect {defect} slub meanwhile"):
        review_defect(sqlite_database, pictures, defect, state="confirmed", by="max", expected=0)
    weighed = set_severity(sqlite_database, defect, severity="critical", by="max", expected=named.version)
    with pytest.raises(ChangedMeanwhile, match=f"max set defect {defect} to critical meanwhile"):
        take_back(sqlite_database, pictures, named, by="eva")
    undone = take_back(sqlite_database, pictures, weighed, by="max")
    with sqlite_database.reading() as session:
        row = session.get_one(DefectRow, defect)
        assert (row.code, row.severity_set, row.version) == ("slub", False, undone.version)


def test_many_at_once_leave_alone_what_others_changed(database, pictures):
    first, second, third = store(database, pictures, 100, 200, 300)
    review(database, pictures, second, "confirmed", by="max")
    acted = act_on_defects(
        database, pictures, {first: 0, second: 0, third: 0, 999: 0}, act="verdict", value="rejected", by="eva"
    )
    assert [done.defect_id for done in acted.done] == [first, third]
    assert acted.refused == (
        f"max confirmed defect {second} meanwhile: look at it again, then decide",
        "there is no defect 999: it may have been removed",
    )
    with database.reading() as session:
        states = dict(session.execute(select(DefectRow.id, DefectRow.state)).all())
    assert states == {first: "rejected", second: "confirmed", third: "rejected"}
    assert learned(database) == [first, third]


def test_a_verdict_on_what_became_part_of_another_is_refused(sqlite_database, pictures):
    (first,) = store(sqlite_database, pictures, 100)
    (second,) = store(sqlite_database, pictures, 100, sequence=40)
    merge_defects(sqlite_database, {first: 0, second: 0}, by="eva")
    with pytest.raises(ChangedMeanwhile, match=f"defect {second} became part of defect {first} meanwhile"):
        review_defect(sqlite_database, pictures, second, state="confirmed", by="max", expected=0)
