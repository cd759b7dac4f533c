"""Fragments into defects, in databases: a function of the set of fragments, in any order, against plain pixels."""

import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from storage.database import open_database
from storage.defects.merging import components
from storage.frames import store_report, store_reports
from storage.grading.profile_store import add_profile
from storage.pictures import PictureStore
from storage.reads.defects import DefectFilter, list_defects, read_defect
from storage.reviews import review_defect
from storage.roll_details import set_details
from storage.rolls import close_roll, correct_roll, open_roll
from storage.samples import list_samples
from storage.tables import DefectRow, FragmentRow, FrameRow, MergedDefectRow, RollRow, SampleRow
from tests.records import FABRIC_PX, HEIGHT_PX, LINE, MM_PER_PX, at, make_defect, make_header, make_png, make_report
from tests.unit.storage.grading.cloths import profile

pytestmark = pytest.mark.integration

WIDTH_MM = FABRIC_PX * MM_PER_PX
NEAR_PX, ALONG_PX = round(10 / MM_PER_PX), round(300 / MM_PER_PX)
CROP = (make_png(0), make_png(0))
DERIVED = ("x0_mm", "x1_mm", "y0_mm", "y1_mm", "area_mm2", "size_mm", "length_mm", "width_mm", "angle_deg", "geometry",
           "score", "camera", "peak_x_mm", "peak_y_mm", "captured_at", "fragments", "state", "outline",
           "severity", "points", "hole", "lane", "style")  # fmt: skip


def region(x_px, y_px, width_px, height_px, **changes):
    """A filled box on the fabric, in fabric pixels."""
    defect = make_defect(x_px + 10, y_px, **changes)
    return replace(
        defect, x1_px=x_px + 10 + width_px, y1_px=y_px + height_px, mask=np.ones((height_px, width_px), np.bool_)
    )


def frame(sequence, *regions, camera=1, minute=None, **changes):
    header = make_header(
        sequence,
        camera=f"camera-{camera}",
        session=f"session-{camera}",
        x_offset_mm=(camera - 1) * WIDTH_MM,
        captured_at=at(sequence / 60 if minute is None else minute),
    )
    return make_report(header=header, defects=regions, crops=(CROP,) * len(regions), **changes)


def defects(database):
    """All that follows from the fragments, without numbers."""
    with database.reading() as session:
        rows = session.scalars(select(DefectRow)).all()
        parts = {row.id: set() for row in rows}
        query = select(FragmentRow.defect_id, FragmentRow.camera, FrameRow.sequence, FragmentRow.number).join(FrameRow)
        for defect_id, *key in session.execute(query):
            parts[defect_id].add(tuple(key))
        return sorted((sorted(parts[row.id]), [getattr(row, name) for name in DERIVED]) for row in rows)


def empty(database):
    with database.session() as session:
        for table in (SampleRow, DefectRow, FrameRow, RollRow):
            session.execute(delete(table))


def count(database):
    return len(defects(database))


# --- the rules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gap_px", "expected"), [(0, 1), (NEAR_PX, 1), (NEAR_PX + 1, 2)])
def test_regions_of_two_frames_are_one_defect_up_to_10_mm_apart(sqlite_database, pictures, gap_px, expected):
    store_report(sqlite_database, pictures, frame(0, region(100, HEIGHT_PX - 20, 30, 20)))
    store_report(sqlite_database, pictures, frame(1, region(100, gap_px, 30, 20)))
    assert count(sqlite_database) == expected


@pytest.mark.parametrize(("gap_px", "expected"), [(0, 1), (NEAR_PX, 1), (NEAR_PX + 1, 2)])
def test_regions_of_two_cameras_are_one_defect_up_to_10_mm_apart(sqlite_database, pictures, gap_px, expected):
    store_report(sqlite_database, pictures, frame(0, region(FABRIC_PX - 30, 40, 30, 20), camera=1))
    store_report(sqlite_database, pictures, frame(0, region(gap_px, 40, 30, 20), camera=2))
    assert count(sqlite_database) == expected
    for camera in ("camera-1", "camera-2"):  # each shows it, or one of them
        assert list_defects(sqlite_database, DefectFilter(camera=camera), limit=5)[1] == 1
    if expected == 1:
        [(_, derived)] = defects(sqlite_database)
        assert derived[:2] == [WIDTH_MM - 7.5, WIDTH_MM + (gap_px + 30) * MM_PER_PX]


