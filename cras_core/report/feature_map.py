"""t-SNE of raw features u and of residual features u - c^ (eq. 3): what the residual makes of normal and anomalous.

A bounded sample of the test pictures' vectors, spread over classes: from inside a defect's mask, and from normal
pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import Tensor

from cras_core import bundle
from cras_core.config import CrasConfig
from cras_core.dataset import GOOD, ClassFolder, Layout
from cras_core.evaluation import Setting
from cras_core.features import Extractor
from cras_core.heads import Heads
from cras_core.metrics import Truth
from cras_core.scored_class import read_test

VECTORS = 1000
PICTURES = 30  # of a class and kind
FEWEST = 10  # vectors that can be laid out
BATCH = 8  # pictures

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMap:
    """raw, residual: (n, 2) places; classes: (n,) index into `names`; anomalous: (n,)."""

    raw: Vectors
    residual: Vectors
    classes: NDArray[np.int64]
    anomalous: Truth
    names: tuple[str, ...]


class FeatureMapper:
    """The bundle's backbone and heads as the paper draws them, unfolded. Raises what `load_bundle` does."""

    def __init__(self, folder: Path, *, device: torch.device, weights: Path | None = None) -> None:
        manifest = bundle.read_manifest(folder)
        config = CrasConfig.from_dict(manifest["config"])
        tensors = safetensors.torch.load(bundle._verified(folder, bundle.WEIGHTS, manifest))
        self._heads: Heads = bundle._from_tensors(tensors, config, tuple(manifest["styles"])).to(device)
        self._extractor = Extractor(bundle._matching_backbone(manifest, config, folder, weights), config, device=device)
        self._config = config

    def lay_out(self, layout: Layout, *, setting: Setting, seed: int = 0) -> FeatureMap | None:
        """Both maps of one sample of vectors; None when there are too few. Raises `PictureError`."""
        random = np.random.default_rng(seed)
        share = VECTORS // (2 * len(layout.classes))
        raw: list[Vectors] = []
        residual: list[Vectors] = []
        classes: list[int] = []
        anomalous: list[bool] = []
        for number, folder in enumerate(layout.classes.values()):
            for kind in (False, True):
                u, difference = self._vectors(folder, anomalous=kind, setting=setting, random=random)
                chosen = random.permutation(len(u))[: max(share, 1)]
                raw.append(u[chosen])
                residual.append(difference[chosen])
                classes += [number] * len(chosen)
                anomalous += [kind] * len(chosen)
        if len(classes) < FEWEST:
            return None
        return FeatureMap(
            raw=_places(np.concatenate(raw), seed=seed),
            residual=_places(np.concatenate(residual), seed=seed),
            classes=np.asarray(classes),
            anomalous=np.asarray(anomalous),
            names=tuple(layout.classes),
        )

    @torch.inference_mode()
    def _vectors(
        self, folder: ClassFolder, *, anomalous: bool, setting: Setting, random: np.random.Generator
    ) -> tuple[Vectors, Vectors]:
        """u and u - c^ of normal pictures, or of what lies inside the masks of anomalous ones: (n, D), (n, D)."""
        indices = [index for index, each in enumerate(folder.test) if (each.kind != GOOD) == anomalous]
        indices = sorted(random.permutation(indices)[:PICTURES].tolist())
        dim = self._extractor.dim
        found = [np.empty((2, 0, dim), np.float32)]
        for pictures in _batches(indices):
            config = self._config
            read = [read_test(folder, index, tile_px=config.tile_px, resize_px=config.resize_px) for index in pictures]
            u, c = self._recomposed(np.stack([tile for tile, _ in read]), folder.name if setting == "single" else "")
            wanted = np.stack([_grid(mask, self._extractor.grid_px) == anomalous for _, mask in read])
            both = torch.stack([u, u - c]).cpu().numpy()[:, wanted]
            found.append(both[:, random.permutation(both.shape[1])[:VECTORS]])
        raw, residual = np.concatenate(found, axis=1)
        return raw, residual

    def _recomposed(self, tiles: NDArray[np.uint8], style: str) -> tuple[Tensor, Tensor]:
        x = self._extractor.extract(tiles)
        styles = self._heads.route(x)
        if style:
            styles = torch.full_like(styles, self._heads.styles.index(style))
        u = self._heads.adapt(x, styles)
        return u, self._heads.recompose(u, styles)


def _batches(indices: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(indices), BATCH):
        yield indices[start : start + BATCH]


def _grid(mask: Truth, grid_px: int) -> Truth:
    """Where at least a quarter of a vector's square is defect: (T, T) -> (P,)."""
    shares = cv2.resize(mask.astype(np.float32), (grid_px, grid_px), interpolation=cv2.INTER_AREA)
    return np.asarray(shares).ravel() >= 0.25


def _places(vectors: Vectors, *, seed: int) -> Vectors:
    """(n, D) -> (n, 2). One thread, so that the same vectors always get the same places."""
    if not np.ptp(vectors, axis=0).any():  # all the same: one place
        return np.zeros((len(vectors), 2), np.float32)
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    with threadpool_limits(limits=1):
        return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors))
