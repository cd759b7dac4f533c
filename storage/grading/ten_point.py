"""What a defect scores in the ten-point system: by its direction and size."""

from bisect import bisect_left

from storage.grading.cloth import ClothDefect
from storage.grading.pieces import Piece
from storage.grading.profile import TenPointProfile

_SLACK_MM = 1e-6
_WARP_POINTS = (1.0, 3.0, 5.0, 10.0)
_WEFT_POINTS = (1.0, 3.0, 5.0, 10.0)


def piece_points(profile: TenPointProfile, defect: ClothDefect, piece: Piece, *, width_mm: float) -> tuple[float, str]:
    """Points of one piece and the rule that gave them. `width_mm`: the cloth's cuttable width."""
    if defect.geometry == "full_width":
        return profile.full_width_points, "full_width"
    if defect.hole:
        return profile.hole_points, "hole"
    size_mm = piece.size_mm - _SLACK_MM
    if _is_weft(defect):
        bands = (*profile.weft_bands_mm, max(width_mm / 2, profile.weft_bands_mm[-1]))
        return _WEFT_POINTS[bisect_left(bands, size_mm)], "weft"
    return _WARP_POINTS[bisect_left(profile.warp_bands_mm, size_mm)], "running" if piece.running else "warp"


def _is_weft(defect: ClothDefect) -> bool:
    if defect.geometry in ("warp_line", "weft_line"):
        return defect.geometry == "weft_line"
    return defect.width_mm > defect.length_mm
