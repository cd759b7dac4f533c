"""Whether a frame's fabric can be inspected at all; a frame that cannot be is a recorded gap.

Sharpness is not judged here: how sharp a fabric looks depends on the fabric as much as on the lens, so that only a
comparison with the camera's own reference can tell.
"""

import numpy as np

from inspection.types import Pixels


def judge(pixels: Pixels, *, dark_level: float, bright_level: float) -> str:
    """ "" when the fabric can be inspected, else a code of `inspection.types.REASONS`: too_dark or saturated.

    pixels: (H, W) grey or (H, W, 3) RGB uint8, only what lies between the fabric's edges. Levels are means of all
    channels, in grey levels. Every fourth line is looked at.
    """
    level = float(np.mean(pixels[::4]))
    if level < dark_level:
        return "too_dark"
    if level > bright_level:
        return "saturated"
    return ""