@pytest.mark.parametrize(
    ("gap_mm", "shift_px", "expected"), [(290, 0, 1), (299, 0, 1), (301, 0, 2), (290, NEAR_PX - 1, 1), (290, 50, 2)]
)
def test_a_warp_line_goes_on_up_to_300_mm_further_along(sqlite_database, pictures, gap_mm, shift_px, expected):
    behind_px = HEIGHT_PX + round(gap_mm / MM_PER_PX)  # from the first line's end, which is the first frame's
    store_report(sqlite_database, pictures, frame(0, region(200, 60, 3, HEIGHT_PX - 60)))
    sequence, y_px = divmod(behind_px, HEIGHT_PX)
    store_report(sqlite_database, pictures, frame(sequence, region(200 + shift_px, y_px, 3, HEIGHT_PX - y_px)))
    if HEIGHT_PX - y_px >= 45:
        assert count(sqlite_database) == expected


def test_dots_in_a_row_are_no_line(sqlite_database, pictures):
    for sequence in range(6):
        store_report(sqlite_database, pictures, frame(sequence, region(200, 40, 8, 8)))
    assert count(sqlite_database) == 6


def test_what_a_worker_held_apart_in_one_frame_stays_apart_but_lines_go_on(sqlite_database, pictures):
    store_report(sqlite_database, pictures, frame(0, region(100, 10, 20, 20), region(124, 10, 20, 20)))
    assert count(sqlite_database) == 2
    store_report(sqlite_database, pictures, frame(1, region(300, 0, 2, 50), region(301, 70, 2, 50)))
    assert count(sqlite_database) == 3


def test_a_ring_does_not_swallow_what_lies_in_it(sqlite_database, pictures):
    """By their pixels they are 15 mm apart, by their hulls they overlap: two cameras that overlap."""
    ring = np.zeros((128, 400), np.bool_)
    ring[:4], ring[-4:], ring[:, :4], ring[:, -4:] = True, True, True, True
    big = replace(region(0, 0, 400, 128), mask=ring)
    store_report(sqlite_database, pictures, frame(0, big))
    other = make_header(0, camera="camera-2", session="session-2", x_offset_mm=0.0)
    store_report(sqlite_database, pictures, make_report(header=other, defects=(region(190, 64, 4, 4),)))
    assert count(sqlite_database) == 2


@pytest.mark.parametrize(("session", "camera"), [("session-9", 1), ("session-1", 2)])
def test_places_on_different_counters_do_not_compare(sqlite_database, pictures, session, camera):
    """The same camera after a restart; another camera hours later."""
    store_report(sqlite_database, pictures, frame(0, region(100, 40, 30, 20)))
    header = make_header(0, camera=f"camera-{camera}", session=session, captured_at=at(120))
    store_report(sqlite_database, pictures, make_report(header=header, defects=(region(100, 40, 30, 20),)))
    assert count(sqlite_database) == 2


def test_a_warp_line_of_forty_metres_is_one_defect_that_grows(database, pictures):
    frames, height_px = 100, 1600
    for sequence in range(frames):
        header = make_header(sequence, height_px=height_px, position_mm=sequence * height_px * MM_PER_PX)
        line = region(200 + sequence % 4, 0, 3, height_px)
        store_report(database, pictures, make_report(header=header, defects=(line,), crops=(CROP,)))
        if sequence in (0, 10):
            assert count(database) == 1
    [(parts, derived)] = defects(database)
    row = dict(zip(DERIVED, derived, strict=True))
    assert len(parts) == row["fragments"] == frames
    assert row["geometry"] == "warp_line"
    assert row["y1_mm"] - row["y0_mm"] == pytest.approx(40_000)
    assert row["area_mm2"] == pytest.approx(frames * height_px * 3 * MM_PER_PX**2)


