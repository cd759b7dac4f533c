"""A small model of the simulator's plain weave, for tests of the whole line."""

from pathlib import Path

import torch

from cras_core.bundle import save_bundle
from cras_core.config import CrasConfig
from cras_core.features import NormalSample
from cras_core.training import Model, train
from ingest.edges import find_edges
from ingest.simulator import normal_frames

MM_PER_PX = 0.2
SEED = 7


def train_plain() -> Model:
    samples = []
    frames = normal_frames("plain", seed=SEED, length_m=0.8, frame_lines=256, mm_per_px=MM_PER_PX)
    for number, pixels in enumerate(frames):
        left, right = find_edges(pixels)
        fabric = pixels[:, left:right]
        samples.append(NormalSample.from_pixels(fabric, style="plain", group=f"frame-{number}"))
    return train(
        samples, CrasConfig(backbone="efficientnet_lite0", steps=120, calibration="holdout"), device=torch.device("cpu")
    )


def save_plain(model: Model, folder: Path, *, name: str) -> Path:
    save_bundle(model, folder / name, name=name, provenance={}, metrics={})
    return folder / name
