"""What the screens ask, on both databases, against a plain count over what was stored."""

import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest

from inspection.types import FrameReport
from storage import registry, reviews, samples
from storage.database import Database
from storage.frames import store_capture, store_gap, store_report
from storage.pictures import PictureStore
from storage.reads import cameras as camera_reads
from storage.reads import defects as defect_reads
from storage.reads import models as model_reads
from storage.reads.defects import DefectFilter
from storage.reads.review_state import State
from storage.reads.roll_map import roll_map
from storage.reads.roll_runs import is_running, rolls_to_choose
from storage.reads.roll_summary import UNKNOWN_WIDTH_MM, roll_summary
from storage.rolls import close_roll, open_roll
from tests.records import (
    FABRIC_PX,
    LENGTH_MM,
    LINE,
    MM_PER_PX,
    START,
    at,
    make_bundle,
    make_capture,
    make_defect,
    make_gap,
    make_header,
    make_png,
    make_report,
)

pytestmark = pytest.mark.integration

Store = Callable[[FrameReport], bool]
SCORES = (0.9, 0.55, 0.7, 0.7, 0.8)


@pytest.fixture
def store(database: Database, pictures: PictureStore) -> Store:
    return lambda report: store_report(database, pictures, report)


def store_defects(store: Store, *, style: str = "twill", first: int = 0, scores: tuple[float, ...] = SCORES) -> None:
    """A frame a minute, one defect in each, 2 mm long."""
    for number, score in enumerate(scores):
        header = make_header(first + number, captured_at=at(first + number))
        y0_mm = header.position_mm + 10
        store(
            make_report(
                header=header,
                style=style,
                defects=(make_defect(style=style, score=score, y0_mm=y0_mm, y1_mm=y0_mm + 2),),
            )
        )


def ids(database: Database, wanted: DefectFilter) -> list[int]:
    return [item.id for item in defect_reads.list_defects(database, wanted, limit=100)[0]]


# --- cameras -------------------------------------------------------------------------------------------------------


def test_an_empty_database_has_no_camera_no_roll_and_no_defect(database: Database) -> None:
    assert camera_reads.camera_figures(database) == []
    assert rolls_to_choose(database, at=START) == []
    assert defect_reads.list_defects(database, DefectFilter(), limit=5) == ([], 0)
    assert defect_reads.latest_defects(database, limit=5) == []
    assert defect_reads.read_defect(database, 1) is None
    assert model_reads.promotions(database) == []
    assert len(model_reads.sample_counts(database)) == 0
    assert len(camera_reads.score_trend(database, line=LINE, camera="none")) == 0


def test_camera_figures_are_those_of_the_latest_frames(database: Database, store: Store) -> None:
    for number in range(4):
        store(make_report(number, captured_at=START + timedelta(seconds=2 * number), model="second"))
    store_gap(database, make_gap(4, captured_at=START + timedelta(seconds=8), reason="too_dark"))
    store_capture(database, make_capture(5))
    [figures] = camera_reads.camera_figures(database)
    assert (figures.line, figures.camera, figures.model) == (LINE, "camera-1", "second")
    assert figures.captured_at == START + timedelta(seconds=8)
    assert figures.position_mm == pytest.approx(5 * LENGTH_MM)
    assert figures.speed_m_min == pytest.approx(LENGTH_MM / 1000 / 2 * 60)
    assert figures.inspected_mm == pytest.approx(4 * LENGTH_MM)
    assert figures.gap_mm == pytest.approx(LENGTH_MM)
    assert figures.coverage == pytest.approx(0.8)
    assert figures.gap_reason == "too_dark"
    assert not figures.ended


def test_a_camera_that_only_had_gaps_is_shown_too(database: Database) -> None:
    store_gap(database, make_gap(0))
    [figures] = camera_reads.camera_figures(database)
    assert (figures.model, figures.speed_m_min, figures.coverage) == ("", 0.0, 0.0)


def test_a_new_session_starts_its_figures_afresh(database: Database, store: Store) -> None:
    store(make_report(0))
    store_gap(database, make_gap(1))
    store(make_report(header=make_header(0, session="later", captured_at=at(1))))
    store_capture(database, make_capture(2, ended=True))
    [figures] = camera_reads.camera_figures(database)
    assert (figures.gap_mm, figures.coverage, figures.ended) == (0.0, 1.0, False)


