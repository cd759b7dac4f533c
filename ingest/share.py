"""Which columns are a camera's own. Where neighbours see the same cloth, each inspects up to the middle of what they
share: every mm of the cloth then belongs to one camera, is counted once, and a defect there is found by one of them.
One that lies right on the line is found by both, in two pieces that touch.
"""

from dataclasses import dataclass

from inspection.settings import CameraSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Columns [left_px, right_px) of the camera; `x_offset_mm` of the first one from the cloth's left edge."""

    left_px: int
    right_px: int
    x_offset_mm: float


def own_share(camera: CameraSettings, *, fabric: tuple[int, int], width_px: int) -> Share | None:
    """The camera's own part of the fabric [left, right), or None when all of it is a neighbour's."""
    first = round(camera.overlap_left_mm / 2 / camera.mm_per_px)
    last = width_px - round(camera.overlap_right_mm / 2 / camera.mm_per_px)
    left, right = max(fabric[0], first), min(fabric[1], last)
    if left >= right:
        return None
    # With a neighbour to the left there is no edge of the cloth in sight, and the offset is the first column's.
    zero = 0 if camera.overlap_left_mm else fabric[0]
    return Share(left_px=left, right_px=right, x_offset_mm=camera.x_offset_mm + (left - zero) * camera.mm_per_px)
