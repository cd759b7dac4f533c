"""`python -m cras_core.runtimes.trial BUNDLE PLACE NAME...`: the process in which `selection` tries runtimes."""

import argparse
import os
from pathlib import Path

import torch

from cras_core.bundle import load_bundle, read_tiles
from cras_core.runtimes.selection import find_runtime

NICENESS = 10  # frames come first


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("place", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    os.nice(NICENESS)
    torch.set_num_threads(given.threads)
    scorer = load_bundle(given.bundle, device=torch.device(given.device), weights=given.weights)
    for each in find_runtime(scorer, read_tiles(given.bundle), given.place, names=given.names):
        print(each.name, each.problem or f"{each.tiles_per_s:.1f} tiles/s")


if __name__ == "__main__":
    main()
