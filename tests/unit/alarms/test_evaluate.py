"""What each rule says of facts, apart from any database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarms.evaluate import CANNOT_TELL, evaluate
from alarms.facts import CameraFact, DefectFact, DriftFact, LineFacts, Passed, SeriesFact, WorkersFact
from storage.alarms.rules import parse_rule

NOW = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)
ONE_WORKER = WorkersFact(running=1)
AWAY = WorkersFact(running=None, why="Redis is away")


def rule(kind, **fields):
    return parse_rule({"name": "r", "kind": kind, **fields})


def cloth(metres, *, reasons=(), frame_mm=500.0, session="s1"):
    """So many metres of one camera's frames; reasons: number of a record -> reason of a gap."""
    count = round(metres * 1000 / frame_mm)
    return [
        Passed(
            session=session,
            captured_at=NOW + timedelta(seconds=number),
            position_mm=number * frame_mm,
            length_mm=frame_mm,
            reason=dict(reasons).get(number, ""),
        )
        for number in range(count)
    ]


def defect(number=1, *, y_m=0.0, length_mm=5.0, severity="critical", **changes):
    values = {
        "id": number,
        "camera": "c",
        "counter": "s1",
        "captured_at": NOW + timedelta(seconds=int(y_m * 2)),
        "x_mm": 100.0,
        "y0_mm": y_m * 1000,
        "y1_mm": y_m * 1000 + length_mm,
        "roll": "R-1",
        "at_mm": y_m * 1000 - 12_000,
        "size_mm": max(5.0, length_mm),
        "geometry": "point",
        "severity": severity,
        "points": 4.0,
        "strength": 2.0,
        "rejected": False,
    }
    return DefectFact(**(values | changes))


def facts(**changes):
    values = {"line": "line-1", "at": NOW, "workers": ONE_WORKER, "passed": {"c": cloth(20)}}
    return LineFacts(**(values | changes))


def one(found):
    [signal] = found.signals
    return signal


def test_a_severe_defect_raises_and_is_over_once_enough_cloth_passed_without_one():
    severe = rule("severe_defect", clear_m=5)
    near = one(evaluate(severe, facts(defects=[defect(y_m=16)])))
    assert (near.level, near.value, near.keys) == ("raise", 1.0, (("defect 1",),))
    assert "defect 1, point of 5 mm at 4.00 m of roll R-1, 100 mm across, camera c" in near.text
    far = one(evaluate(severe, facts(defects=[defect(y_m=14)])))
    assert (far.level, far.keys) == ("clear", (("defect 1",),))  # named all the same: it may have come just now
    assert one(evaluate(severe, facts())).level == "clear"


@pytest.mark.parametrize(
    "other",
    [
        {"severity": "major"},
        {"rejected": True},
        {"size_mm": 2.0},
        {"strength": 1.1},
        {"geometry": "weft_line"},
    ],
)
def test_what_a_severe_rule_does_not_name_does_not_raise_it(other):
    severe = rule("severe_defect", min_size_mm=3, min_strength=1.5, geometries=["point", "area"])
    assert one(evaluate(severe, facts(defects=[defect(y_m=19)]))).level == "raise"
    assert one(evaluate(severe, facts(defects=[defect(y_m=19, **other)]))).keys == ()


def test_a_defect_on_a_counter_that_began_anew_is_behind():
    passed = {"c": [*cloth(20), *cloth(1, session="s2")]}
    assert one(evaluate(rule("severe_defect"), facts(passed=passed, defects=[defect(y_m=19)]))).level == "clear"


def test_former_numbers_of_a_merged_defect_are_named():
    found = one(evaluate(rule("severe_defect"), facts(defects=[defect(3, y_m=19, also=(5, 9))])))
    assert found.keys == (("defect 3", "defect 5", "defect 9"),)


def test_a_running_defect_raises_while_it_grows_and_clears_when_it_ended():
    running = rule("running", raise_m=1, clear_m=1)
    assert one(evaluate(running, facts(defects=[defect(y_m=17, length_mm=2900)]))).level == "raise"
    assert one(evaluate(running, facts(defects=[defect(y_m=16, length_mm=2900)]))).level == "clear"
    assert one(evaluate(running, facts(defects=[defect(y_m=19, length_mm=900)]))).keys == ()


@given(places=st.lists(st.floats(0, 199), max_size=40), over_m=st.sampled_from([10, 50, 150]))
def test_a_rate_is_the_number_of_defects_in_the_last_metres(places, over_m):
    """Against a plain count; frames are half a metre, one a second."""
    defects = [defect(n, y_m=y) for n, y in enumerate(places)]
    expected = sum(int(y * 2) >= (200 - over_m) * 2 for y in places)
    measured = rule("rate", measure="defects", over_m=over_m, raise_at=8, clear_at=3)
    found = one(evaluate(measured, facts(passed={"c": cloth(200)}, defects=defects)))
    assert found.value == expected
    assert found.level == ("raise" if expected >= 8 else "clear" if expected <= 3 else "hold")


def test_points_are_summed_and_false_alarms_left_out():
    defects = [defect(1, y_m=19), defect(2, y_m=18, points=2.0), defect(3, y_m=17, rejected=True)]
    assert one(evaluate(rule("rate"), facts(defects=defects))).value == 6.0


