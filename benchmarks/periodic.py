"""How well periodic defects are found in simulated lanes: `python -m benchmarks.periodic [--trials 200] [--seed 0]`.

Each row is a kind of lane with a period of 628.3 mm (a roller of 200 mm) and places that scatter by 2 mm about their
slots; a share of the slots is missed, and clutter lies between. Found means a period within 1 %. "live" is the same
lane as it runs past, judged after each defect. Random lanes hold no series: what is found in them is false.
"""

import argparse
import statistics
import time

import numpy as np

from storage.defects.periodic import Periodic, find_periodic

PERIOD_MM, SIGMA_MM = 628.3, 2.0
LANES = (
    ("6 events, clean", 6, 0.0, 0),
    ("10 slots, 20 % missed, 3 clutter", 10, 0.2, 3),
    ("12 slots, 30 % missed, 5 clutter", 12, 0.3, 5),
    ("20 slots, 30 % missed, 10 clutter", 20, 0.3, 10),
)
PUBLISHED = (197, 187, 169, 186)  # of 200, the figures to reach
RANDOM_TRIALS = 800


def lane(rng: np.random.Generator, *, slots: int, missed: float, clutter: int) -> list[float]:
    """Places of one lane along the roll, in mm; the first slot lies anywhere."""
    start = rng.uniform(0, 50_000)
    hit = rng.random(slots) >= missed
    places = start + np.flatnonzero(hit) * PERIOD_MM + rng.normal(0, SIGMA_MM, hit.sum())
    between = rng.uniform(start, start + (slots - 1) * PERIOD_MM, clutter)
    return sorted([*places, *between])


def random_lane(rng: np.random.Generator) -> list[float]:
    """6 to 30 places without order over as much cloth as a series of so many would take."""
    events = int(rng.integers(6, 31))
    return sorted(rng.uniform(0, events * PERIOD_MM, events))


def is_right(found: Periodic | None) -> bool:
    return found is not None and abs(found.period_mm - PERIOD_MM) <= 0.01 * PERIOD_MM


def live(places: list[float]) -> tuple[Periodic | None, int]:
    """The first series told while the lane runs past, and after how many places."""
    for count in range(4, len(places) + 1):
        if (found := find_periodic(places[:count], through=count - 1)) is not None:
            return found, count
    return None, 0


def main(trials: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    print(f"{'lane':36} {'found':>9} {'to reach':>9} {'live':>9} {'ms':>6}")
    for (name, slots, missed, clutter), wanted in zip(LANES, PUBLISHED, strict=True):
        lanes = [lane(rng, slots=slots, missed=missed, clutter=clutter) for _ in range(trials)]
        times, right = [], 0
        for places in lanes:
            begin = time.perf_counter()
            right += is_right(find_periodic(places))
            times.append(time.perf_counter() - begin)
        running = sum(is_right(live(places)[0]) for places in lanes)
        target = f"{wanted}/200"
        print(f"{name:36} {right:5}/{trials} {target:>9} {running:5}/{trials} {1e3 * statistics.median(times):6.2f}")
    lanes = [random_lane(rng) for _ in range(RANDOM_TRIALS)]
    false = sum(find_periodic(places) is not None for places in lanes)
    told = sum(live(places)[0] is not None for places in lanes)
    print(f"{'random, 6 to 30 events, false':36} {false:5}/{RANDOM_TRIALS} {'0/800':>9} {told:5}/{RANDOM_TRIALS}")
    clean = [lane(rng, slots=12, missed=0.0, clutter=0) for _ in range(trials)]
    first = statistics.median([live(places)[1] for places in clean])
    print(f"first told after {first:g} defects of a clean series (to reach: 4)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    main(arguments.trials, arguments.seed)
