"""What the guard holds, what it lets through, and that no confirmed defect is ever learned."""

import io
import random
import threading
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from ingest.edges import find_edges
from ingest.simulator import normal_frames
from inspection.errors import StorageError
from inspection.settings import StoreSettings, load
from retraining.guard import guard_samples
from retraining.training import train_candidate
from storage import registry
from storage.backup import picture_keys
from storage.confirmed_defects import list_kept, take_out
from storage.frames import store_report
from storage.pictures import PictureStore
from storage.reads.regression import regression_set
from storage.retention import prune
from storage.reviews import review_defect
from storage.rolls import close_roll, open_roll
from storage.sample_captures import end_capture, start_capture
from storage.sample_guard import Looked, hold_doubtful, judge_sample, most_alike
from storage.sample_sets import list_sets, read_set
from storage.samples import (
    Captured,
    SampleFilter,
    Scored,
    add_sample,
    decide_samples,
    get_sample,
    guard_is_awaited,
    list_samples,
)
from storage.tables import AuditRow, DefectRow, FragmentRow, SampleSetRow
from tests.records import (
    CAMERA,
    LENGTH_MM,
    LINE,
    MM_PER_PX,
    SESSION,
    START,
    at,
    encode_png,
    make_defect,
    make_png,
    make_report,
)

pytestmark = pytest.mark.integration
SMALL = {"backbone": "efficientnet_lite0", "epochs": 1, "tile_px": 64, "calibration": "holdout"}


@pytest.fixture
def store(tmp_path) -> StoreSettings:
    return load(StoreSettings, data_dir=tmp_path, database_url="", redis_url="", pictures_url="")


@pytest.fixture
def pictures(store) -> PictureStore:
    return PictureStore(store.pictures)


def add(database, pictures, png, **changes):
    values = {"style": "twill", "source": "golden", "roll_group": "g", "mm_per_px": MM_PER_PX, "by": "eva"}
    return add_sample(database, pictures, png=png, **(values | changes))


def place(*, frame=0, x0_mm=0.0, x1_mm=128.0, y0_mm=None, y1_mm=None):
    return Captured(
        line=LINE, roll="R1", day="2026-03-14", camera=CAMERA, counter=SESSION, x0_mm=x0_mm, x1_mm=x1_mm,
        y0_mm=frame * LENGTH_MM if y0_mm is None else y0_mm,
        y1_mm=(frame + 1) * LENGTH_MM if y1_mm is None else y1_mm,
        captured_at=START,
    )  # fmt: skip


def codes(database, sample):
    return [reason.code for reason in get_sample(database, sample.id).reasons]


def train(database, store, **parameters):
    return train_candidate(
        store, database, PictureStore(store.pictures), source="trained", by="eva", device="cpu", tell=lambda *_: None,
        stop=threading.Event(), parameters=parameters,
    )  # fmt: skip


def test_without_a_model_what_people_gave_is_accepted_and_the_rest_is_held(sqlite_database, pictures):
    given = add(sqlite_database, pictures, make_png(1))
    other = add(sqlite_database, pictures, make_png(2))
    with Image.open(io.BytesIO(make_png(1))) as picture:
        pixels = np.asarray(picture).astype(np.int16)
    brighter = add(sqlite_database, pictures, encode_png((pixels + 9).clip(0, 255).astype(np.uint8)))
    chance = add(sqlite_database, pictures, make_png(4), source="reservoir")
    damaged = add(sqlite_database, pictures, make_png(5))
    pictures.put(damaged.picture, make_png(5)[:200])
    done = guard_samples(sqlite_database, pictures, share=0.02)
    assert (done.looked, done.held) == (5, 3)
    assert [get_sample(sqlite_database, each.id).state for each in (given, other)] == ["accepted"] * 2
    assert codes(sqlite_database, brighter) == ["duplicate"]
    assert codes(sqlite_database, chance) == ["chance"]
    assert codes(sqlite_database, damaged) == ["unreadable"]
    assert guard_samples(sqlite_database, pictures, share=0.02).looked == 0


def test_what_looks_like_a_refused_sample_is_held(sqlite_database, pictures):
    refused = add(sqlite_database, pictures, make_png(1))
    guard_samples(sqlite_database, pictures, share=0.02)
    decide_samples(sqlite_database, [refused.id], state="refused", by="eva")
    again = add(sqlite_database, pictures, make_png(1), roll_group="another")
    guard_samples(sqlite_database, pictures, share=0.02)
    assert codes(sqlite_database, again) == ["refused_before"]


