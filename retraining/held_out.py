"""Which samples a training leaves to the gate: a fifth of each style's groups (rolls, strips), never tiles.

Chosen by a hash of the group's name, the lowest fifth and one at least, so that a group once held out stays so as long
as no newer one takes its place, and two models compared on it have both never seen it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from storage.samples import Sample

LEAST_GROUPS = 5  # a style of fewer keeps all for training
SHARE = 0.2


def held_out_of(samples: Sequence[Sample]) -> list[Sample]:
    """Those that only the gate may use; none of a style whose groups are few."""
    groups: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        groups[sample.style].add(sample.roll_group)
    chosen: set[tuple[str, str]] = set()
    for style, names in groups.items():
        if len(names) >= LEAST_GROUPS:
            ordered = sorted(names, key=lambda group: _place(style, group))
            count = sum(_place(style, group) < SHARE for group in names)
            chosen |= {(style, group) for group in ordered[: min(max(count, 1), len(names) // 2)]}
    return [sample for sample in samples if (sample.style, sample.roll_group) in chosen]


def _place(style: str, group: str) -> float:
    digest = hashlib.blake2b(f"{style}\0{group}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
