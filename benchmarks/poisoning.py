"""What the contamination guard holds when 5 % of the offered normal samples are defects, on annotated frames:

    python -m benchmarks.poisoning ../shared/data/aitex/frames --out OUT [--seeds 0 --seeds 1]

A model learns strips of every style and runs. Then tiles are offered as normal: of further normal strips, and one tile
in twenty with a defect in it. The guard looks at each as it does in the mill, knowing no confirmed defect. What it lets
through is learned with the strips, beside three others: nothing more, the normal tiles alone, and everything offered as
if there were no guard. All are judged on frames that were neither learned nor offered, at their own thresholds.
"""

import json
import logging
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import typer

from benchmarks.continual import CPU, Frame, halves, judge_style, samples_of, scorer_of
from cras_core.config import CrasConfig
from cras_core.dataset import GOOD
from cras_core.errors import CrasError
from cras_core.features import NormalSample
from cras_core.pictures import Pixels
from cras_core.scoring import Scorer
from cras_core.training import train
from inspection.errors import LoomwatchError, SettingsError
from loomwatch.annotated import AnnotatedFrame, find_annotated
from retraining.guard import limit_of, look_at
from retraining.unlike import Other, beside_others
from storage.samples import Sample

log = logging.getLogger("poisoning")

SHARE = 0.05  # of what is offered
LEARNED, OFFERED = 8, 6  # normal strips a style
SHARES = (0.005, 0.01, 0.02, 0.05)  # of normal tiles, that the guard may hold
GUARD = 0.02  # its default
LIMITS = (0.5, 0.8, 1.0)  # of the threshold, to compare with
UNLIKE = f"unlike others, as {100 * GUARD:g} % of accepted tiles are"
BOTH = f"as high as {100 * GUARD:g} % or unlike others, the default"
SETS = ("nothing more", "the normal ones", "what the guard lets through", "all that was offered")
LEAST_PX = 64  # of a mask in a tile that counts as a defect's


@dataclass(frozen=True, slots=True)
class Tile:
    style: str
    strip: str
    pixels: Pixels
    defect: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """held: rule -> (defects, normal tiles) that it holds; limits: style -> what the guard's rule comes to, in units of
    the threshold; judged: set -> (found, false alarms, AUROC)."""

    seed: int
    defects: int
    normal: int
    held: dict[str, tuple[int, int]]
    judged: dict[str, tuple[int, int, float]]
    limits: dict[str, float]
    tested_defects: int
    metres: float


