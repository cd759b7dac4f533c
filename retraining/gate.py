"""The gate: a candidate beside the running model on the same held-out cloth, by the rules of the mill's policy.

Each rule ends passed, failed, or unjudged when there is nothing to judge by, with its figure, its limit and a sentence;
a failed one brings pictures of what decided it: false alarms that only the candidate raises, confirmed defects that
only it misses. The result is stored with the model (`storage.gates`); `storage.registry.promote` asks for it.
"""

import logging
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from cras_core.bundle import load_bundle, read_tiles
from cras_core.device import pick_device
from cras_core.errors import CrasError
from cras_core.false_alarms import rate_interval
from cras_core.features import NormalSample
from cras_core.pictures import Pixels, encode_png
from cras_core.runtimes.builders import REFERENCE
from cras_core.runtimes.exports import EXACT
from cras_core.runtimes.selection import tried_before, use_runtime
from cras_core.scoring import Scorer
from inspection.errors import StorageError
from inspection.settings import StoreSettings, TrainerSettings, load
from inspection.types import Scores
from retraining.dataset import SCALE_TOLERANCE, normal_samples
from retraining.evidence import Looked, look_at_defect, look_at_normal, read_defect
from retraining.guard import guard_samples
from retraining.held_out import held_out_of
from storage import registry
from storage.database import Database
from storage.gates import Gate, GatePicture, RuleResult, Verdict, save_gate
from storage.model_policy import (
    FalseAlarmsRule,
    ParityRule,
    RecallRule,
    Rule,
    SpeedRule,
    StylesRule,
    read_policy,
)
from storage.pictures import PictureStore, picture_key
from storage.reads.regression import KnownDefect, regression_set
from storage.registry import InForce, Model
from storage.samples import list_samples

log = logging.getLogger(__name__)

Tell = Callable[[float, str], object]
SHOWN = 6  # pictures a rule
SPEED_BATCH, SPEED_PAIRS, SPEED_TRIES = 8, 12, 5


@dataclass(slots=True)
class Compared:
    """A style's pictures by both models: alarms on normal cloth, defects found."""

    metres: float = 0.0
    alarms: int = 0  # the candidate's
    alarms_running: int = 0
    defects: int = 0
    found: int = 0
    found_running: int = 0
    raised: list[GatePicture] = field(default_factory=list)  # by the candidate alone
    missed: list[GatePicture] = field(default_factory=list)  # by the candidate alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the rules judge. running: style -> the model in charge of it. by_style: of the styles that both know.
    speed: candidate's tiles a second by the running model's. runtimes: name -> why the candidate cannot be had by it,
    "" when it can; of those that the running model can be had by."""

    candidate: Model
    running: Mapping[str, Model]
    by_style: Mapping[str, Compared]
    speed: float | None
    runtimes: Mapping[str, str]

    @property
    def together(self) -> Compared:
        whole = Compared()
        for own in self.by_style.values():
            for name in ("metres", "alarms", "alarms_running", "defects", "found", "found_running"):
                setattr(whole, name, getattr(whole, name) + getattr(own, name))
            whole.raised += own.raised
            whole.missed += own.missed
        return whole


def judge(rules: Sequence[Rule], evidence: Evidence) -> list[RuleResult]:
    """Every rule's result, in their order; the rule of styles gives one or two a style."""
    return [result for rule in rules for result in _judge(rule, evidence)]


def _judge(rule: Rule, evidence: Evidence) -> list[RuleResult]:
    if not evidence.running and not isinstance(rule, ParityRule):
        return [
            _result(rule.kind, "unjudged", words=f"{_NAMES[rule.kind]}: no model runs that it could be compared with")
        ]
    match rule:
        case FalseAlarmsRule():
            return [_false_alarms(rule.kind, "", evidence.together, rule.confidence)]
        case RecallRule():
            return [_recall(rule.kind, "", evidence.together, rule.drop)]
        case StylesRule():
            return _styles(rule, evidence)
        case SpeedRule():
            return [_speed(rule, evidence)]
        case ParityRule():
            return [_parity(evidence)]


_NAMES = {
    "false_alarms": "false alarms",
    "recall": "confirmed defects",
    "styles": "styles",
    "speed": "speed",
    "parity": "runtimes",
}