def test_a_full_width_defect_is_told_by_the_cloth_s_width_whichever_camera_comes_first(sqlite_database, pictures):
    left, right = (
        frame(0, region(0, 40, FABRIC_PX, 4), camera=1),
        frame(0, region(FABRIC_PX - 20, 90, 8, 8), camera=2),
    )
    for order in itertools.permutations([left, right, frame(1, camera=4)]):
        empty(sqlite_database)
        for report in order:
            store_report(sqlite_database, pictures, report)
        assert [derived[DERIVED.index("geometry")] for _, derived in defects(sqlite_database)] == ["weft_line", "point"]


# --- the order -----------------------------------------------------------------------------------------------------


def plain_components(reports):
    """Sets of (camera, sequence, number), by the distance of every pair of pixels and the rule for lines."""
    items = []
    for report in reports:
        for number, defect in enumerate(report.defects):
            ys, xs = np.nonzero(defect.mask)
            points = np.stack([defect.x0_mm + xs * MM_PER_PX, defect.y0_mm + ys * MM_PER_PX], axis=1)
            items.append(((report.header.camera, report.header.sequence, number), defect, points))
    links = {key: {key} for key, *_ in items}

    def linked(a, b):
        (key_a, first, points_a), (key_b, second, points_b) = sorted((a, b), key=lambda item: item[1].y0_mm)
        if key_a[:2] != key_b[:2]:
            apart = np.maximum(np.abs(points_a[:, None] - points_b[None]) - MM_PER_PX, 0)
            if np.hypot(apart[..., 0], apart[..., 1]).min() <= 10:
                return True
        lines = all(d.y1_mm - d.y0_mm > 10 and d.y1_mm - d.y0_mm >= 4 * (d.x1_mm - d.x0_mm) for d in (first, second))
        across = abs((first.x0_mm + first.x1_mm) / 2 - (second.x0_mm + second.x1_mm) / 2)
        return lines and -10 <= second.y0_mm - first.y1_mm <= 300 and across <= 10

    for a, b in itertools.combinations(items, 2):
        if linked(a, b):
            together = links[a[0]] | links[b[0]]
            for key in together:
                links[key] = together
    return sorted({tuple(sorted(group)) for group in links.values()})


narrow = st.integers(1, 12)
heights = st.sampled_from([4, 20, 60, 108])
holes = st.sampled_from([None, False, True])


@st.composite
def some_frames(draw, *, widths=narrow):
    """Frames of two cameras side by side, crowded around their border, each with up to three regions; and frames of
    another camera, without any, by which the cloth proves wider."""
    keys = draw(st.lists(st.tuples(st.sampled_from([1, 2, 4]), st.integers(0, 8)), min_size=2, max_size=7, unique=True))
    reports = []
    for camera, sequence in keys:
        count = 0 if camera == 4 else draw(st.integers(1, 3))
        regions = []
        for _ in range(count):
            x, y, width, height = draw(st.tuples(st.integers(0, 60), st.integers(0, 20), widths, heights))
            score, style, hole = draw(
                st.tuples(st.sampled_from([0.6, 0.9]), st.sampled_from(["plain", "twill"]), holes)
            )
            left = min(x if camera == 2 or width > 12 else FABRIC_PX - 80 + x, FABRIC_PX - width)
            regions.append(region(left, y, width, height, score=score, style=style, hole=hole))
        reports.append(frame(sequence, *regions, camera=camera))
    return reports


def stored_in_two_orders(database, pictures, reports, data, profile=""):
    """All that follows from the fragments, after each: one by one, then all in one transaction."""
    places, found = range(len(reports)), []
    orders = [
        data.draw(st.permutations([*places, *data.draw(st.lists(st.sampled_from(places), max_size=3))]))
        for _ in range(2)
    ]
    for together, order in enumerate(orders):
        empty(database)
        if profile:
            roll = open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(-1))
            set_details(database, roll, by="eva", profile=profile)
        arriving = [reports[place] for place in order]
        if together:
            store_reports(database, pictures, arriving)
        else:
            for report in arriving:
                store_report(database, pictures, report)
        found.append(defects(database))
    return found