def test_the_model_holds_what_it_scores_high_and_says_how_high(sqlite_database, store, pictures):
    for number in range(4):
        add(sqlite_database, pictures, make_png(number, size_px=128), roll_group=f"g{number}")
    registry.promote(sqlite_database, train(sqlite_database, store, **SMALL).name, by="eva")
    with Image.open(io.BytesIO(make_png(9, size_px=128))) as picture:
        torn = np.array(picture)
    torn[40:80, 40:80] = 255 * (np.indices((40, 40)).sum(0) % 2)
    wrong = add(sqlite_database, pictures, encode_png(torn))
    unknown = add(sqlite_database, pictures, encode_png(torn), style="plain")
    guard_samples(sqlite_database, pictures, share=0.02)
    sample = get_sample(sqlite_database, wrong.id)
    assert sample.state == "held"
    assert sample.reasons[0].code == "score"
    assert sample.scored is not None
    assert sample.scored.ratio == pytest.approx(sample.reasons[0].value, abs=1e-3)
    assert sample.scored.model == registry.running_model(sqlite_database).name
    assert get_sample(sqlite_database, unknown.id).scored is None


def test_cloth_near_a_confirmed_defect_is_held_and_cloth_with_an_open_alarm_too(sqlite_database, pictures):
    store_report(sqlite_database, pictures, make_report(0, defects=(make_defect(100),)))
    (defect,) = defects(sqlite_database)
    on_it = add(sqlite_database, pictures, make_png(1), captured=place())
    guard_samples(sqlite_database, pictures, share=0.02)
    assert codes(sqlite_database, on_it) == ["unreviewed"]
    assert decide_samples(sqlite_database, [on_it.id], state="accepted", by="eva").refused == (
        f"sample {on_it.id}: defect {defect}, which nobody has reviewed, lies in it",
    )
    review_defect(sqlite_database, pictures, defect, state="confirmed", by="eva")
    beside = add(sqlite_database, pictures, make_png(2), captured=place(x0_mm=60.0))
    far = add(sqlite_database, pictures, make_png(3), captured=place(frame=9))
    guard_samples(sqlite_database, pictures, share=0.02)
    assert codes(sqlite_database, beside) == ["near"]
    assert get_sample(sqlite_database, far.id).state == "accepted"
    assert decide_samples(sqlite_database, [beside.id], state="accepted", by="eva").done == 1


def test_a_confirmed_defect_is_known_when_its_roll_was_pruned(database, database_url, pictures):
    open_roll(database, line=LINE, name="R1", style="twill", by="eva", at=at(0))
    store_report(database, pictures, make_report(0, captured_at=at(1), defects=(make_defect(100), make_defect(300))))
    close_roll(database, line=LINE, by="eva", at=at(2))
    defect = defects(database)[0]
    likeness = np.asarray([1.0, 0.0, 0.5], "<f2")
    with database.session() as session:
        for row in session.scalars(select(FragmentRow)):
            row.likeness = likeness.tobytes()
    review_defect(database, pictures, defect, state="confirmed", by="eva")
    known = regression_set(database)
    assert [each.id for each in known] == [defect]
    before = set(picture_keys(database_url))
    prune(database, pictures, by="eva", days=1, at=at(9 * 24 * 60))
    assert defects(database) == []
    assert regression_set(database) == known
    assert set(picture_keys(database_url)) == {known[0].crop}
    assert [key for key in before if pictures.exists(key)] == [known[0].crop]
    on_it = add(database, pictures, make_png(1), captured=place(x0_mm=0.0, x1_mm=60.0))
    beside = add(database, pictures, make_png(2), captured=place(x0_mm=60.0))
    guard_samples(database, pictures, share=0.02)
    assert [codes(database, each) for each in (on_it, beside)] == [["confirmed"], ["near"]]
    assert decide_samples(database, [on_it.id], state="accepted", by="eva").done == 0
    other = add(database, pictures, make_png(3))
    looked = Looked(likeness=likeness.astype(np.float32))
    (alike,) = judge_sample(database, other.id, looked, pixels=None, read=lambda _: None) or ()
    assert (alike.code, alike.about) == ("alike", defect)

    assert [each.id for each in list_kept(database)[0]] == [defect]
    with pytest.raises(StorageError, match="needs a reason"):
        take_out(database, pictures, [defect], by="eva", reason=" ")
    with pytest.raises(StorageError, match="defect 999 is not among the confirmed ones of pruned rolls"):
        take_out(database, pictures, [defect, 999], by="eva", reason="a shadow")
    assert regression_set(database) == known
    take_out(database, pictures, [defect], by="eva", reason="a shadow")
    assert (regression_set(database), list_kept(database)) == ([], ([], 0))
    assert not pictures.exists(known[0].crop)
    assert decide_samples(database, [on_it.id], state="accepted", by="eva").done == 1
    with database.reading() as session:
        (row,) = session.scalars(select(AuditRow).where(AuditRow.action == "defect.take_out"))
    assert (row.by, row.subject, row.detail["reason"]) == ("eva", f"defect {defect}", "a shadow")


