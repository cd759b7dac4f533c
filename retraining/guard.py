"""The contamination guard: every sample that waits is looked at by the running model before anything is learned.

A pass of it begins every training, and a trainer makes one soon after samples came in (`retraining.guarding`). What it
decides, and in which words, is `storage.sample_guard`; here is what needs the model: the score, and the place that
stands out most.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from cras_core.bundle import load_bundle
from cras_core.calibration import Threshold
from cras_core.device import pick_device
from cras_core.errors import CrasError
from cras_core.pictures import Pixels, as_rgb, decode_picture
from cras_core.scoring import Scorer
from inspection.errors import StorageError
from inspection.likeness import likeness
from inspection.types import Defect, Scores
from retraining.dataset import SCALE_TOLERANCE
from retraining.evidence import ratios_of
from retraining.unlike import LEAST_ROLLS, Other, beside_others, beside_roll
from storage import registry
from storage.database import Database
from storage.near_duplicates import hash_of
from storage.pictures import PictureStore
from storage.sample_captures import list_captures
from storage.sample_guard import USUAL_LIMIT, Looked, hold_doubtful, judge_sample
from storage.samples import Sample, SampleFilter, Scored, list_samples

log = logging.getLogger(__name__)

STANDS_OUT = 0.6  # of the threshold: below, no place of a picture is compared with defects
EDGE_SHARE = 0.5  # of its peak: where such a place ends
NOT_COMPARED = ("review", "reservoir")  # unlike others by its nature; held until somebody looks, and comes all the time
COMPARED_PX = 160 * 256 * 256  # of accepted samples, and of those that wait, that others are compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPass:
    """What a pass did. doubtful: accepted before, and held since a defect lies in them."""

    looked: int
    held: int
    doubtful: int


def guard_samples(
    database: Database,
    pictures: PictureStore,
    *,
    share: float,
    device: str = "cpu",
    tell: Callable[[float, str], object] = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> GuardPass:
    """Looks at all samples that wait, and holds or accepts them; those of a golden roll wait for its end, and where no
    model can score them they are compared with each other, all others with those of other rolls. share: of normal
    samples, which may be held for a high score, and as many again for being unlike the others.

    Raises `StorageError`, and `CrasError` when the running model does not load: what it would say is not guessed.
    """
    doubtful = hold_doubtful(database)
    recorded = {capture.id for capture in list_captures(database, running=True)}
    waiting = list_samples(database, wanted=SampleFilter(state="waits"))
    waiting = [sample for sample in waiting if sample.capture_id not in recorded]
    models = Models(database, device=device) if waiting else None
    looked = held = 0

    def read(key: str) -> Pixels | None:
        try:
            return decode_picture(pictures.get(key), name=key)
        except (StorageError, CrasError):
            return None

    strange: dict[int, float] = {}
    unlike: dict[int, float] = {}
    unknown = [sample for sample in waiting if sample.source == "roll" and models is not None and not models.of(sample)]
    for style, capture in sorted({(sample.style, sample.capture_id or 0) for sample in unknown}):
        tell(0.0, f"the guard compares the frames of the golden roll of {style}")
        frames = (
            (sample.id, pixels)
            for sample in list_samples(database, wanted=SampleFilter(style=style, source="roll"))
            if (sample.capture_id or 0) == capture and not stop() and (pixels := read(sample.picture)) is not None
        )
        strange |= beside_roll(frames, device=pick_device(device))
    given = [sample for sample in waiting if sample.source not in NOT_COMPARED]
    for style in sorted({sample.style for sample in given}):
        own = [sample for sample in given if sample.style == style]
        accepted = [sample for sample in list_samples(database, learnable=True) if sample.style == style]
        if len({sample.roll_group for sample in accepted}) < LEAST_ROLLS:
            continue
        tell(0.0, f"the guard compares samples of {style} with others")
        unlike |= beside_others(
            (
                (sample.id, sample.roll_group, pixels)
                for sample in own
                if not stop() and (pixels := read(sample.picture)) is not None
            ),
            (
                Other(roll=sample.roll_group, accepted=sample.state == "accepted", pixels=pixels)
                for there in (accepted, own)
                for sample, pixels in _some(there, read)
                if not stop()
            ),
            share=share,
            device=pick_device(device),
        )
    for number, sample in enumerate(waiting):
        if stop() or models is None:
            break
        tell(number / len(waiting), f"the guard looks at sample {number + 1} of {len(waiting)}")
        pixels = decode_or_none(pictures.get(sample.picture), sample.picture)
        scorer = models.of(sample)
        found = look_at(scorer, sample, pixels, share=share) if pixels is not None else Looked(unreadable=True)
        found = replace(found, strange=strange.get(sample.id, 0.0), unlike=unlike.get(sample.id, 0.0))
        reasons = judge_sample(database, sample.id, found, pixels=pixels, read=read)
        looked += reasons is not None
        held += bool(reasons)
    if looked or doubtful:
        log.info("the guard looked at %d samples and holds %d; %d more became doubtful", looked, held, doubtful)
    return GuardPass(looked=looked, held=held, doubtful=doubtful)


def _some(samples: Sequence[Sample], read: Callable[[str], Pixels | None]) -> Iterator[tuple[Sample, Pixels]]:
    """Evenly over all, of about `COMPARED_PX` together."""
    left, golden = COMPARED_PX, (5**0.5 - 1) / 2
    for place in (np.arange(len(samples)) * golden % 1).argsort().argsort():  # any beginning is even
        if left <= 0:
            return
        if (pixels := read(samples[place].picture)) is not None:
            left -= pixels.shape[0] * pixels.shape[1]
            yield samples[place], pixels


def decode_or_none(data: bytes, name: str) -> Pixels | None:
    """None for what is no whole picture."""
    try:
        return decode_picture(data, name=name)
    except CrasError as error:
        log.warning("%s", error)
        return None


def look_at(scorer: Scorer | None, sample: Sample, pixels: Pixels, *, share: float) -> Looked:
    """scorer: the model in charge of the style, None when none knows it. pixels: (H, W[, 3])."""
    own = hash_of(pixels)
    if scorer is None or min(pixels.shape[:2]) < scorer.tile_px:
        return Looked(hash=own)
    picture = as_rgb(pixels, name=sample.picture)
    ratios = ratios_of(scorer, picture, sample.style, name=sample.picture)
    threshold = float(scorer.thresholds[scorer.styles.index(sample.style)])
    scored = Scored(model=scorer.name, score=float(ratios.max()) * threshold, threshold=threshold)
    tiles = math.prod(-(-side // scorer.tile_px) for side in picture.shape[:2])
    return Looked(
        scored=scored,
        limit=limit_of(scorer, sample.style, share=share, tiles=tiles),
        hash=own,
        likeness=stands_out(picture, ratios, mm_per_px=sample.mm_per_px),
    )


def limit_of(scorer: Scorer, style: str, *, share: float, tiles: int) -> float:
    """From which score on, in units of the threshold, a picture of so many tiles is held: of normal ones at most the
    share exceeds it, as the tiles did that were held out when the threshold was set."""
    threshold = Threshold.from_dict(scorer.manifest["styles"][style]["threshold_set"])
    exceeded = threshold.exceeded_by(share / tiles)
    return USUAL_LIMIT if exceeded is None else exceeded / threshold.value


def stands_out(
    picture: Pixels, ratios: Scores, *, mm_per_px: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None:
    """What the strongest place of a picture looks like; None when nothing in it comes near the threshold.

    picture: (H, W, 3); ratios: (H, W), scores in units of the threshold.
    """
    peak = float(ratios.max())
    if peak < STANDS_OUT:
        return None
    _, labels = cv2.connectedComponents((ratios >= max(EDGE_SHARE * peak, STANDS_OUT / 2)).astype(np.uint8))
    row, column = np.unravel_index(int(np.argmax(ratios)), ratios.shape)
    region = labels == labels[row, column]
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    place = Defect(
        x0_mm=x0 * mm_per_px,
        x1_mm=x1 * mm_per_px,
        y0_mm=y0 * mm_per_px,
        y1_mm=y1 * mm_per_px,
        x0_px=x0,
        x1_px=x1,
        y0_px=y0,
        y1_px=y1,
        area_mm2=float(region.sum()) * mm_per_px**2,
        area_px=int(region.sum()),
        score=peak,
        threshold=1.0,
        style="",
        mask=region[y0:y1, x0:x1],
    )
    return likeness(picture, place, left_px=0)


class Models:
    """The models in charge, each loaded when a sample first needs it."""

    def __init__(self, database: Database, *, device: str) -> None:
        self._force = registry.in_force(database)
        self._device: torch.device = pick_device(device)
        self._loaded: dict[str, Scorer] = {}

    def of(self, sample: Sample) -> Scorer | None:
        """None without a model, and when the one in charge does not know the style or sees another scale."""
        if self._force is None:
            return None
        model = self._force.styles.get(sample.style, self._force.model)
        scale = model.manifest["mm_per_px"]
        if sample.style not in model.manifest["styles"] or abs(sample.mm_per_px - scale) > SCALE_TOLERANCE * scale:
            return None
        if model.path not in self._loaded:
            self._loaded[model.path] = load_bundle(Path(model.path), device=self._device)
        return self._loaded[model.path]
