"""What a defect scores in the four-point system (ASTM D5430 option A, as published summaries tell it)."""

from bisect import bisect_left

from storage.grading.cloth import ClothDefect
from storage.grading.pieces import Piece
from storage.grading.profile import FourPointProfile

MOST = 4.0
_SLACK_MM = 1e-6  # sizes are computed: 3.00 in must not become 3 points by a rounding error


def piece_points(profile: FourPointProfile, defect: ClothDefect, piece: Piece) -> tuple[float, str]:
    """Points of one piece and the rule that gave them."""
    if defect.geometry == "full_width":
        return profile.full_width_points, "full_width"
    if defect.hole and (points := _hole_points(profile, defect)):
        return points, "hole"
    if piece.running and profile.running == "touched":
        return MOST, "running"
    band = 1 + bisect_left(profile.bands_mm, piece.size_mm - _SLACK_MM)
    return float(band), "running" if piece.running else f"size_{band}"


def _hole_points(profile: FourPointProfile, defect: ClothDefect) -> float:
    """0 for a pinhole that counts by its size, as any other defect."""
    match profile.hole_rule:
        case "all":
            return MOST
        case "all_but_pinholes":
            return 0.0 if defect.size_mm <= profile.pinhole_mm + _SLACK_MM else MOST
        case "by_size":
            return 2.0 if defect.size_mm <= profile.hole_limit_mm + _SLACK_MM else MOST