def test_a_defect_that_is_confirmed_later_takes_back_what_lies_near_until_staff_accept_it(sqlite_database, pictures):
    beside = add(sqlite_database, pictures, make_png(2), captured=place(x0_mm=60.0))
    far = add(sqlite_database, pictures, make_png(3), captured=place(frame=9))
    guard_samples(sqlite_database, pictures, share=0.02)
    store_report(sqlite_database, pictures, make_report(0, defects=(make_defect(100),)))
    (defect,) = defects(sqlite_database)
    assert hold_doubtful(sqlite_database) == 0, "an alarm near it that nobody confirmed says nothing"
    review_defect(sqlite_database, pictures, defect, state="confirmed", by="eva")
    assert hold_doubtful(sqlite_database) == 1
    assert codes(sqlite_database, beside) == ["near"]
    assert get_sample(sqlite_database, far.id).state == "accepted"
    assert decide_samples(sqlite_database, [beside.id], state="accepted", by="eva").done == 1
    assert hold_doubtful(sqlite_database) == 0


@pytest.mark.parametrize("style", ["denim", "plain"])
def test_a_defect_in_the_golden_roll_of_a_style_that_no_model_knows_is_held_when_the_roll_has_ended(
    sqlite_database, pictures, style
):
    frames = normal_frames(style, seed=1, length_m=0.0512 * 20, frame_lines=256, mm_per_px=0.2, width_mm=102.4)
    capture = start_capture(sqlite_database, camera=CAMERA, line=LINE, style=style, metres=20, by="eva")
    numbers = []
    for number, frame in enumerate(frames[:20]):
        left, right = find_edges(frame)
        cloth = frame[:, left:right].copy()
        if number == 7:
            cv2.line(cloth, (100, 90), (160, 98), (230, 230, 230), 2)
        sample = add(
            sqlite_database, pictures, encode_png(cloth), source="roll", style=style, capture_id=capture.id,
            mm_per_px=0.2,
        )  # fmt: skip
        numbers.append(sample.id)
    assert not guard_is_awaited(sqlite_database)
    assert guard_samples(sqlite_database, pictures, share=0.02).looked == 0
    end_capture(sqlite_database, capture.id, state="done")
    assert guard_is_awaited(sqlite_database)
    guard_samples(sqlite_database, pictures, share=0.02)
    held = list_samples(sqlite_database, wanted=SampleFilter(state="held"))
    assert [sample.id for sample in held] == [numbers[7]]
    assert [reason.code for reason in held[0].reasons] == ["strange"]
    assert len(list_samples(sqlite_database, learnable=True)) == 19


def test_what_is_unlike_the_accepted_samples_of_other_rolls_is_held(sqlite_database, pictures):
    def cloth(roll, count):
        frames = normal_frames("twill", seed=roll, length_m=0.0512 * count, frame_lines=256, width_mm=120.0)
        return [frame[:, (edges := find_edges(frame))[0] : edges[1]].copy() for frame in frames[:count]]

    accepted = [
        add(sqlite_database, pictures, encode_png(pixels), roll_group=f"roll {roll}").id
        for roll in (1, 2)
        for pixels in cloth(roll, 10)
    ]
    decide_samples(sqlite_database, accepted, state="accepted", by="eva")
    frames = cloth(3, 5)
    cv2.line(frames[2], (100, 90), (140, 96), (200, 200, 200), 2)
    given = [add(sqlite_database, pictures, encode_png(pixels), roll_group="roll 3") for pixels in frames]
    rejected = add(sqlite_database, pictures, encode_png(frames[2][:, ::-1]), roll_group="roll 3", source="review")
    guard_samples(sqlite_database, pictures, share=0.02)
    assert [codes(sqlite_database, sample) for sample in given] == [[], [], ["unlike"], [], []]
    assert codes(sqlite_database, rejected) == []
    assert get_sample(sqlite_database, given[2].id).reasons[0].value > 1


def test_a_false_alarm_is_held_only_when_it_scored_very_high(sqlite_database, pictures):
    for number, ratio in ((1, 1.4), (2, 2.6)):
        add(
            sqlite_database, pictures, make_png(number), source="review",
            scored=Scored(model="first", score=ratio * 0.5, threshold=0.5),
        )  # fmt: skip
    guard_samples(sqlite_database, pictures, share=0.02)
    assert [sample.state for sample in list_samples(sqlite_database)] == ["accepted", "held"]


def test_likeness_finds_the_nearest_and_nothing_that_is_far():
    own = np.asarray([1.0, 0.0, 0.1], np.float32)
    known = [(3, np.asarray([0.0, 1.0, 0.0], np.float32)), (7, np.asarray([2.0, 0.1, 0.2], np.float32))]
    assert most_alike(own, known) == 7
    assert most_alike(own, known[:1]) is None
    assert most_alike(own, []) is None


