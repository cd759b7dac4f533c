"""A fit whose every step's loss is written down; torchrun starts it as often as it is told. OUT: a JSON file."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cras_core import team
from cras_core.config import CrasConfig
from cras_core.features import Features
from cras_core.training import fit_heads

COUNTS = (4, 3)  # tiles of each style; in batches of 3 the last one has a single tile, and one process of two none


def features() -> Features:
    random = np.random.default_rng(0)
    style_of = np.repeat(np.arange(2), COUNTS)
    vectors = random.normal(size=(sum(COUNTS), 9, 8)) + 2 * style_of[:, None, None]
    return Features(
        vectors=vectors.astype(np.float16),
        styles=("canvas", "denim"),
        style_of=style_of,
        groups=tuple(map(str, range(len(style_of)))),
        pictures=np.arange(len(style_of)),
        places=np.zeros((len(style_of), 2), np.int64),
        metres=np.ones(len(style_of)),
        device=torch.device("cpu"),
    )


def fit(**changes: Any) -> dict[str, Any]:
    config = CrasConfig(centers_per_style=3, batch_size=3, epochs=4, vectors_per_tile=5, averaging=0.5, **changes)
    losses: list[float] = []
    given = features()
    heads, epochs = fit_heads(given, np.arange(7), config, keep=lambda each: losses.append(each.loss))
    with torch.inference_mode():  # weights say less: BatchNorm takes back what the biases before it add
        logits = heads(given.take(range(7)), torch.from_numpy(given.style_of))
    return {"losses": losses, "epochs": epochs, "logits": logits.tolist()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with team.join_team("cpu"):
        found = fit()
        assert team.size() == 2
        if team.rank() == 0:
            Path(sys.argv[1]).write_text(json.dumps(found))
