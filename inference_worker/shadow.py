"""A candidate beside the running model: a share of this worker's frames is scored a second time, within a budget of
time."""

import logging
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from cras_core.bundle import load_bundle
from cras_core.errors import CrasError
from cras_core.scoring import Scorer
from inference_worker.beside import Beside
from inference_worker.inspect import Inspected, score_tiles
from inference_worker.pictures import crops
from inference_worker.regions import find_defects, stitch_frame
from inspection.errors import LoomwatchError
from inspection.tiling import join
from inspection.types import Defect, FrameKey
from storage.database import Database
from storage.pictures import PictureStore, picture_key
from storage.registry import in_force
from storage.shadow import Apart, Comparison, Shadow, running_shadow, store_comparison

log = logging.getLogger(__name__)

CREDIT_S = 10.0  # of the budget, that may be saved up while no cloth passes
PICTURES = 24  # of each side and shadow that this worker keeps


class ShadowScorer(Beside):
    costs_a_frame = (LoomwatchError, CrasError, RuntimeError)

    def __init__(
        self,
        database: Database,
        pictures: PictureStore,
        *,
        device: torch.device,
        poll_s: float,
        batch_size: int,
        merge_mm: float,
    ) -> None:
        super().__init__(name="shadow", poll_s=poll_s, frames=1)
        self._database, self._pictures, self._device = database, pictures, device
        self._batch_size, self._merge_mm = batch_size, merge_mm
        self._shadow: Shadow | None = None
        self._against: frozenset[str] = frozenset()  # the models whose frames are compared
        self._scorer: Scorer | None = None
        self._budget = Budget(0.0, now=time.monotonic())
        self._kept = {"running": 0, "candidate": 0}
        self._refused = 0  # the shadow whose candidate does not load

    def wants(self, inspected: Inspected) -> bool:
        shadow = self._shadow
        if shadow is None or inspected.report.model not in self._against:
            return False
        if shadow.style not in ("", inspected.report.style):
            return False
        chosen = is_chosen(inspected.report.header.key, share=shadow.share)
        return chosen and self._budget.allows(now=time.monotonic())

    def poll(self) -> None:
        shadow = running_shadow(self._database)
        if shadow is None or self._shadow is None or shadow.id != self._shadow.id:
            self._shadow = self._scorer = None
        if shadow is None or shadow.id == self._refused:
            return
        force = in_force(self._database)
        names = {model.name for model in force.models} if force else set()
        self._against = frozenset({shadow.against} if shadow.style else names - {shadow.model})
        if self._shadow is not None:
            return
        try:
            self._scorer = load_bundle(Path(shadow.path), device=self._device)
        except (CrasError, OSError) as error:
            self._refused = shadow.id
            log.error("shadow %s does not load: %s", shadow.model, error)
            return
        self._kept = dict.fromkeys(self._kept, 0)
        self._budget = Budget(shadow.budget, now=time.monotonic())
        self._shadow = shadow
        log.info("model %s runs as shadow of %s", shadow.model, shadow.against)

    def see(self, inspected: Inspected) -> None:
        shadow, scorer = self._shadow, self._scorer
        if shadow is None or scorer is None:
            return
        started = time.monotonic()
        tiled, report = inspected.tiled, inspected.report
        scorer.check(tile_px=tiled.tile_px, mm_per_px=report.header.mm_per_px)
        result = score_tiles(scorer, tiled.tiles, style=report.style, batch_size=self._batch_size)
        scores, ratios = stitch_frame(tiled, result)
        defects = find_defects(tiled, result, scores, ratios, merge_mm=self._merge_mm)
        both, only_running, only_candidate = compare_alarms(report.defects, defects, near_mm=self._merge_mm)
        spent_s = time.monotonic() - started
        self._budget.spend(spent_s)
        apart = [
            *self._pictures_of("running", only_running, inspected, inspected.ratios, shadow),
            *self._pictures_of("candidate", only_candidate, inspected, ratios, shadow),
        ]
        found = Comparison(
            header=report.header,
            style=report.style,
            both=both,
            only_running=len(only_running),
            only_candidate=len(only_candidate),
            spent_ms=1000 * spent_s,
            apart=tuple(apart),
        )
        if not store_comparison(self._database, shadow, found):
            self._shadow = self._scorer = None

    def _pictures_of(
        self, side: str, defects: Sequence[Defect], inspected: Inspected, ratios: np.ndarray, shadow: Shadow
    ) -> list[Apart]:
        header, tile_px = inspected.report.header, inspected.tiled.tile_px
        kept = tuple(defects[: PICTURES - self._kept[side]])
        if not kept:
            return []
        self._kept[side] += len(kept)
        found = []
        drawn = crops(join(inspected.tiled), ratios, kept, header, tile_px=tile_px)
        for number, (defect, pair) in enumerate(zip(kept, drawn, strict=True)):
            name = f"{header.camera}-{header.session}-{header.sequence}-{side}-{number}"
            keys = [picture_key("shadow", str(shadow.id), f"{name}{end}.png") for end in ("", "_heat")]
            failed = self._pictures.put_all(dict(zip(keys, pair, strict=True)))
            found.append(
                Apart(
                    side="running" if side == "running" else "candidate",
                    camera=header.camera,
                    style=defect.style,
                    x_mm=(defect.x0_mm + defect.x1_mm) / 2,
                    y_mm=(defect.y0_mm + defect.y1_mm) / 2,
                    strength=defect.score / max(defect.threshold, 1e-12),
                    crop="" if keys[0] in failed else keys[0],
                    heat="" if keys[1] in failed else keys[1],
                )
            )
        return found


class Budget:
    """A share of time that may be spent; unspent time is saved up for `CREDIT_S` times the share at most."""

    def __init__(self, share: float, *, now: float) -> None:
        self._share, self._at = share, now
        self._left_s = 0.0

    def allows(self, *, now: float) -> bool:
        """What was spent has been earned back. The first frame need not wait."""
        self._left_s = min(self._left_s + self._share * (now - self._at), self._share * CREDIT_S)
        self._at = now
        return self._left_s >= 0

    def spend(self, seconds: float) -> None:
        self._left_s -= seconds


def is_chosen(key: FrameKey, *, share: float) -> bool:
    """By a hash of the frame's key: the same frames whichever worker gets them, and none of them by their looks."""
    text = f"{key.camera}/{key.session}/{key.sequence}"
    return zlib.crc32(text.encode()) < share * 2**32


def compare_alarms(
    running: Sequence[Defect], candidate: Sequence[Defect], *, near_mm: float
) -> tuple[int, list[Defect], list[Defect]]:
    """How many of the running model's alarms the candidate raised too, and those that each raised alone. Two are the
    same when their boxes lie at most `near_mm` apart, as regions that become one defect do."""
    only_running = [a for a in running if not any(_near(a, b, near_mm) for b in candidate)]
    only_candidate = [b for b in candidate if not any(_near(a, b, near_mm) for a in running)]
    return len(running) - len(only_running), only_running, only_candidate


def _near(a: Defect, b: Defect, near_mm: float) -> bool:
    across = max(a.x0_mm, b.x0_mm) - min(a.x1_mm, b.x1_mm)
    along = max(a.y0_mm, b.y0_mm) - min(a.y1_mm, b.y1_mm)
    return across <= near_mm and along <= near_mm