def test_the_score_trend_is_in_units_of_the_limit_oldest_first(database: Database, store: Store) -> None:
    store_defects(store)
    trend = camera_reads.score_trend(database, line=LINE, camera="camera-1", frames=3)
    assert list(trend["captured_at"]) == [at(2), at(3), at(4)]
    assert trend["strength"].to_numpy() == pytest.approx(0.9 / 0.5)  # of the tiles, as the report made to order has it
    assert list(trend["defects"]) == [1, 1, 1]


# --- rolls ---------------------------------------------------------------------------------------------------------


def test_a_map_shows_all_of_its_roll_and_nothing_of_another(database: Database, store: Store) -> None:
    open_roll(database, line=LINE, name="before", style="twill", by="a", at=at(-1))
    before = close_roll(database, line=LINE, by="a", at=at(1.5))
    roll = open_roll(database, line=LINE, name="now", style="twill", by="a", at=at(1.5))
    store_defects(store)
    store_gap(database, make_gap(5, captured_at=at(5), reason="unreadable: x.png"))
    drawn = roll_map(database, roll)
    assert drawn.summary.length_mm == pytest.approx(4 * LENGTH_MM)
    assert drawn.summary.width_mm == pytest.approx(FABRIC_PX * MM_PER_PX)
    assert drawn.summary.inspected_mm == pytest.approx(3 * LENGTH_MM)
    assert drawn.summary.gap_mm == pytest.approx(LENGTH_MM)
    assert drawn.summary.coverage == pytest.approx(0.75)
    assert drawn.summary.defects_per_100_m == pytest.approx(3 / (3 * LENGTH_MM / 100_000))
    assert list(drawn.defects["strength"]) == pytest.approx([1.6, 1.4, 1.4])
    assert list(drawn.defects["y0_mm"]) == pytest.approx([2 * LENGTH_MM + 10, 10, LENGTH_MM + 10])
    assert drawn.gaps[["y0_mm", "y1_mm", "code"]].to_numpy().tolist() == [[3 * LENGTH_MM, 4 * LENGTH_MM, "unreadable"]]
    assert len(roll_map(database, before).defects) == 2


def test_figures_of_cameras_side_by_side_are_their_mean(database: Database, store: Store) -> None:
    roll = open_roll(database, line=LINE, name="wide", style="", by="a", at=at(-1))
    for number in range(2):
        store(make_report(number, captured_at=at(number)))
        header = make_header(number, camera="camera-2", captured_at=at(number), x_offset_mm=128.0)
        if number == 0:
            store(make_report(header=header))
    store_gap(database, make_gap(1, camera="camera-2", captured_at=at(1)))
    summary = roll_summary(database, roll)
    assert [(camera.camera, camera.x0_mm, camera.x1_mm) for camera in summary.cameras] == [
        ("camera-1", 0.0, 128.0),
        ("camera-2", 128.0, 256.0),
    ]
    assert summary.length_mm == pytest.approx(2 * LENGTH_MM)
    assert summary.inspected_mm == pytest.approx(1.5 * LENGTH_MM)
    assert summary.coverage == pytest.approx(0.75)
    for camera in summary.cameras:
        assert camera.captured_mm == pytest.approx(2 * LENGTH_MM)


def test_a_roll_with_nothing_and_a_roll_with_only_gaps_have_maps(database: Database) -> None:
    empty = open_roll(database, line=LINE, name="empty", style="", by="a", at=at(-60))
    assert roll_map(database, empty).summary.cameras == ()
    assert roll_map(database, empty).summary.coverage == 0.0
    store_gap(database, make_gap(0))
    drawn = roll_map(database, empty)
    assert (drawn.summary.coverage, drawn.summary.width_mm, len(drawn.defects)) == (0.0, UNKNOWN_WIDTH_MM, 0)
    assert list(drawn.gaps["x1_mm"]) == [UNKNOWN_WIDTH_MM]


def test_running_rolls_come_first_and_those_of_staff_before_automatic_ones(database: Database, store: Store) -> None:
    store(make_report(0, captured_at=at(0)))  # no roll is open: the day's automatic one
    open_roll(database, line=LINE, name="old", style="", by="a", at=at(1))
    close_roll(database, line=LINE, by="a", at=at(2))
    open_roll(database, line=LINE, name="running", style="", by="a", at=at(3))
    rolls = rolls_to_choose(database, at=at(4))
    assert [roll.name for roll in rolls] == ["running", "auto 2026-03-14", "old"]
    assert [is_running(roll, at=at(4)) for roll in rolls] == [True, True, False]