in_one_database = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEN = profile("ten-point", name="ten", weft_bands_mm=[2.0, 5.0])  # small beside half of the cloth
wide = narrow | st.sampled_from([200, 300, FABRIC_PX])


@settings(in_one_database, max_examples=5)
@given(reports=some_frames(widths=wide), data=st.data())
def test_on_each_database_the_order_of_arrival_does_not_matter(database, pictures, reports, data):
    one, other = stored_in_two_orders(database, pictures, reports, data)
    assert one == other


@settings(in_one_database, max_examples=20)
@given(reports=some_frames(widths=wide), data=st.data())
def test_the_order_does_not_matter_where_points_depend_on_the_width(sqlite_database, pictures, reports, data):
    add_profile(sqlite_database, TEN, by="eva")
    one, other = stored_in_two_orders(sqlite_database, pictures, reports, data, profile="ten")
    assert one == other


def test_a_weft_line_over_half_the_cloth_is_not_when_the_cloth_proves_wider(database, pictures):
    add_profile(database, TEN, by="eva")
    line, wider = frame(0, region(20, 40, 300, 4)), frame(1, camera=2)
    for order in ((line, wider), (wider, line)):
        empty(database)
        roll = open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(-1))
        set_details(database, roll, by="eva", profile="ten")
        for report in order:
            store_report(database, pictures, report)
        [(_, derived)] = defects(database)
        row = dict(zip(DERIVED, derived, strict=True))
        assert (row["geometry"], row["points"], row["severity"]) == ("weft_line", 5, "major")


@settings(in_one_database, max_examples=20)
@given(reports=some_frames(), data=st.data())
def test_the_order_of_arrival_and_what_comes_twice_do_not_matter(sqlite_database, pictures, reports, data):
    found = stored_in_two_orders(sqlite_database, pictures, reports, data)
    assert found[0] == found[1]
    assert [tuple(parts) for parts, _ in found[0]] == plain_components(reports)
    with sqlite_database.reading() as session:
        rows = [dict(row) for row in session.execute(select(*FragmentRow.__table__.columns)).mappings()]
    grouped = {frozenset((v["frame_id"], v["number"]) for v in group) for group in components(rows)}
    by_defect = {
        frozenset((v["frame_id"], v["number"]) for v in rows if v["defect_id"] == d["defect_id"]) for d in rows
    }
    assert grouped == by_defect


def test_workers_that_store_neighbouring_frames_at_once_make_one_defect(database_url, tmp_path):
    pictures, failures = PictureStore(str(tmp_path / "pictures")), []
    reports = [frame(sequence, region(200, 0, 3, HEIGHT_PX)) for sequence in range(24)]
    barrier = threading.Barrier(3)

    def work(first):
        try:
            with open_database(database_url) as database:
                barrier.wait()
                for report in reports[first::3]:
                    store_report(database, pictures, report)
        except Exception as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with open_database(database_url) as database:
        [(parts, _)] = defects(database)
        assert len(parts) == 24


# --- reviews and rolls ---------------------------------------------------------------------------------------------


def line_piece(sequence, **changes):
    return frame(sequence, region(200, 0, 3, HEIGHT_PX, **changes))


def only(database):
    items, total = list_defects(database, DefectFilter(), limit=10)
    assert total == 1
    return items[0]


@pytest.mark.parametrize("state", ["confirmed", "rejected"])
def test_a_reviewed_defect_that_grows_keeps_its_review(database, pictures, state):
    store_report(database, pictures, line_piece(0))
    review_defect(database, pictures, only(database).id, state=state, by="eva")
    for sequence in range(1, 4):
        store_report(database, pictures, line_piece(sequence, score=1.0))
    assert only(database).state == state
    assert only(database).fragments == 4