def test_a_series_raises_with_pitch_suspect_and_next_place_and_clears_when_it_closes():
    series = SeriesFact(
        id=7, roll="R-1", x_mm=120, period_mm=628.3, next_mm=12_345.6, hits=5, suspect="guide roller", open=True
    )
    found = one(evaluate(rule("periodic"), facts(series=[series])))
    assert (found.subject, found.level) == ("series 7", "raise")
    assert "every 628.3 mm" in found.text
    assert "suspect: guide roller, next at 12.35 m of roll R-1" in found.text
    assert evaluate(rule("periodic", min_hits=6), facts(series=[series])).signals == ()
    closed = replace(series, open=False)
    assert one(evaluate(rule("periodic"), facts(series=[closed]))).level == "clear"


def test_coverage_is_judged_a_camera_over_its_last_metres():
    half = cloth(20, reasons=dict.fromkeys(range(30, 40), "dropped: spool full"))
    found = {
        signal.subject: signal
        for signal in evaluate(rule("coverage", over_m=10), facts(passed={"c": half, "d": cloth(20)})).signals
    }
    assert found["camera c"].level == "raise"
    assert found["camera c"].value == pytest.approx(0.5)
    assert "50% of the last 10.0 m inspected, mostly because of dropped" in found["camera c"].text
    assert found["camera d"].level == "clear"


def test_coverage_between_its_levels_holds_and_too_little_cloth_says_nothing():
    lost = cloth(20, reasons={39: "dropped"})  # 95 % of 10 m
    assert one(evaluate(rule("coverage"), facts(passed={"c": lost}))).level == "hold"
    assert one(evaluate(rule("coverage"), facts(passed={"c": cloth(1, reasons={0: "dropped"})}))).level == "hold"


def test_no_fabric_is_no_lost_coverage_and_not_inspectable_cloth_is_unless_it_is_switched_off():
    away = cloth(30, reasons=dict.fromkeys(range(20, 60), "no_fabric"))
    assert one(evaluate(rule("coverage"), facts(passed={"c": away}))).level == "clear"
    dark = cloth(20, reasons=dict.fromkeys(range(20, 40), "too_dark"))
    assert one(evaluate(rule("coverage"), facts(passed={"c": dark}))).level == "raise"
    assert one(evaluate(rule("coverage", not_inspectable=False), facts(passed={"c": dark}))).level == "clear"


@pytest.mark.parametrize(
    ("state", "raise_at", "level"),
    [
        ("drifted", "drifted", "raise"),
        ("watch", "drifted", "hold"),
        ("watch", "watch", "raise"),
        ("drifted", "watch", "raise"),
        ("steady", "watch", "clear"),
        ("gathering", "drifted", "hold"),
    ],
)
def test_drift_raises_at_the_state_that_the_rule_names(state, raise_at, level):
    drift = [DriftFact(camera="c", style="denim", state=state)]
    found = one(evaluate(rule("drift", raise_at=raise_at), facts(drift=drift)))
    assert (found.subject, found.level) == ("camera c, style denim", level)


def camera(age_s, *, name="c", ended=False):
    return CameraFact(camera=name, heard_at=NOW - timedelta(seconds=age_s), ended=ended)


@pytest.mark.parametrize(
    ("fact", "level"),
    [
        (camera(5), "clear"),
        (camera(30), "hold"),
        (camera(61), "raise"),
        (camera(61, ended=True), "clear"),
        (camera(90_000), "clear"),
    ],
)
def test_a_camera_is_down_when_it_was_not_heard_of(fact, level):
    assert one(evaluate(rule("camera_down"), facts(cameras=[fact]))).level == level


def test_without_workers_no_camera_is_called_down():
    found = evaluate(rule("camera_down"), facts(cameras=[camera(600)], workers=WorkersFact(running=0)))
    assert found.keep_others
    assert [(signal.subject, signal.level) for signal in found.signals] == [(CANNOT_TELL, "clear")]


def test_without_redis_one_alarm_says_that_nobody_can_tell():
    cameras = [camera(600, name="c"), camera(700, name="d")]
    for kind in ("camera_down", "worker_down"):
        found = evaluate(rule(kind), facts(cameras=cameras, workers=AWAY))
        assert found.keep_others
        assert (one(found).subject, one(found).level) == (CANNOT_TELL, "raise")
        assert "cannot tell" in one(found).text
        assert "Redis is away" in one(found).text


def test_without_redis_a_camera_that_is_heard_of_shows_that_the_other_is_down():
    cameras = [camera(1, name="c"), camera(600, name="d")]
    found = {
        signal.subject: signal.level
        for signal in evaluate(rule("camera_down"), facts(cameras=cameras, workers=AWAY)).signals
    }
    assert found == {"camera c": "clear", "camera d": "raise"}


@pytest.mark.parametrize(("running", "level"), [(0, "raise"), (1, "raise"), (2, "clear"), (3, "clear")])
def test_workers_are_counted(running, level):
    found = one(evaluate(rule("worker_down", min_workers=2), facts(workers=WorkersFact(running=running))))
    assert found.level == level