# --- defects -------------------------------------------------------------------------------------------------------


def test_defects_come_worst_first_in_units_of_their_own_limit(database: Database, store: Store) -> None:
    store_defects(store)
    store(
        make_report(
            9, captured_at=at(9), defects=(make_defect(style="plaid", score=0.4, threshold=0.1),), style="plaid"
        )
    )
    items, total = defect_reads.list_defects(database, DefectFilter(), limit=100)
    assert [item.strength for item in items] == pytest.approx([4.0, 1.8, 1.6, 1.4, 1.4, 1.1])
    assert [item.id for item in items[3:5]] == sorted(item.id for item in items[3:5])
    assert total == 6


def test_filters_narrow_the_list(database: Database, store: Store, pictures: PictureStore) -> None:
    roll = open_roll(database, line=LINE, name="r", style="", by="a", at=at(2))
    store_defects(store)
    store_defects(store, style="plaid", first=5, scores=(0.6,))
    everything = ids(database, DefectFilter())
    reviews.review_defect(database, pictures, everything[0], state="confirmed", by="a")

    def found(**fields: object) -> int:
        return len(ids(database, DefectFilter(**fields)))  # type: ignore[arg-type]

    assert found(roll=roll) == 4
    assert found(style="plaid") == 1
    assert found(camera="camera-1") == 6
    assert found(camera="camera-9") == 0
    assert found(line=LINE) == found(line=LINE, since=at(0), until=at(60)) == 6
    assert found(line="line-9") == found(line="line-9", since=at(0)) == 0
    assert found(since=at(2)) == found(roll=roll) == 4
    assert found(since=at(0), until=at(2)) == 2
    assert found(by="a") == 1
    assert found(by="b") == 0
    assert found(state="confirmed") == 1
    assert found(state="unreviewed") == 5
    assert found(min_strength=1.3) == 4
    counts: dict[State, int] = {"unreviewed": 5, "confirmed": 1, "rejected": 0}
    assert defect_reads.count_by_state(database, DefectFilter(state="confirmed")) == counts
    assert defect_reads.style_names(database) == ["plaid", "twill"]
    assert defect_reads.camera_names(database) == ["camera-1"]


def test_pages_put_together_are_the_list(database: Database, store: Store) -> None:
    store_defects(store)
    pages = [defect_reads.list_defects(database, DefectFilter(), limit=2, offset=offset)[0] for offset in (0, 2, 4)]
    assert [item.id for page in pages for item in page] == ids(database, DefectFilter())


def test_rank_and_neighbours_follow_the_list(database: Database, store: Store) -> None:
    store_defects(store)
    order: list[int | None] = list(ids(database, DefectFilter()))
    for rank, defect_id in enumerate(order):
        assert defect_id is not None
        assert defect_reads.rank_of(database, DefectFilter(), defect_id) == rank
        before = order[rank - 1] if rank else None
        after = order[rank + 1] if rank + 1 < len(order) else None
        assert defect_reads.neighbours_of(database, DefectFilter(), defect_id) == (before, after)


def test_lists_ranks_and_neighbours_of_every_filter_are_those_of_a_plain_sort(
    database: Database, store: Store, pictures: PictureStore
) -> None:
    open_roll(database, line=LINE, name="R1", style="twill", by="eva", at=at(0))
    store_defects(store, scores=(0.9, 0.55, 0.7, 0.7, 0.7, 0.8))
    close_roll(database, line=LINE, by="eva", at=at(5))
    roll = next(roll for roll in rolls_to_choose(database, at=at(9)) if roll.name == "R1")
    everything, _ = defect_reads.list_defects(database, DefectFilter(), limit=50)
    reviews.review_defect(database, pictures, everything[1].id, state="confirmed", by="eva")
    everything, _ = defect_reads.list_defects(database, DefectFilter(), limit=50)
    for chosen_roll, state, least in itertools.product(
        (None, roll), ("", "unreviewed", "confirmed"), (0.0, everything[2].strength, everything[0].strength + 1)
    ):
        wanted = DefectFilter(roll=chosen_roll, state=state, min_strength=least)  # type: ignore[arg-type]
        fit = [
            each
            for each in everything
            if (chosen_roll is None or each.roll == chosen_roll)
            and state in ("", each.state)
            and each.strength >= least
        ]
        for limit, offset in itertools.product((1, 2, 50), (0, 1, 3, 9)):
            found, total = defect_reads.list_defects(database, wanted, limit=limit, offset=offset)
            assert (found, total) == (fit[offset : offset + limit], len(fit))
        for each in everything:  # also those that do not fit
            place = (-each.strength, each.id)
            before = [other.id for other in fit if (-other.strength, other.id) < place]
            after = [other.id for other in fit if (-other.strength, other.id) > place]
            assert defect_reads.rank_of(database, wanted, each.id) == len(before)
            beside = (before[-1] if before else None, after[0] if after else None)
            assert defect_reads.neighbours_of(database, wanted, each.id) == beside