def test_a_false_alarm_that_grows_much_stronger_is_asked_about_again(database, pictures):
    store_report(database, pictures, line_piece(0, score=0.8))
    review_defect(database, pictures, only(database).id, state="rejected", by="eva")
    store_report(database, pictures, line_piece(1, score=0.99))
    assert only(database).state == "rejected"
    store_report(database, pictures, line_piece(2, score=1.01))
    assert only(database).state == "unreviewed"
    detail = read_defect(database, only(database).id)
    assert [review.state for review in detail.history] == ["rejected"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("confirmed", "rejected", "confirmed"),
        ("rejected", "rejected", "rejected"),
        ("unreviewed", "confirmed", "confirmed"),
        ("unreviewed", "rejected", "rejected"),
    ],
)
def test_reviewed_defects_that_become_one(database, pictures, first, second, expected):
    """A late frame closes the gap between two; both numbers lead to the one, with both reviews."""
    for sequence, at_first in ((0, first), (40, second)):
        store_report(database, pictures, line_piece(sequence))
        newest = list_defects(database, DefectFilter(), limit=10)[0][-1].id
        if at_first != "unreviewed":
            review_defect(database, pictures, newest, state=at_first, by=f"of {sequence}")
    old, new = sorted(item.id for item in list_defects(database, DefectFilter(), limit=10)[0])
    for sequence in range(1, 40):
        store_report(database, pictures, line_piece(sequence))
    assert only(database).id == old
    assert only(database).state == expected
    detail = read_defect(database, new)
    assert detail.item.id == old
    assert len(detail.history) == 2 - [first, second].count("unreviewed")
    review_defect(database, pictures, new, state="unreviewed", by="eva")
    assert only(database).state == "unreviewed"


def test_a_false_alarm_that_turns_out_to_be_part_of_a_defect_is_no_longer_learned(database, pictures):
    def piece(sequence):
        return make_report(sequence, captured_at=at(sequence / 60), defects=(region(200, 0, 3, HEIGHT_PX),))

    store_report(database, pictures, piece(0))
    review_defect(database, pictures, only(database).id, state="rejected", by="eva")
    assert len(list_samples(database)) == 1
    store_report(database, pictures, piece(12))
    other = max(item.id for item in list_defects(database, DefectFilter(), limit=10)[0])
    review_defect(database, pictures, other, state="confirmed", by="eva")
    for sequence in range(1, 12):
        store_report(database, pictures, piece(sequence))
    assert only(database).state == "confirmed"
    assert list_samples(database) == []


def geometry_by_roll(database):
    with database.reading() as session:
        rows = session.execute(
            select(RollRow.name, DefectRow.fragments, DefectRow.state)
            .join(DefectRow, DefectRow.roll_id == RollRow.id)
            .order_by(DefectRow.y0_mm)
        )
        return [tuple(row) for row in rows]


def test_no_defect_lies_on_two_rolls_and_a_moved_boundary_parts_and_joins(database, pictures):
    open_roll(database, line=LINE, name="R1", style="", by="eva", at=at(0))
    for sequence in range(10):
        store_report(database, pictures, frame(sequence, region(200, 0, 3, HEIGHT_PX), minute=sequence))
    review_defect(database, pictures, only(database).id, state="confirmed", by="eva")
    close_roll(database, line=LINE, by="eva", at=at(6))
    assert geometry_by_roll(database) == [("R1", 6, "confirmed"), ("auto 2026-03-14", 4, "confirmed")]
    open_roll(database, line=LINE, name="R2", style="", by="eva", at=at(6))
    assert geometry_by_roll(database) == [("R1", 6, "confirmed"), ("R2", 4, "confirmed")]
    correct_roll(database, line=LINE, name="R1", by="eva", closed_at=at(3))
    correct_roll(database, line=LINE, name="R2", by="eva", opened_at=at(3))
    assert geometry_by_roll(database) == [("R1", 3, "confirmed"), ("R2", 7, "confirmed")]
    with database.reading() as session:
        assert session.scalar(select(MergedDefectRow.id)) is not None
        for row in session.scalars(select(DefectRow)):
            rolls = set(session.scalars(select(FragmentRow.roll_id).where(FragmentRow.defect_id == row.id)))
            assert rolls == {row.roll_id}