def defects(database):
    with database.reading() as session:
        return list(session.scalars(select(DefectRow.id).order_by(DefectRow.id)))


def boxes(database, state):
    with database.reading() as session:
        rows = session.scalars(select(DefectRow).where(DefectRow.state == state)).all()
        return [(row.x0_mm, row.x1_mm, row.y0_mm, row.y1_mm) for row in rows]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_staff_do_nothing_learnable_touches_a_confirmed_or_open_defect(sqlite_database, pictures, seed):
    chance = random.Random(seed)
    for frame in range(4):
        found = tuple(make_defect(chance.randrange(20, 480), chance.randrange(0, 110)) for _ in range(2))
        store_report(sqlite_database, pictures, make_report(frame, defects=found))
    for number in range(24):
        act = chance.choice(("add", "review", "review", "guard", "accept", "accept"))
        ids = [sample.id for sample in list_samples(sqlite_database, active_only=False)]
        if act == "add":
            x_mm, y_mm = chance.uniform(0, 110), chance.uniform(0, 110)
            add(
                sqlite_database, pictures, make_png(number),
                captured=place(x0_mm=x_mm, x1_mm=x_mm + 16, y0_mm=y_mm, y1_mm=y_mm + 16),
            )  # fmt: skip
        elif act == "review":
            state = chance.choice(("confirmed", "rejected", "rejected", "unreviewed"))
            review_defect(sqlite_database, pictures, chance.choice(defects(sqlite_database)), state=state, by="eva")
        elif act == "guard":
            guard_samples(sqlite_database, pictures, share=0.02)
        elif ids:
            decide_samples(sqlite_database, chance.sample(ids, min(3, len(ids))), state="accepted", by="eva")
    hold_doubtful(sqlite_database)  # as before every training
    for sample in list_samples(sqlite_database, learnable=True):
        at = sample.captured
        assert at is not None
        for x0, x1, y0, y1 in (*boxes(sqlite_database, "confirmed"), *boxes(sqlite_database, "unreviewed")):
            assert not (x0 < at.x1_mm and x1 > at.x0_mm and y0 < at.y1_mm and y1 > at.y0_mm), sample


def test_a_model_is_trained_again_from_its_set_to_the_bit(sqlite_database, store, pictures):
    for number in range(4):
        add(sqlite_database, pictures, make_png(number, size_px=128), roll_group=f"g{number}")
    add(sqlite_database, pictures, make_png(7), source="reservoir")  # nobody has looked at it
    first = train(sqlite_database, store, **SMALL)
    (frozen,) = list_sets(sqlite_database)
    assert first.manifest["provenance"]["set"] == frozen.id
    assert first.manifest["provenance"]["samples_sha256"] == frozen.sha256
    assert {item.source for item in frozen.learned} == {"golden"}
    more = add(sqlite_database, pictures, make_png(5, size_px=128))
    decide_samples(sqlite_database, [frozen.learned[0].sample], state="refused", by="eva")
    again = train(sqlite_database, store, set=frozen.id)
    weights = [(Path(model.path) / "weights.safetensors").read_bytes() for model in (first, again)]
    assert weights[0] == weights[1]
    assert first.manifest["styles"] == again.manifest["styles"]
    assert get_sample(sqlite_database, more.id).state == "waits"  # an old set takes nothing new
    pictures.put(frozen.learned[1].picture, make_png(8, size_px=128))
    with pytest.raises(StorageError, match="is not the one that its set was frozen with"):
        train(sqlite_database, store, set=frozen.id)


def test_a_set_that_was_changed_is_not_trained_from(sqlite_database, store, pictures):
    for number in range(4):
        add(sqlite_database, pictures, make_png(number, size_px=128), roll_group=f"g{number}")
    train(sqlite_database, store, **SMALL)
    with sqlite_database.session() as session:
        row = session.get_one(SampleSetRow, 1)
        row.content = {**row.content, "recipe": {**row.content["recipe"], "threads": 7}}
    with pytest.raises(StorageError, match="set 1 was changed since it was frozen"):
        read_set(sqlite_database, 1)
    with pytest.raises(StorageError, match="there is no set 2: see loomwatch samples sets list"):
        read_set(sqlite_database, 2)


def test_a_filter_finds_by_state_and_source(sqlite_database, pictures):
    add(sqlite_database, pictures, make_png(1))
    add(sqlite_database, pictures, make_png(2), source="reservoir")
    guard_samples(sqlite_database, pictures, share=0.02)
    held = list_samples(sqlite_database, wanted=SampleFilter(state="held", style="twill"))
    assert [sample.source for sample in held] == ["reservoir"]
    assert asdict(held[0].reasons[0])["code"] == "chance"
    assert list_samples(sqlite_database, wanted=SampleFilter(source="upload")) == []