def main(
    data: Path = typer.Argument(help="Annotated frames: STYLE/good, STYLE/KIND, masks."),
    out: Path = typer.Option(..., help="Folder for poisoning.json and poisoning.md."),
    seeds: list[int] = typer.Option([0], help="Of the split and the training; repeatable."),
    steps: int = typer.Option(400, help="Of a training of the heads."),
    backbone: str = typer.Option(CrasConfig().backbone, help="As of loomwatch train."),
    folds: int = typer.Option(3, min=2, help="Of the cross-fit of thresholds."),
) -> None:
    """What the guard holds of offered samples that are 5 % defects, and what the rest costs."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("cras_core").setLevel(logging.WARNING)
    try:
        frames = find_annotated(data)
        out.mkdir(parents=True, exist_ok=True)
        runs: list[Run] = []
        for seed in seeds:
            runs.append(run(frames, CrasConfig(backbone=backbone, steps=steps, seed=seed, calibration_folds=folds)))
            (out / "poisoning.json").write_text(json.dumps([asdict(each) for each in runs], indent=1) + "\n")
            (out / "poisoning.md").write_text(to_table(runs))
    except (LoomwatchError, CrasError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    print((out / "poisoning.md").read_text(), end="")


def run(frames: Mapping[str, Sequence[AnnotatedFrame]], config: CrasConfig) -> Run:
    learned: list[NormalSample] = []
    offered: list[Tile] = []
    tested: dict[str, list[Frame]] = {}
    for place, (style, own) in enumerate(sorted(frames.items())):
        chance = np.random.default_rng([config.seed, place])
        good = [each for each in own if each.kind == GOOD]
        if len(good) < LEARNED + OFFERED + 2:
            raise SettingsError(f"style {style} has {len(good)} good strips: {LEARNED + OFFERED + 2} are needed")
        good = [good[i] for i in chance.permutation(len(good))]
        bad = [each for each in own if each.kind != GOOD]
        bad = [bad[i] for i in chance.permutation(len(bad))]
        learned += samples_of(halves(style, good[:LEARNED]))
        normal = tiles_of(halves(style, good[LEARNED : LEARNED + OFFERED]), config.tile_px)
        wrong = [tile for tile in tiles_of(halves(style, bad[: len(bad) // 2]), config.tile_px) if tile.defect]
        offered += offer(normal, wrong, chance)
        tested[style] = halves(style, good[LEARNED + OFFERED :] + bad[len(bad) // 2 :])
    running = scorer_of(train(learned, config, device=CPU))
    ratios = [ratio_of(running, tile) for tile in offered]
    limits = {
        share: {style: limit_of(running, style, share=share, tiles=1) for style in running.styles} for share in SHARES
    }
    rules = {of_share(share): own for share, own in limits.items()}
    rules |= {of_limit(limit): dict.fromkeys(running.styles, limit) for limit in LIMITS}
    over = {
        rule: [ratio > limit_by_style[tile.style] for tile, ratio in zip(offered, ratios, strict=True)]
        for rule, limit_by_style in rules.items()
    }
    over[UNLIKE] = unlike_others(learned, offered)
    over[BOTH] = [high or unlike for high, unlike in zip(over[of_share(GUARD)], over[UNLIKE], strict=True)]
    held = {}
    for rule, each in over.items():
        defects = sum(tile.defect for tile, out in zip(offered, each, strict=True) if out)
        held[rule] = (defects, sum(each) - defects)
    log.info("seed %d, held (defects, normal tiles): %s", config.seed, held)
    of = {
        SETS[0]: [],
        SETS[1]: [tile for tile in offered if not tile.defect],
        SETS[2]: [tile for tile, out in zip(offered, over[BOTH], strict=True) if not out],
        SETS[3]: offered,
    }
    judged = {}
    for name, tiles in of.items():
        model = running if not tiles else scorer_of(train([*learned, *map(as_sample, tiles)], config, device=CPU))
        figures = [judge_style(model, style, own) for style, own in tested.items()]
        judged[name] = (
            int(sum(each["found"] for each in figures)),
            int(sum(each["false_alarms"] for each in figures)),
            statistics.fmean(each["auroc"] for each in figures),
        )
        log.info("seed %d, %s (%d tiles): %s", config.seed, name, len(tiles), judged[name])
    return Run(
        seed=config.seed,
        defects=sum(tile.defect for tile in offered),
        normal=sum(not tile.defect for tile in offered),
        held=held,
        judged=judged,
        limits=limits[GUARD],
        tested_defects=int(sum(each["defects"] for each in figures)),
        metres=sum(each["metres"] for each in figures),
    )


def tiles_of(frames: Sequence[Frame], side: int) -> list[Tile]:
    """Side by side, whole ones only. A tile with a sliver of a mask is neither one nor the other."""
    found = []
    for frame in frames:
        for left in range(0, frame.pixels.shape[1] - side + 1, side):
            part = slice(left, left + side)
            marked = 0 if frame.mask is None else int(frame.mask[:side, part].sum())
            if frame.mask is None or marked >= LEAST_PX:
                found.append(Tile(frame.style, frame.strip, frame.pixels[:side, part], marked > 0))
    return sorted(found, key=lambda tile: tile.strip)


def offer(normal: Sequence[Tile], wrong: Sequence[Tile], chance: np.random.Generator) -> list[Tile]:
    """One in twenty with a defect: of each strip one, then a second one; where they do not suffice, fewer normal ones.

    Raises `SettingsError` without any with a defect.
    """
    turn: Counter[str] = Counter()
    in_turn = []
    for tile in wrong:
        in_turn.append((turn[tile.strip], len(in_turn), tile))
        turn[tile.strip] += 1
    defects = [tile for *_, tile in sorted(in_turn)[: round(len(normal) * SHARE / (1 - SHARE))]]
    if not defects:
        raise SettingsError(f"{len(normal)} normal tiles and {len(wrong)} with a defect to offer: give more of both")
    kept = chance.permutation(len(normal))[: round(len(defects) * (1 - SHARE) / SHARE)]
    return [*(normal[place] for place in sorted(kept)), *defects]


def ratio_of(scorer: Scorer, tile: Tile) -> float:
    """What the guard sees: the highest score in units of the threshold."""
    sample = Sample(
        id=0, style=tile.style, picture=tile.strip, source="upload", roll_group=tile.strip, defect_id=None,
        mm_per_px=scorer.mm_per_px, active=True, by="", created_at=datetime.now(UTC),
    )  # fmt: skip
    scored = look_at(scorer, sample, tile.pixels, share=GUARD).scored
    return scored.ratio if scored is not None else 0.0


def unlike_others(learned: Sequence[NormalSample], offered: Sequence[Tile]) -> list[bool]:
    """Which of the offered tiles the guard holds as unlike the others of their style."""
    held = [False] * len(offered)
    for style in sorted({tile.style for tile in offered}):
        own = [(number, tile.strip, tile.pixels) for number, tile in enumerate(offered) if tile.style == style]
        others = [
            *(Other(roll=each.group, accepted=True, pixels=each.read()) for each in learned if each.style == style),
            *(Other(roll=strip, accepted=False, pixels=pixels) for _, strip, pixels in own),
        ]
        for number, far in beside_others(own, others, share=GUARD, device=CPU).items():
            held[number] = far > 1
    return held


def of_share(share: float) -> str:
    return f"as high as {100 * share:g} % of normal tiles"


def of_limit(limit: float) -> str:
    return f"{limit:g} of the threshold"


def as_sample(tile: Tile) -> NormalSample:
    return NormalSample.from_pixels(tile.pixels, style=tile.style, group=tile.strip, name=tile.strip, fit="cut")


def to_table(runs: Sequence[Run]) -> str:
    """All seeds together."""
    defects, normal = sum(each.defects for each in runs), sum(each.normal for each in runs)
    lines = [f"Offered: {normal} normal tiles, {defects} with a defect.", ""]
    lines += ["| held from | of the defects | of the normal tiles |", "| --- | --- | --- |"]
    for rule in runs[0].held:
        wrong, right = (sum(each.held[rule][place] for each in runs) for place in (0, 1))
        of_defects, of_normal = f"{100 * wrong / defects:.0f} % ({wrong})", f"{100 * right / normal:.1f} % ({right})"
        lines.append(f"| {rule} | {of_defects} | {of_normal} |")
    lines += ["", "| learned besides | recall | false alarms per 100 m | image AUROC |", "| --- | --- | --- | --- |"]
    tested, metres = sum(each.tested_defects for each in runs), sum(each.metres for each in runs)
    for name in SETS:
        found, alarms = (sum(int(each.judged[name][place]) for each in runs) for place in (0, 1))
        auroc = statistics.fmean(each.judged[name][2] for each in runs)
        lines.append(
            f"| {name} | {100 * found / tested:.0f} % ({found} of {tested}) | {100 * alarms / metres:.0f} ({alarms}) "
            f"| {100 * auroc:.1f} % |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
