"""The gate's rules, on figures made to order; and which samples it holds out."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from retraining.evidence import _corners
from retraining.gate import Compared, Evidence, _asked_for, _exact, judge, middle_of_tries
from retraining.held_out import SHARE, held_out_of
from storage.gates import GatePicture
from storage.model_policy import FalseAlarmsRule, ModelPolicy, ParityRule, RecallRule, SpeedRule, StylesRule
from storage.registry import Model
from storage.samples import Captured, Sample

NOW = datetime(2026, 3, 14, tzinfo=UTC)


def model(name: str, *styles: str) -> Model:
    return Model(
        id=1, name=name, path="", manifest={"styles": {each: {} for each in styles}}, source="retrained", job_id=None,
        by="eva", created_at=NOW, running=False,
    )  # fmt: skip


def evidence(candidate=("twill",), running=("twill",), speed=1.0, runtimes=None, **by_style: Compared) -> Evidence:
    return Evidence(
        candidate=model("new", *candidate),
        running={style: model("old", style) for style in running},
        by_style=by_style,
        speed=speed,
        runtimes=runtimes or {},
    )


@settings(deadline=None)
@given(alarms=st.integers(0, 40), running=st.integers(0, 40), metres=st.floats(0.5, 500))
def test_false_alarms_may_reach_the_upper_end_of_the_running_models_interval(alarms, running, metres) -> None:
    compared = Compared(metres=metres, alarms=alarms, alarms_running=running)
    (result,) = judge([FalseAlarmsRule()], evidence(twill=compared))
    upper = 100 * chi2.ppf(0.975, 2 * running + 2) / 2 / metres  # Garwood
    assert result.limit == pytest.approx(upper)
    assert result.verdict == ("passed" if 100 * alarms / metres <= upper else "failed")


def test_all_styles_count_together_for_false_alarms_and_recall() -> None:
    compared = {
        "twill": Compared(metres=3, alarms=1, alarms_running=2, defects=5, found=3, found_running=4),
        "denim": Compared(metres=1, alarms=2, alarms_running=1, defects=5, found=5, found_running=4),
    }
    alarms, recall = judge([FalseAlarmsRule(), RecallRule()], evidence(**compared))
    assert alarms.value == pytest.approx(75)
    assert (recall.verdict, recall.value, recall.limit) == ("passed", 0.8, 0.8)


def test_one_defect_missed_more_fails_and_says_which() -> None:
    picture = GatePicture(picture="a.png", heat="b.png", words="twill: defect 7, which it misses")
    compared = Compared(defects=10, found=8, found_running=9, missed=[picture])
    (result,) = judge([RecallRule()], evidence(twill=compared))
    assert result.verdict == "failed"
    assert result.words == "finds 8 of 10 confirmed defects, the running model 9"
    assert result.pictures == (picture,)
    assert judge([RecallRule(drop=0.1)], evidence(twill=compared))[0].verdict == "passed"


def test_a_style_that_becomes_worse_fails_though_all_together_are_better() -> None:
    compared = {
        "denim": Compared(metres=10, alarms=0, alarms_running=9, defects=9, found=9, found_running=1),
        "twill": Compared(metres=1, alarms=9, alarms_running=0, defects=4, found=3, found_running=4),
    }
    known = ("denim", "twill")
    whole = judge([FalseAlarmsRule(), RecallRule()], evidence(known, known, **compared))
    assert {result.verdict for result in whole} == {"passed"}
    results = judge([StylesRule()], evidence(known, known, **compared))
    assert {(result.style, result.verdict) for result in results} == {("denim", "passed"), ("twill", "failed")}


def test_a_style_that_the_candidate_does_not_know_fails() -> None:
    results = judge([StylesRule()], evidence(("twill",), ("denim", "twill")))
    assert ("denim", "failed") in {(result.style, result.verdict) for result in results}


@pytest.mark.parametrize(
    ("speed", "verdict"), [(0.949, "failed"), (0.951, "passed"), (1.3, "passed"), (None, "unjudged")]
)
def test_speed_within_five_percent(speed, verdict) -> None:
    assert judge([SpeedRule()], evidence(speed=speed))[0].verdict == verdict


@pytest.mark.parametrize(
    ("tries", "middle"),
    [
        ([1.0], 1.0),  # enough at once
        ([0.5, 1.0, 1.0], 1.0),  # the machine was busy
        ([0.9, 0.9, 1.1, 0.9, 0.9], 0.9),  # one lucky try of a slower model
    ],
)
def test_speed_is_the_middle_of_all_tries_and_not_the_best(tries, middle) -> None:
    left = iter(tries)
    assert middle_of_tries(lambda: [next(left)] * 12) == middle
    assert not list(left)


def test_a_runtime_that_does_not_agree_fails_with_its_reason() -> None:
    (result,) = judge([ParityRule()], evidence(runtimes={"openvino-f32": "", "openvino-int8": "mask iou is 0.8"}))
    assert (result.verdict, result.words) == ("failed", "mask iou is 0.8")
    assert judge([ParityRule()], evidence(runtimes={"openvino-f32": ""}))[0].verdict == "passed"


def test_what_cannot_be_judged_is_neither_passed_nor_failed() -> None:
    rules = ModelPolicy().rules
    first = judge(rules, evidence(running=()))
    assert [result.verdict for result in first] == ["unjudged"] * 4 + ["passed"]
    bare = judge([FalseAlarmsRule(), RecallRule()], evidence())
    assert [result.verdict for result in bare] == ["unjudged"] * 2


def samples(style: str, groups: int, tiles: int = 3) -> list[Sample]:
    return [
        Sample(
            id=1000 * group + tile, style=style, picture=f"{style}-{group}-{tile}", source="golden",
            roll_group=f"roll {group}", defect_id=None, mm_per_px=0.2, active=True, by="eva", created_at=NOW,
        )
        for group in range(groups)
        for tile in range(tiles)
    ]  # fmt: skip


def test_whole_groups_are_held_out_about_a_fifth_of_them() -> None:
    everything = samples("twill", 400)
    held = {sample.roll_group for sample in held_out_of(everything)}
    assert len(held) / 400 == pytest.approx(SHARE, abs=0.06)
    assert len(held_out_of(everything)) == 3 * len(held)


def test_a_group_held_out_stays_so_when_others_come() -> None:
    before = {sample.picture for sample in held_out_of(samples("twill", 50))}
    after = {sample.picture for sample in held_out_of([*samples("twill", 80), *samples("denim", 80)])}
    assert before <= after


@settings(deadline=None)
@given(groups=st.integers(5, 40))
def test_at_least_one_group_and_never_more_than_half_are_held_out(groups) -> None:
    held = {sample.roll_group for sample in held_out_of(samples("twill", groups, tiles=1))}
    assert 1 <= len(held) <= groups // 2


def test_a_style_of_few_groups_keeps_all_for_training() -> None:
    assert held_out_of(samples("twill", 4)) == []


def captured(day: int, roll: int, tile: int) -> Sample:
    place = Captured(
        line="line-1", roll=f"R-{roll}", day=f"2026-03-{day:02d}", camera="c", counter="", x0_mm=0, x1_mm=50, y0_mm=0,
        y1_mm=50, captured_at=NOW,
    )  # fmt: skip
    return replace(samples("twill", 1)[0], id=100 * roll + tile, roll_group=place.group, captured=place)


def test_all_rolls_of_a_day_are_held_out_together() -> None:
    everything = [captured(roll // 3, roll, tile) for roll in range(30) for tile in range(2)]
    held = held_out_of(everything)
    days = {sample.captured.day for sample in held if sample.captured}
    assert 1 <= len(days) <= 5
    assert held == [sample for sample in everything if sample.captured and sample.captured.day in days]


def test_a_style_of_a_few_days_is_parted_by_its_rolls() -> None:
    everything = [captured(roll // 3, roll, tile) for roll in range(12) for tile in range(2)]
    rolls = {sample.roll_group for sample in held_out_of(everything)}
    assert 1 <= len(rolls) <= 6
    assert len(held_out_of(everything)) == 2 * len(rolls)
    assert held_out_of([captured(1, roll, 0) for roll in range(4)]) == []


@settings(deadline=None)
@given(height=st.integers(64, 300), width=st.integers(64, 300))
def test_corners_are_those_of_the_tiles_that_are_cut(height, width) -> None:
    from cras_core.pictures import cut_to_tiles

    pixels = np.arange(height * width, dtype=np.uint32).astype(np.uint8).reshape(height, width, 1).repeat(3, axis=2)
    tiles = cut_to_tiles(pixels, tile_px=64, name="x").tiles
    corners = _corners(pixels.shape, 64)
    assert len(corners) == len(tiles)
    for (top, left), tile in zip(corners, tiles, strict=True):
        assert (pixels[top : top + 64, left : left + 64] == tile).all()


def test_a_trial_that_fails_for_the_candidate_alone_counts_and_one_that_fails_for_both_does_not() -> None:
    broken = {"auto": "the trial of runtimes failed"}
    assert _asked_for(broken, {"torch-float32": "", "openvino-int8": ""}, "auto") == broken
    assert _asked_for(broken, broken, "auto") == {}
    problems = {"openvino-f32": "", "openvino-int8": "mask iou is 0.8", "openvino-bf16": "is 0.7"}
    theirs = {"openvino-f32": "", "openvino-int8": "", "openvino-bf16": "is 0.6"}
    assert _asked_for(problems, theirs, "auto") == {"openvino-f32": "", "openvino-int8": "mask iou is 0.8"}
    assert _exact(problems) == {"openvino-f32": ""}
