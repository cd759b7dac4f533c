"""What thresholds keep on fresh fabric: counted rightly, kept on disk, and told."""

import numpy as np
import pytest

from benchmarks.false_alarms import Trial, count_kept, load, main, save, simulated, to_markdown
from cras_core.config import CrasConfig
from cras_core.false_alarms import HeldOut


def held(scores):
    count = len(scores)
    return HeldOut(
        scores=np.asarray(scores, np.float64),
        pictures=np.arange(count),
        places=np.zeros((count, 2), np.int64),
        groups=[str(place // 5) for place in range(count)],
        metres=np.full(count, 0.1),
    )


@pytest.fixture
def trials():
    random = np.random.default_rng(0)
    return [
        Trial(
            calibration=calibration,
            style="denim",
            held_out=held(random.exponential(size=200)),
            fresh=held(random.exponential(size=2000) + shift),
            group_split=False,
        )
        for calibration, shift in (("holdout", 0.0), ("crossfit", 1.0))
    ]


def test_alarms_of_fresh_fabric_are_counted_beside_those_asked_for(trials):
    kept, missed = count_kept(trials, CrasConfig(), [50.0])
    assert (kept.calibration, kept.trials, kept.extrapolated) == ("holdout", 1, 0.0)
    assert kept.expected == pytest.approx(100)
    assert 0.6 < kept.seen / kept.expected < 1.6  # 10 of the 200 held out tell the level
    assert kept.agree == 1
    assert missed.seen / missed.expected > 1.8  # its fresh fabric is another
    assert missed.agree == 0
    assert missed.worst == pytest.approx(missed.seen / missed.expected)
    table = to_markdown([kept, missed]).splitlines()
    assert table[2].startswith(f"| holdout | 50 | 100.0 | {kept.seen} |")


def test_what_is_kept_on_disk_gives_the_same_counts(trials, tmp_path):
    save(trials, tmp_path / "split0.npz")
    again = load(tmp_path / "split0.npz")
    assert count_kept(again, CrasConfig(), [10.0, 50.0]) == count_kept(trials, CrasConfig(), [10.0, 50.0])


def test_simulated_splits_learn_other_metres_and_none_that_is_inspected():
    splits = list(simulated(splits=2, metres=1.5, mm_per_px=2.0))
    names = [{sample.group for sample in split.learned} for split in splits]
    assert not names[0] & names[1]
    assert not {sample.group for split in splits for sample in split.fresh} & (names[0] | names[1])
    assert {sample.style for sample in splits[0].learned} == {sample.style for sample in splits[0].fresh}


def test_a_folder_without_styles_is_refused_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(
            str(tmp_path), out=tmp_path / "out", splits=1, hold_out=1, metres=1, asked="10", mm_per_px=0.2, device="cpu"
        )
    assert capsys.readouterr().err == f"error: {tmp_path} holds no STYLE/good: give a folder that does, or sim\n"
