"""What a rule says of a line's facts: a pure function of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alarms.facts import DefectFact, LineFacts, Passed
from storage.alarms.alarm_store import Signal
from storage.alarms.rules import (
    AnyRule,
    CameraDownRule,
    CoverageRule,
    DriftRule,
    PeriodicRule,
    RateRule,
    RunningRule,
    SevereDefectRule,
    WorkerDownRule,
)
from storage.coverage import kind_of

CANNOT_TELL = "cannot tell"  # the subject of an alarm that a rule's other alarms stand still
NAMED = 3  # defects in one text
LATE = 32  # records, by which one may be stored after its successor


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """keep_others: alarms of subjects that are not mentioned stay as they are, instead of being over."""

    signals: tuple[Signal, ...] = ()
    keep_others: bool = False


def evaluate(rule: AnyRule, facts: LineFacts) -> Evaluation:
    """Does not look at `after_s`, which needs to know what was before."""
    judge: Callable[[Any, LineFacts], Evaluation] = _JUDGES[rule.kind]
    return judge(rule, facts)


def _severe(rule: SevereDefectRule, facts: LineFacts) -> Evaluation:
    def severe(defect: DefectFact) -> bool:
        return (
            defect.severity in rule.severities
            and defect.size_mm >= rule.min_size_mm
            and defect.strength >= rule.min_strength
            and (not rule.geometries or defect.geometry in rule.geometries)
        )

    found = [defect for defect in facts.defects if not defect.rejected and severe(defect)]
    return Evaluation(signals=(_collected(found, facts, clear_mm=rule.clear_m * 1000, what="severe defect"),))


def _running(rule: RunningRule, facts: LineFacts) -> Evaluation:
    long = [
        defect for defect in facts.defects if not defect.rejected and defect.y1_mm - defect.y0_mm >= rule.raise_m * 1000
    ]
    return Evaluation(signals=(_collected(long, facts, clear_mm=rule.clear_m * 1000, what="running defect"),))


def _collected(found: Sequence[DefectFact], facts: LineFacts, *, clear_mm: float, what: str) -> Signal:
    """One alarm of a line for all such defects, active while one of them is not far behind."""
    near = [defect for defect in found if _behind_mm(defect, facts) <= clear_mm]
    newest = sorted(near or found, key=lambda defect: defect.id, reverse=True)
    told = "; ".join(_place(defect) for defect in newest[:NAMED])
    more = f" and {len(newest) - NAMED} more" if len(newest) > NAMED else ""
    return Signal(
        level="raise" if near else "clear",
        text=f"{what}: {told}{more}" if newest else "",
        value=float(len(near)),
        keys=tuple(tuple(f"defect {number}" for number in (defect.id, *defect.also)) for defect in found),
    )


def _behind_mm(defect: DefectFact, facts: LineFacts) -> float:
    """Cloth that passed its camera since it ended; endless once the counter began anew."""
    passed = facts.passed.get(defect.camera)
    if not passed or passed[-1].session != defect.counter:
        return float("inf")
    ends = [record.position_mm + record.length_mm for record in passed[-LATE:] if record.session == defect.counter]
    return max(ends) - defect.y1_mm


def _place(defect: DefectFact) -> str:
    return (
        f"defect {defect.id}, {defect.geometry.replace('_', ' ')} of {defect.size_mm:.0f} mm at "
        f"{defect.at_mm / 1000:.2f} m of roll {defect.roll}, {defect.x_mm:.0f} mm across, camera {defect.camera}"
    )


def _rate(rule: RateRule, facts: LineFacts) -> Evaluation:
    begins = {camera: _begin_of(passed, rule.over_m * 1000) for camera, passed in facts.passed.items()}
    counted = [
        defect
        for defect in facts.defects
        if not defect.rejected and (begin := begins.get(defect.camera)) is not None and defect.captured_at >= begin
    ]
    value = sum(defect.points for defect in counted) if rule.measure == "points" else float(len(counted))
    level = _between(value >= rule.raise_at, value <= rule.clear_at)
    text = f"{value:g} {rule.measure} in the last {rule.over_m:g} m, raised at {rule.raise_at:g}"
    return Evaluation(signals=(Signal(level=level, text=text, value=value),))


def _begin_of(passed: Sequence[Passed], length_mm: float) -> datetime | None:
    """When the oldest record within the last `length_mm` of a camera's cloth was captured."""
    begin, told_mm = None, 0.0
    for record in reversed(passed):
        if told_mm >= length_mm:
            break
        begin, told_mm = record.captured_at, told_mm + record.length_mm
    return begin


