"""The cloths the simulator can weave: binding, yarns, colours, and what lies beside the selvedge."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """binding: rows are picks (weft yarns), columns ends (warp yarns), "x" where the end lies on top."""

    binding: tuple[str, ...]
    end_mm: float  # from one end to the next
    pick_mm: float
    ends: tuple[tuple[int, Colour], ...]  # stripes: (how many yarns, their colour), repeated
    picks: tuple[tuple[int, Colour], ...]
    yarn_spread: float  # how much yarns of one colour differ in brightness, standard deviation
    yarn_change_mm: float  # over which length a yarn's own brightness changes
    relief: float  # how deep the shadows between yarns are, 0 to 1
    background: int  # grey level beside the cloth
    streaks: float  # grey levels, of the conveyor's wear

    @property
    def woven(self) -> NDArray[np.bool_]:
        """(picks, ends) of the binding's repeat, whether the end is on top."""
        return np.array([[letter == "x" for letter in row] for row in self.binding])


_NAVY, _RED, _CREAM, _GREEN = (38, 46, 84), (158, 42, 48), (222, 212, 186), (44, 88, 66)

STYLES = {
    "plain": Style(
        binding=("x-", "-x"),
        end_mm=0.96,
        pick_mm=1.04,
        ends=((1, (184, 172, 147)),),
        picks=((1, (190, 179, 156)),),
        yarn_spread=0.035,
        yarn_change_mm=30.0,
        relief=0.62,
        background=72,
        streaks=5.0,
    ),
    "twill": Style(
        binding=("xx--", "-xx-", "--xx", "x--x"),
        end_mm=0.92,
        pick_mm=0.98,
        ends=((1, (98, 106, 114)),),
        picks=((1, (138, 144, 148)),),
        yarn_spread=0.035,
        yarn_change_mm=45.0,
        relief=0.6,
        background=244,
        streaks=0.8,
    ),
    "plaid": Style(
        binding=("xx--", "-xx-", "--xx", "x--x"),
        end_mm=1.0,
        pick_mm=1.0,
        ends=((8, _RED), (2, _NAVY), (2, _CREAM), (2, _NAVY), (8, _RED), (10, _GREEN)),
        picks=((8, _RED), (2, _NAVY), (2, _CREAM), (2, _NAVY), (8, _RED), (10, _GREEN)),
        yarn_spread=0.03,
        yarn_change_mm=40.0,
        relief=0.55,
        background=240,
        streaks=0.8,
    ),
    "denim": Style(
        binding=("xxx-", "-xxx", "x-xx", "xx-x"),
        end_mm=0.88,
        pick_mm=1.12,
        ends=((1, (48, 60, 92)),),
        picks=((1, (148, 150, 150)),),
        yarn_spread=0.09,
        yarn_change_mm=25.0,
        relief=0.55,
        background=242,
        streaks=0.8,
    ),
    "herringbone": Style(
        binding=(
            "xx--xx--xx--xx----xx--xx--xx--xx",
            "-xx--xx--xx--xx--xx--xx--xx--xx-",
            "--xx--xx--xx--xxxx--xx--xx--xx--",
            "x--xx--xx--xx--xx--xx--xx--xx--x",
        ),
        end_mm=0.94,
        pick_mm=0.94,
        ends=((1, (74, 68, 62)),),
        picks=((1, (176, 166, 150)),),
        yarn_spread=0.04,
        yarn_change_mm=40.0,
        relief=0.55,
        background=84,
        streaks=5.0,
    ),
}