def _result(
    rule: str, verdict: Verdict, *, words: str, style: str = "", value: float | None = None, limit: float | None = None,
    pictures: Sequence[GatePicture] = (),
) -> RuleResult:  # fmt: skip
    shown = tuple(pictures[:SHOWN]) if verdict == "failed" else ()
    return RuleResult(rule=rule, style=style, verdict=verdict, value=value, limit=limit, words=words, pictures=shown)


def _false_alarms(rule: str, style: str, own: Compared, confidence: float) -> RuleResult:
    where = f"style {style}: " if style else ""
    if not own.metres:
        words = f"{where}false alarms: no held-out normal fabric; a style needs samples of five days or rolls"
        return _result(rule, "unjudged", style=style, words=words)
    rate, running = 100 * own.alarms / own.metres, 100 * own.alarms_running / own.metres
    limit = rate_interval(own.alarms_running, own.metres, confidence=confidence)[1]
    words = (
        f"{where}{rate:.1f} false alarms per 100 m on {own.metres:.2f} m held out, the running model {running:.1f}, "
        f"up to {limit:.1f} is within its {100 * confidence:g} % interval"
    )
    verdict: Verdict = "passed" if rate <= limit else "failed"
    return _result(rule, verdict, style=style, value=rate, limit=limit, words=words, pictures=own.raised)


def _recall(rule: str, style: str, own: Compared, drop: float) -> RuleResult:
    where = f"style {style}: " if style else ""
    if not own.defects:
        words = f"{where}confirmed defects: there is none yet in the regression set"
        return _result(rule, "unjudged", style=style, words=words)
    value, limit = own.found / own.defects, own.found_running / own.defects - drop
    words = f"{where}finds {own.found} of {own.defects} confirmed defects, the running model {own.found_running}"
    verdict: Verdict = "passed" if value >= limit - 1e-9 else "failed"
    return _result(rule, verdict, style=style, value=value, limit=limit, words=words, pictures=own.missed)


def _styles(rule: StylesRule, evidence: Evidence) -> list[RuleResult]:
    results = []
    known = evidence.candidate.manifest["styles"]
    for style in sorted(evidence.running):
        if style not in known:
            words = f"style {style}: the running model knows it, the candidate does not"
            results.append(_result(rule.kind, "failed", style=style, words=words))
            continue
        own = evidence.by_style.get(style, Compared())
        results.append(_false_alarms(rule.kind, style, own, rule.confidence))
        results.append(_recall(rule.kind, style, own, rule.drop))
    return results


def _speed(rule: SpeedRule, evidence: Evidence) -> RuleResult:
    if evidence.speed is None:
        return _result(rule.kind, "unjudged", words="speed: the two models take tiles of different size")
    limit = 1 - rule.slower
    words = (
        f"{100 * evidence.speed:.0f} % of the running model's tiles a second, {100 * limit:g} % at least are asked for"
    )
    return _result(
        rule.kind, "passed" if evidence.speed >= limit else "failed", value=evidence.speed, limit=limit, words=words
    )


def _parity(evidence: Evidence) -> RuleResult:
    bad = {name: why for name, why in evidence.runtimes.items() if why}
    if bad:
        return _result("parity", "failed", value=float(len(bad)), limit=0.0, words="; ".join(bad.values()))
    names = ", ".join(evidence.runtimes) or REFERENCE
    return _result("parity", "passed", value=0.0, limit=0.0, words=f"decides alike by {names}")


# --- collecting ------------------------------------------------------------------------------------------------------