def _coverage(rule: CoverageRule, facts: LineFacts) -> Evaluation:
    signals = []
    for camera, passed in sorted(facts.passed.items()):
        inspected_mm = lost_mm = 0.0
        reasons: dict[str, float] = {}
        for record in reversed(passed):
            if inspected_mm + lost_mm >= rule.over_m * 1000:
                break
            kind, code = kind_of(record.reason), record.reason.partition(":")[0].strip()
            if code == "no_fabric":
                continue  # no cloth that could be covered
            if kind == "inspected" or (kind == "not_inspectable" and not rule.not_inspectable):
                inspected_mm += record.length_mm
            else:
                lost_mm += record.length_mm
                reasons[code] = reasons.get(code, 0.0) + record.length_mm
        told_mm = inspected_mm + lost_mm
        if told_mm < rule.over_m * 500:
            signals.append(Signal(subject=f"camera {camera}", level="hold"))  # too little to judge by
            continue
        value = inspected_mm / told_mm
        mostly = max(reasons, key=reasons.__getitem__, default="")
        why = f", mostly because of {mostly.replace('_', ' ')}" if mostly else ""
        text = f"camera {camera}: {value:.0%} of the last {told_mm / 1000:.1f} m inspected{why}"
        level = _between(value < rule.raise_below, value >= rule.clear_above)
        signals.append(Signal(subject=f"camera {camera}", level=level, text=text, value=value))
    return Evaluation(signals=tuple(signals))


def _periodic(rule: PeriodicRule, facts: LineFacts) -> Evaluation:
    signals = []
    for series in facts.series:
        if series.hits < rule.min_hits:
            continue
        suspect = f", suspect: {series.suspect}" if series.suspect else ""
        text = (
            f"periodic defect every {series.period_mm:.1f} mm at {series.x_mm:.0f} mm across, {series.hits} times"
            f"{suspect}, next at {series.next_mm / 1000:.2f} m of roll {series.roll}"
        )
        signals.append(
            Signal(
                subject=f"series {series.id}",
                level="raise" if series.open else "clear",
                text=text,
                value=series.period_mm,
                keys=((f"series {series.id}",),),
            )
        )
    return Evaluation(signals=tuple(signals))


def _drift(rule: DriftRule, facts: LineFacts) -> Evaluation:
    signals = []
    for found in facts.drift:
        raised = found.state == "drifted" or found.state == rule.raise_at
        signals.append(
            Signal(
                subject=f"camera {found.camera}, style {found.style}",
                level=_between(raised, found.state == "steady"),
                text=f"scores of normal fabric of style {found.style} on camera {found.camera}: {found.state}",
            )
        )
    return Evaluation(signals=tuple(signals))


def _camera_down(rule: CameraDownRule, facts: LineFacts) -> Evaluation:
    ages = {fact.camera: (facts.at - fact.heard_at).total_seconds() for fact in facts.cameras}
    if facts.workers.running == 0:  # nobody stores what cameras see; that is the worker rule's alarm
        return Evaluation(signals=(Signal(subject=CANNOT_TELL, level="clear"),), keep_others=True)
    silent = [fact for fact in facts.cameras if not fact.ended and ages[fact.camera] <= rule.forget_s]
    if facts.workers.running is None and silent and min(ages[fact.camera] for fact in silent) > rule.raise_s:
        return _cannot_tell("which cameras run", facts)
    signals = []
    for fact in facts.cameras:
        age_s = ages[fact.camera]
        gone = fact.ended or age_s > rule.forget_s
        signals.append(
            Signal(
                subject=f"camera {fact.camera}",
                level=_between(not gone and age_s > rule.raise_s, gone or age_s <= rule.clear_s),
                text=(
                    f"camera {fact.camera} is silent since {fact.heard_at:%Y-%m-%d %H:%M:%S} UTC: is it connected, "
                    "and does the ingest service run?"
                ),
                value=age_s,
            )
        )
    return Evaluation(signals=tuple(signals))


def _worker_down(rule: WorkerDownRule, facts: LineFacts) -> Evaluation:
    running = facts.workers.running
    if running is None:
        return _cannot_tell("whether inspection workers run", facts)
    number = "no inspection worker runs" if not running else f"only {running} of {rule.min_workers} workers run"
    text = f"{number}: cloth waits to be inspected, start loomwatch worker"
    level = _between(running < rule.min_workers, running >= rule.min_workers)
    return Evaluation(signals=(Signal(level=level, text=text, value=float(running)),))


def _cannot_tell(what: str, facts: LineFacts) -> Evaluation:
    """One alarm that says so, in place of alarms that may be false; those that are there stay as they are."""
    text = f"cannot tell {what}: {facts.workers.why}"
    return Evaluation(signals=(Signal(subject=CANNOT_TELL, level="raise", text=text),), keep_others=True)


def _between(raised: bool, cleared: bool) -> Any:
    return "raise" if raised else "clear" if cleared else "hold"


_JUDGES: dict[str, Callable[[Any, LineFacts], Evaluation]] = {
    "severe_defect": _severe,
    "rate": _rate,
    "periodic": _periodic,
    "running": _running,
    "coverage": _coverage,
    "drift": _drift,
    "camera_down": _camera_down,
    "worker_down": _worker_down,
}
