"""What a defect looks like, in a few numbers: alike ones are near, whatever picture they come from."""

from dataclasses import replace

import numpy as np
import pytest

from inspection.likeness import LENGTH, likeness, likenesses
from tests.records import FABRIC_PX, HEIGHT_PX, LEFT_PX, make_defect, make_header


def drawn(kind: str, *, seed: int, x: int = 200, y: int = 40):
    """Cloth with a dark ring, blot, or line along or across, and the defect that it is."""
    rng = np.random.default_rng(seed)
    cloth = (150 + rng.normal(0, 6, (HEIGHT_PX, FABRIC_PX, 1))).clip(0, 255).astype(np.uint8)
    height, width = {"along": (40, 4), "across": (4, 40), "blot": (20, 20), "ring": (20, 20)}[kind]
    mask = np.ones((height, width), np.bool_)
    if kind == "ring":
        mask[4:-4, 4:-4] = False
    cloth[y : y + height, x : x + width][mask] = 60
    defect = make_defect(x + LEFT_PX, y)
    return cloth, replace(defect, x1_px=x + LEFT_PX + width, x1_mm=defect.x0_mm + width / 4, y1_px=y + height,
                          y1_mm=defect.y0_mm + height / 4, area_mm2=mask.sum() / 16, mask=mask)  # fmt: skip


def cosine(a, b) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_each_kind_is_nearest_to_its_own_in_other_cloth_at_another_place() -> None:
    kinds = ("along", "across", "blot", "ring")
    first = {kind: likeness(*drawn(kind, seed=1), left_px=LEFT_PX) for kind in kinds}
    for kind in kinds:
        other = likeness(*drawn(kind, seed=2, x=60, y=70), left_px=LEFT_PX)
        assert max(kinds, key=lambda each: cosine(first[each], other)) == kind


@pytest.mark.parametrize("place", [(0, 0), (FABRIC_PX - 20, HEIGHT_PX - 20)])
def test_at_the_frame_s_corners_and_in_colour_all_numbers_are_finite(place) -> None:
    cloth, defect = drawn("blot", seed=3, x=place[0], y=place[1])
    for pixels in (cloth, np.repeat(cloth, 3, axis=2)):
        vector = likeness(pixels, defect, left_px=LEFT_PX)
        assert vector.shape == (LENGTH,)
        assert np.isfinite(vector).all()


def test_a_defect_that_is_all_of_the_frame_has_a_likeness_too() -> None:
    cloth = np.full((HEIGHT_PX, FABRIC_PX, 1), 90, np.uint8)
    defect = replace(make_defect(LEFT_PX, 0), x1_px=LEFT_PX + FABRIC_PX, y1_px=HEIGHT_PX,
                     mask=np.ones((HEIGHT_PX, FABRIC_PX), np.bool_))  # fmt: skip
    [stored] = likenesses(cloth, (defect,), make_header())
    assert np.isfinite(np.frombuffer(stored, "<f2")).all()
    assert len(stored) == 2 * LENGTH
