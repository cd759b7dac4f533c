"""A small data set of two fabrics, and one thread to compute on it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.cras_core.conftest import spoil, weave


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def fabrics(folder: Path, *, learned: int, tested: int) -> Path:
    """Fills it in the MVTec AD layout. learned, tested: pictures a fabric, the latter with and without a stain."""
    for number, style in enumerate(("canvas", "denim")):
        for part in ("train/good", "test/good", "test/stain", "ground_truth/stain"):
            (folder / style / part).mkdir(parents=True)
        for index in range(learned):
            Image.fromarray(weave(style, 1000 * number + index)).save(folder / style / f"train/good/{index:02}.png")
        for index in range(tested):
            Image.fromarray(weave(style, 5000 + 100 * number + index)).save(folder / style / f"test/good/{index}.png")
            spoiled, mask = spoil(weave(style, 7000 + 100 * number + index))
            Image.fromarray(spoiled).save(folder / style / f"test/stain/{index}.png")
            Image.fromarray(mask.astype(np.uint8)).save(folder / style / f"ground_truth/stain/{index}_mask.png")
    return folder
