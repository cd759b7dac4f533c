"""Which samples a training leaves to the gate: a fifth of each style's days and rolls, never tiles.

All that a style gave on one day stays together, rolls whole; pictures that came as files have no day, and their group
(strip, roll) stands for it. A style of a few days only is parted by its rolls. Chosen by a hash of the name, the lowest
fifth and one at least, so that what was once held out stays so as long as nothing newer takes its place, and two models
compared on it have both never seen it. What holds more than half of a style's pictures is never chosen: too little
would be left to learn from.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from storage.samples import Sample

LEAST_UNITS = 5  # a style of fewer keeps all for training
SHARE = 0.2


def held_out_of(samples: Sequence[Sample]) -> list[Sample]:
    """Those that only the gate may use; none of a style whose days and rolls are few."""
    by_style: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_style[sample.style].append(sample)
    chosen: set[tuple[str, str]] = set()
    for style, own in by_style.items():
        for unit_of in (day_of, roll_of):
            counts = Counter(unit_of(sample) for sample in own)
            if len(counts) >= LEAST_UNITS:
                ordered = sorted(counts, key=lambda unit: _place(style, unit))
                number = sum(_place(style, unit) < SHARE for unit in counts)
                small = [unit for unit in ordered if 2 * counts[unit] <= counts.total()]
                units = small[: min(max(number, 1), len(counts) // 2)]
                chosen |= {(style, roll_of(sample)) for sample in own if unit_of(sample) in units}
                break
    return [sample for sample in samples if (sample.style, roll_of(sample)) in chosen]


def day_of(sample: Sample) -> str:
    """On which its roll was opened, or the group where no day is known."""
    return sample.captured.day if sample.captured is not None else sample.roll_group


def roll_of(sample: Sample) -> str:
    return sample.roll_group


def _place(style: str, unit: str) -> float:
    digest = hashlib.blake2b(f"{style}\0{unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
