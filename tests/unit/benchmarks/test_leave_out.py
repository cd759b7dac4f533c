import csv

import pytest

from benchmarks.leave_out import leave_out, read_figures, to_markdown


def write(folder, rows):
    folder.mkdir()
    with (folder / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("setting", "seed", "class", "image_auroc"))
        writer.writeheader()
        for setting, seed, fabric, value in rows:
            writer.writerow({"setting": setting, "seed": seed, "class": fabric, "image_auroc": value})
    return folder


@pytest.fixture
def folders(tmp_path):
    one = write(
        tmp_path / "one",
        [
            ("CRAS", 0, "a", 0.90),
            ("CRAS", 1, "a", 0.92),
            ("CRAS", 0, "b", 0.80),
            ("CRAS", 0, "mean", 0.1),
            ("s=1", 0, "a", 0.99),
            ("s=1", 0, "b", 0.82),
            ("k=1", 0, "a", 1.0),
        ],
    )
    other = write(tmp_path / "other", [("CRAS", 0, "a", 0.95), ("s=1", 0, "a", 0.85)])
    return [one, other]


def test_a_setting_is_chosen_without_the_fabric_it_is_judged_on(folders):
    figures = read_figures(folders, "image_auroc")
    assert set(figures) == {"CRAS", "s=1"}  # k=1 was not run on every fabric
    found = {row.fabric: row for row in leave_out(figures)}
    # by hand: without one/a CRAS has 0.875 and s=1 0.835; without one/b 0.93 and 0.92; without other/a 0.855 and 0.905
    assert {name: row.chosen for name, row in found.items()} == {"one/a": "CRAS", "one/b": "CRAS", "other/a": "s=1"}
    assert found["other/a"].figure - found["other/a"].reference == pytest.approx(-0.10)
    assert "| mean |  |  |  | -3.33 |" in to_markdown(figures)


def test_what_cannot_be_compared_is_said(folders, tmp_path):
    with pytest.raises(ValueError, match=r"runs\.csv is missing: run benchmarks/ablation\.py with --out"):
        read_figures([tmp_path / "none"], "image_auroc")
    with pytest.raises(ValueError, match="has no figure 'pixel'"):
        read_figures(folders, "pixel")
    with pytest.raises(ValueError, match="two fabrics are needed, and CRAS and another setting"):
        read_figures(folders[1:], "image_auroc")