def test_a_defect_that_left_the_filter_keeps_its_neighbours(
    database: Database, store: Store, pictures: PictureStore
) -> None:
    store_defects(store)
    order = ids(database, DefectFilter())
    reviews.review_defect(database, pictures, order[2], state="confirmed", by="a")
    assert defect_reads.neighbours_of(database, DefectFilter(state="unreviewed"), order[2]) == (order[1], order[3])
    assert defect_reads.neighbours_of(database, DefectFilter(state="rejected"), order[2]) == (None, None)


def test_a_defect_is_read_with_its_place_on_the_roll_and_its_history(
    database: Database, store: Store, pictures: PictureStore
) -> None:
    open_roll(database, line=LINE, name="r", style="", by="a", at=at(0.5))
    store_defects(store)
    [last] = defect_reads.latest_defects(database, limit=1)
    assert last.y_mm == pytest.approx(3 * LENGTH_MM + 11)
    assert last.roll is not None
    assert last.roll.name == "r"
    reviews.review_defect(database, pictures, last.id, state="rejected", by="anna")
    reviews.review_defect(database, pictures, last.id, state="confirmed", by="bela")
    detail = defect_reads.read_defect(database, last.id)
    assert detail is not None
    assert [(review.state, review.previous, review.by) for review in detail.history] == [
        ("rejected", "unreviewed", "anna"),
        ("confirmed", "rejected", "bela"),
    ]
    assert detail.item.box_px == (90, 98, 40, 48)
    assert detail.item.fabric_px == (FABRIC_PX, 128)
    assert not detail.learned
    assert detail.others_in_frame == 0


def test_a_rejected_defect_is_learned_once_nothing_doubtful_is_beside_it(
    database: Database, store: Store, pictures: PictureStore
) -> None:
    store(make_report(0, defects=(make_defect(100), make_defect(120, score=0.8))))
    first, second = ids(database, DefectFilter())
    reviews.review_defect(database, pictures, first, state="rejected", by="a")
    detail = defect_reads.read_defect(database, first)
    assert detail is not None
    assert (detail.learned, detail.others_in_frame) == (False, 1)
    reviews.review_defect(database, pictures, second, state="rejected", by="a")
    detail = defect_reads.read_defect(database, first)
    assert detail is not None
    assert (detail.learned, detail.others_in_frame) == (True, 0)


# --- models --------------------------------------------------------------------------------------------------------


def test_promotions_are_told_newest_first(database: Database, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bundles")
    for name in ("first", "second"):
        bundle = make_bundle(folder / name, name, weights=name.encode())
        registry.import_bundle(database, bundle, folder / "models", source="imported", by="a")
        registry.promote(database, name, by="b")
    registry.rollback(database, by="c")
    assert [(act.model, act.action, act.by) for act in model_reads.promotions(database)] == [
        ("first", "rollback", "c"),
        ("second", "promote", "b"),
        ("first", "promote", "b"),
    ]


def test_samples_are_counted_by_style_and_source(database: Database, pictures: PictureStore) -> None:
    for style, seed in (("twill", 1), ("twill", 2), ("plaid", 3)):
        samples.add_sample(
            database, pictures, style=style, png=make_png(seed), source="golden", roll_group="g", mm_per_px=0.2, by="a"
        )
    assert model_reads.sample_counts(database).to_numpy().tolist() == [["plaid", "golden", 1], ["twill", "golden", 2]]
