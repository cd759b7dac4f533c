"""Small synthetic cloth and one small trained model, shared by the tests of the method."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from cras_core.bundle import load_bundle, save_bundle
from cras_core.config import CrasConfig
from cras_core.features import NormalSample
from cras_core.scoring import Scorer
from cras_core.training import Model, train

Pixels = NDArray[np.uint8]

TILE_PX = 64
PERIODS = {"canvas": (6, 9), "denim": (13, 5)}  # threads of a weave, in px


def weave(style: str, seed: int, *, height: int = TILE_PX, width: int = TILE_PX) -> Pixels:
    """A picture of cloth: two sets of threads at a random phase, and noise. (H, W, 3) uint8."""
    random = np.random.default_rng(seed)
    warp, weft = PERIODS[style]
    y, x = np.mgrid[:height, :width]
    phase = random.uniform(0, 2 * np.pi, 2)
    threads = np.sin(2 * np.pi * x / warp + phase[0]) + np.sin(2 * np.pi * y / weft + phase[1])
    grey = 128 + 35 * threads + random.normal(0, 6, (height, width))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def spoil(pixels: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    """The same with an oil stain, and where it is."""
    mask = np.zeros(pixels.shape[:2], np.bool_)
    mask[20:44, 24:48] = True
    spoiled = pixels.copy()
    spoiled[mask] = spoiled[mask] // 4
    return spoiled, mask


def normal_samples(*, count: int = 12, per_group: int = 3) -> list[NormalSample]:
    return [
        NormalSample.from_pixels(weave(style, 100 * number + index), style=style, group=f"{style}-{index // per_group}")
        for number, style in enumerate(PERIODS)
        for index in range(count)
    ]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors this small are faster without company, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small_config() -> CrasConfig:
    return CrasConfig(
        backbone="efficientnet_lite0", tile_px=TILE_PX, centers_per_style=8, batch_size=4, steps=40, vectors_per_tile=32
    )


@pytest.fixture(scope="session")
def small_model(small_config: CrasConfig) -> Model:
    return train(normal_samples(), small_config, device=torch.device("cpu"))


@pytest.fixture(scope="session")
def small_bundle(small_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "small"
    save_bundle(small_model, folder, name="small", provenance={"data": "synthetic"}, metrics={})
    return folder


@pytest.fixture(scope="session")
def small_scorer(small_bundle: Path) -> Scorer:
    return load_bundle(small_bundle, device=torch.device("cpu"))


@pytest.fixture
def make_data_set(tmp_path: Path) -> Callable[[], Path]:
    """Writes a data set of both styles in the MVTec AD layout; gives its folder."""

    def make() -> Path:
        folder = tmp_path / "data"
        for number, style in enumerate(PERIODS):
            for part in ("train/good", "test/good", "test/stain", "ground_truth/stain"):
                (folder / style / part).mkdir(parents=True)
            for index in range(4):
                picture = weave(style, 1000 * number + index)
                Image.fromarray(picture).save(folder / style / f"train/good/{index:03d}.png")
                Image.fromarray(weave(style, 5000 * number + index)).save(folder / style / f"test/good/{index:03d}.png")
                spoiled, mask = spoil(weave(style, 7000 * number + index))
                Image.fromarray(spoiled).save(folder / style / f"test/stain/{index:03d}.png")
                Image.fromarray(mask.astype(np.uint8)).save(folder / style / f"ground_truth/stain/{index:03d}_mask.png")
        return folder

    return make
