"""Fabric edges on real line-scan strips: white or conveyor background to the left, then the selvedge."""

from pathlib import Path

import numpy as np
import pytest

from ingest.edges import find_edges
from inspection.pictures import read_picture

AITEX = Path(__file__).parents[4] / "shared" / "data" / "aitex"
TILE_PX = 256

if not (AITEX / "frames").is_dir():
    pytest.skip("needs the AITEX strips in ../shared/data/aitex", allow_module_level=True)

STRIPS = sorted(path for part in ("good", "defect") for path in (AITEX / "frames").glob(f"*/{part}/*.png"))


def first_tiles() -> dict[str, int]:
    """Strip -> column of the leftmost tile that the data's author cut inside the fabric."""
    columns: dict[str, int] = {}
    for path in (AITEX / "tiles").glob("*/t*/*/*.png"):
        strip, column = path.stem.rsplit("_", 1)
        columns[strip] = min(int(column), columns.get(strip, 1 << 30))
    return columns


@pytest.fixture(scope="module")
def edges() -> dict[str, tuple[int, int] | None]:
    return {path.stem: find_edges(read_picture(path)) for path in STRIPS}


def test_every_strip_is_fabric_up_to_its_right_side(edges):
    assert len(edges) == len(STRIPS) > 80
    assert all(found is not None and found[1] == 4096 for found in edges.values())


def test_the_left_edge_lies_a_little_before_the_first_tile_its_author_cut(edges):
    author = first_tiles()
    good = [name for name in edges if "_000_" in name]
    distances = np.array([author[name] - edges[name][0] for name in good])
    assert distances.min() > 0
    assert distances.max() < TILE_PX
    assert np.ptp(distances) <= 16  # the author's margin is the same everywhere: so are our edges
    assert all(edges[name][0] <= author[name] for name in edges if name in author)


def test_defects_lie_inside_the_edges(edges):
    for path in sorted((AITEX / "frames").glob("*/mask/*.png")):
        mask = read_picture(path)
        mask = (mask if mask.ndim == 2 else mask.max(axis=2)) > 0
        left, right = edges[path.stem.split("_mask")[0]]
        assert mask[:, left:right].sum() > 0.99 * mask.sum()


def test_background_alone_is_no_fabric_and_fabric_alone_has_no_edges(edges):
    for path in STRIPS[::4]:
        pixels = read_picture(path)
        left, _ = edges[path.stem]
        assert find_edges(pixels[:, : left - 32]) is None
        assert find_edges(pixels[:, 1500:2524]) == (0, 1024)


def test_the_two_halves_of_a_strip_agree(edges):
    for path in STRIPS[::8]:
        pixels = read_picture(path)
        upper, lower = find_edges(pixels[:128]), find_edges(pixels[128:])
        assert upper is not None
        assert lower is not None
        assert abs(upper[0] - lower[0]) <= 16