def run_gate(
    store: StoreSettings,
    database: Database,
    pictures: PictureStore,
    name: str,
    *,
    by: str,
    device: str = "auto",
    runtime: str = "auto",
    tell: Tell = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> Gate | None:
    """Compares a registered model with the running one and stores what came out; None when stopped.

    runtime: what workers run, as their setting says. Raises `StorageError` for an unknown model and for the running
    one itself, `CrasError` for one that does not load.
    """
    model = registry.get_model(database, name)
    force = registry.in_force(database)
    if force is not None and force.model.id == model.id:
        raise StorageError(f"model {name} is in charge: there is nothing to compare it with")
    chosen = pick_device(device)
    candidate = load_bundle(Path(model.path), device=chosen)
    running = _Running(force, chosen)
    by_style: dict[str, Compared] = defaultdict(Compared)
    keep = _Keep(pictures, name)
    guard_samples(database, pictures, share=load(TrainerSettings).guard_share, device=device, stop=stop)
    chosen_samples = [
        sample
        for sample in held_out_of(list_samples(database, learnable=True))
        if sample.style in candidate.styles
        and running.knows(sample.style)
        and abs(sample.mm_per_px - candidate.mm_per_px) <= SCALE_TOLERANCE * candidate.mm_per_px
    ]
    held_out = normal_samples(chosen_samples, pictures)
    defects = [
        each for each in regression_set(database) if each.style in candidate.styles and running.knows(each.style)
    ]
    total = len(held_out) + len(defects)
    for number, sample in enumerate(held_out):
        if stop():
            return None
        tell(0.6 * number / total, f"gate: held-out fabric, {number} of {len(held_out)}")
        _compare_normal(by_style[sample.style], candidate, running, sample, keep)
    for number, defect in enumerate(defects):
        if stop():
            return None
        tell(0.6 * (len(held_out) + number) / total, f"gate: confirmed defects, {number} of {len(defects)}")
        _compare_defect(by_style[defect.style], candidate, running, defect, keep)
    rules = read_policy(database).rules
    runtimes, speed = {}, None
    if any(isinstance(rule, SpeedRule | ParityRule) for rule in rules):
        tell(0.6, "gate: runtimes and speed")
        memory = store.data_dir / "runtimes"
        problems = _find_runtimes(candidate, Path(model.path), runtime, memory, stop)
        theirs = _find_runtimes(running.scorer, Path(force.model.path), runtime, memory, stop) if force else {}
        if stop():
            return None
        runtimes = _asked_for(problems, theirs, runtime) if force else _exact(problems)
        speed = compare_speed(candidate, running.scorer, read_tiles(Path(model.path))) if force else None
    evidence = Evidence(
        candidate=model,
        running=force.by_style if force else {},
        by_style=by_style,
        speed=speed,
        runtimes=runtimes,
    )
    results = judge(rules, evidence)
    tell(1.0, "gate: done")
    return save_gate(database, model=name, against=force.model.name if force else "", rules=results, by=by)


class _Running:
    """The models in charge, style by style; each loaded once, when first asked for."""

    def __init__(self, force: InForce | None, device: torch.device) -> None:
        self._force, self._device = force, device
        self._loaded: dict[int, Scorer] = {}

    @property
    def scorer(self) -> Scorer:
        return self.of("")

    def knows(self, style: str) -> bool:
        return self._force is not None and style in self._force.by_style

    def of(self, style: str) -> Scorer:
        model = self._model(style)
        if model.id not in self._loaded:
            self._loaded[model.id] = load_bundle(Path(model.path), device=self._device)
        return self._loaded[model.id]

    def _model(self, style: str) -> Model:
        if self._force is None:
            raise StorageError("no model is in charge")
        return self._force.styles.get(style, self._force.model)


class _Keep:
    """Keeps pictures of what decides a rule: the cloth, and the candidate's heat over it."""

    def __init__(self, pictures: PictureStore, model: str) -> None:
        self.pictures = pictures
        self._model, self._count = model, 0

    def keep(self, pixels: Pixels, ratios: Scores, words: str) -> GatePicture:
        self._count += 1
        keys = [
            picture_key("gates", self._model, f"{time.time_ns()}-{self._count}-{what}.png")
            for what in ("cloth", "heat")
        ]
        self.pictures.put_all({keys[0]: encode_png(pixels), keys[1]: encode_png(heat(ratios))})
        return GatePicture(picture=keys[0], heat=keys[1], words=words)


def _compare_normal(own: Compared, candidate: Scorer, running: _Running, sample: NormalSample, keep: _Keep) -> None:
    try:
        new, old = look_at_normal(lambda _: candidate, sample), look_at_normal(running.of, sample)
    except CrasError as error:  # a sample that no longer can be read, or is smaller than a tile
        log.warning("the gate leaves out a sample: %s", error)
        return
    own.metres += new.metres
    own.alarms += new.alarms
    own.alarms_running += old.alarms
    if new.alarms > old.alarms and len(own.raised) < SHOWN:
        pixels, ratios = _around_highest(sample.read(), new, candidate.tile_px)
        own.raised.append(keep.keep(pixels, ratios, f"{sample.style}: a false alarm that only the candidate raises"))


def _compare_defect(own: Compared, candidate: Scorer, running: _Running, defect: KnownDefect, keep: _Keep) -> None:
    read = read_defect(defect, keep.pictures)
    if read is None or min(read[0].shape[:2]) < max(candidate.tile_px, running.of(defect.style).tile_px):
        return
    pixels, near = read
    new = look_at_defect(lambda _: candidate, defect, pixels, near)
    old = look_at_defect(running.of, defect, pixels, near)
    own.defects += 1
    own.found += new.alarms
    own.found_running += old.alarms
    if new.alarms < old.alarms and len(own.missed) < SHOWN:
        own.missed.append(keep.keep(pixels, new.ratios, f"{defect.style}: defect {defect.id}, which it misses"))


def _around_highest(pixels: Pixels, looked: Looked, side: int) -> tuple[Pixels, Scores]:
    """At most two tiles' sides of the picture, around its highest score."""
    peak = np.unravel_index(int(np.argmax(looked.ratios)), looked.ratios.shape)
    top, left = (
        int(min(max(0, place - side), max(0, length - 2 * side)))
        for place, length in zip(peak, looked.ratios.shape, strict=True)
    )
    part = np.s_[top : top + 2 * side, left : left + 2 * side]
    shown = pixels if pixels.ndim == 3 else pixels[:, :, None].repeat(3, axis=2)
    return np.ascontiguousarray(shown[part]), looked.ratios[part]


def heat(ratios: Scores) -> Pixels:
    """Scores in units of the threshold (H, W) -> RGB (H, W, 3): black to 0.6, yellow from 2 on, as defects' heat is."""
    level = (np.clip((ratios - 0.6) / 1.4, 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), np.uint8)


def _find_runtimes(
    scorer: Scorer, bundle: Path, runtime: str, memory: Path, stop: Callable[[], bool]
) -> dict[str, str]:
    """Gives the scorer the runtime that workers will use; name -> why it cannot be had by that one."""
    if runtime == REFERENCE:
        return {}
    try:
        use_runtime(scorer, bundle, name=runtime, memory=memory, stop=stop)
    except CrasError as error:
        return {runtime: f"runtime {runtime}: {error}"}
    return {each.name: each.problem for each in tried_before(scorer, name=runtime, memory=memory)}


def _asked_for(problems: Mapping[str, str], theirs: Mapping[str, str], runtime: str) -> dict[str, str]:
    """Those that the running model can be had by; and the trial itself, where it went wrong for the candidate alone."""
    return {each: why for each, why in problems.items() if theirs.get(each, "" if each == runtime else "absent") == ""}


def _exact(problems: Mapping[str, str]) -> dict[str, str]:
    """Without a running model, those that compute in float32: others are used where they agree, and not asked for."""
    return {each: why for each, why in problems.items() if each.endswith(EXACT)}


def compare_speed(candidate: Scorer, running: Scorer, tiles: Pixels) -> float | None:
    """Candidate's tiles a second by the running model's, timed by turns; None for other tiles."""
    if candidate.tile_px != running.tile_px:
        return None
    work = np.ascontiguousarray(np.resize(tiles, (SPEED_BATCH, *tiles.shape[1:])))

    def time_one(scorer: Scorer) -> float:
        started = time.perf_counter()
        scorer.score(work, style="")
        return time.perf_counter() - started

    def time_both() -> list[float]:
        return [time_one(running) / time_one(candidate) for _ in range(SPEED_PAIRS)]

    for scorer in (candidate, running):
        time_one(scorer)
    return middle_of_tries(time_both)


def middle_of_tries(measure: Callable[[], Sequence[float]]) -> float:
    """The median of all ratios that were measured. Short of 0.98 more are, so that a machine that is busy for a moment
    fails no model; and all count, so that a lucky try passes none."""
    ratios: list[float] = []
    for _ in range(SPEED_TRIES):
        ratios += measure()
        if statistics.median(ratios) >= 0.98:
            break
    return statistics.median(ratios)
