"""Disturbed pictures: how figures hold when the picture is worse than what the model learnt.

Three are the paper's (noise, light, rotation), five are a line's own. Each is a pure function of a tile, its mask, a
strength and a generator; the mask moves where the geometry moves. "noise" is bounded sign noise by chance. "attack" has
its size, and the signs of a gradient of the model, which whoever asks for it brings along.
"""

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cras_core.errors import ConfigError
from cras_core.pictures import Pixels

Mask = NDArray[np.bool_]
Disturbed = tuple[Pixels, Mask]
Gradient = Callable[[Pixels, Mask], NDArray[np.float32]]

ATTACK = "attack"  # the one that asks the model
MOST = 5.0  # times the usual strength

# What strength 1 means.
NOISE_LEVELS = 8.0  # of 255, up or down
LIGHT_CHANGE = 0.1  # brightness, contrast, saturation
ROTATION_DEG = 5.0
DEFOCUS_RADIUS_PX = 2.0
EXPOSURE_CHANGE = 0.3  # at both ends of the picture
VIBRATION_PX = 2.0
LAMP_DIMMER, LAMP_WARMER, LAMP_UNEVEN = 0.25, 0.15, 0.2
JPEG_QUALITY = 30.0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One kind at one strength: 1 is the usual one, 0 changes nothing. Raises `ConfigError` for any other."""

    kind: str
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"a disturbance is one of {', '.join(KINDS)}, got {self.kind!r}")
        if not 0 <= self.strength <= MOST:
            raise ConfigError(f"the strength of a disturbance must be in [0, {MOST:g}], got {self.strength:g}")

    def apply(
        self, tile: Pixels, mask: Mask, *, name: str, seed: int = 0, gradient: Gradient | None = None
    ) -> Disturbed:
        """The disturbed tile (T, T, 3) uint8 and mask (T, T). The same name and seed are disturbed the same way,
        whatever else is; no array is written to. gradient: what an attack follows, of `attack.loss_gradient`.

        Raises `ConfigError` for an attack without one.
        """
        if self.strength == 0:
            return tile, mask
        if self.kind == ATTACK:
            if gradient is None:
                raise ConfigError("an attack needs the model that it attacks: evaluate a bundle with it")
            return _pixels(tile + NOISE_LEVELS * self.strength * np.sign(gradient(tile, mask))), mask
        random = np.random.default_rng([seed, zlib.crc32(os.fsencode(f"{self.kind}/{name}"))])
        return DISTURBANCES[self.kind](tile, mask, self.strength, random)


def noise(tile: Pixels, mask: Mask, strength: float, random: np.random.Generator) -> Disturbed:
    """Every value 8 grey levels up or down, by chance: the size of an adversarial step, not its direction."""
    signs = random.integers(0, 2, tile.shape) * 2.0 - 1
    return _pixels(tile + NOISE_LEVELS * strength * signs), mask


def light(tile: Pixels, mask: Mask, strength: float, random: np.random.Generator) -> Disturbed:
    """Brightness, contrast and saturation each by a factor within 1 +- 0.1, as colour jitter does."""
    brightness, contrast, saturation = 1 + LIGHT_CHANGE * strength * random.uniform(-1, 1, 3)
    pixels = tile * brightness
    mean = _grey(pixels).mean()
    pixels = mean + (pixels - mean) * contrast
    grey = _grey(pixels)[:, :, None]
    return _pixels(grey + (pixels - grey) * saturation), mask


def rotation(tile: Pixels, mask: Mask, strength: float, random: np.random.Generator) -> Disturbed:
    """About the middle by an angle within +- 5 degrees; what comes in at the corners is mirrored."""
    height, width = mask.shape
    angle = random.uniform(-1, 1) * ROTATION_DEG * strength
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)

    def turned(values: Pixels, how: int) -> NDArray[Any]:
        moved = cv2.warpAffine(values, turn, (width, height), flags=how, borderMode=cv2.BORDER_REFLECT_101)
        return np.asarray(moved)

    return _pixels(turned(tile, cv2.INTER_LINEAR)), turned(mask.astype(np.uint8), cv2.INTER_NEAREST) > 0


def defocus(tile: Pixels, mask: Mask, strength: float, random: np.random.Generator) -> Disturbed:
    """The lens out of focus: every point becomes a disc of radius 2 px."""
    radius = DEFOCUS_RADIUS_PX * strength
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)  # a pixel on the rim counts in part
    return _pixels(np.asarray(cv2.filter2D(tile, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101))), mask


def exposure(tile: Pixels, mask: Mask, strength: float, random: np.random.Generator) -> Disturbed:
    """A ramp along the roll: 30 % darker at one end of the picture, 30 % brighter at the other."""
    change = EXPOSURE_CHANGE * strength * random.choice([-1, 1])
    gain = np.maximum(1 + np.linspace(-change, change, len(tile)), 0)
    return _pixels(tile * gain[:, None, None]), mask


def vibration(tile: Pixels, mask: Mask, strength: float, random: np.random.Generator) -> Disturbed:
    """Line jitter: each line sideways by a swing of up to 2 px and a tremble of 0.5 px (standard deviation)."""
    height, width = mask.shape
    lines = np.arange(height)
    swing = np.sin(2 * np.pi * (lines / random.uniform(16, 64) + random.uniform()))
    shift = VIBRATION_PX * strength * (swing + random.normal(0, 0.25, height))
    x = (np.arange(width)[None, :] + shift[:, None]).astype(np.float32)
    y = np.repeat(lines[:, None], width, axis=1).astype(np.float32)

    def moved(values: Pixels, how: int) -> NDArray[Any]:
        return np.asarray(cv2.remap(values, x, y, how, borderMode=cv2.BORDER_REFLECT_101))

    return _pixels(moved(tile, cv2.INTER_LINEAR)), moved(mask.astype(np.uint8), cv2.INTER_NEAREST) > 0


def lamp(tile: Pixels, mask: Mask, strength: float, random: np.random.Generator) -> Disturbed:
    """An old lamp: 25 % dimmer, blue another 15 % and green 7.5 % (warmer), and up to 20 % less away from a bright
    place across the width (uneven)."""
    across = np.linspace(-1, 1, tile.shape[1]) - random.uniform(-1, 1)
    falloff = 1 - LAMP_UNEVEN * strength * np.minimum(across**2, 1)
    warmth = 1 - LAMP_WARMER * strength * np.asarray([0.0, 0.5, 1.0])
    gain = (1 - LAMP_DIMMER * strength) * falloff[None, :, None] * warmth
    return _pixels(tile * np.maximum(gain, 0)), mask


def jpeg(tile: Pixels, mask: Mask, strength: float, random: np.random.Generator) -> Disturbed:
    """Saved as JPEG of quality 30 / strength, within 1 to 95."""
    quality = int(np.clip(JPEG_QUALITY / strength, 1, 95))
    _, data = cv2.imencode(".jpg", tile[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[:, :, ::-1]), mask


def _grey(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    grey: NDArray[np.float64] = pixels @ np.asarray([0.299, 0.587, 0.114])
    return grey


def _pixels(values: NDArray[Any]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


DISTURBANCES: dict[str, Callable[[Pixels, Mask, float, np.random.Generator], Disturbed]] = {
    "noise": noise,
    "light": light,
    "rotation": rotation,
    "defocus": defocus,
    "exposure": exposure,
    "vibration": vibration,
    "lamp": lamp,
    "jpeg": jpeg,
}
KINDS = (*DISTURBANCES, ATTACK)
