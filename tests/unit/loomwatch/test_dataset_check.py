"""`loomwatch dataset check`: kind, classes, counts, sizes; every problem of every class, and one line at the end."""

import json
from pathlib import Path

import pytest
from PIL import Image

from cras_core.dataset import KNOWN
from cras_core.errors import DataSetError, PictureError
from cras_core.pictures import read_picture
from loomwatch.cli import run
from loomwatch.dataset_check import check_data_set


def picture(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size).save(path)


@pytest.fixture
def mpdd(tmp_path: Path) -> Path:
    folder = tmp_path / "MPDD"
    for name in ("tubes", "connector"):
        for number in range(3):
            picture(folder / name / f"train/good/{number}.png")
        picture(folder / name / "test/good/0.png")
        picture(folder / name / "test/hole/0.png", (50, 60))
        picture(folder / name / "ground_truth/hole/0_mask.png", (50, 60))
    return folder


def test_a_whole_data_set_is_told_with_counts_and_sizes(mpdd: Path) -> None:
    found = check_data_set(mpdd)
    assert (found.kind, found.problems) == ("MPDD", ())
    assert found.absent == ("bracket_black", "bracket_brown", "bracket_white", "metal_plate")
    (connector, tubes) = found.classes
    assert (connector.name, tubes.name) == ("connector", "tubes")
    assert (tubes.train, tubes.test_good, tubes.defects, tubes.sizes) == (3, 1, {"hole": 1}, ("40 x 30", "50 x 60"))


def test_problems_of_every_class_are_found(mpdd: Path) -> None:
    (mpdd / "tubes/train/good/0.png").write_text("no picture")
    picture(mpdd / "tubes/ground_truth/hole/0_mask.png", (51, 60))
    (mpdd / "connector/ground_truth/hole/0_mask.png").unlink()
    (mpdd / "metal_plate/train/good").mkdir(parents=True)
    picture(mpdd / "bracket_black/train/good/0.png")
    picture(mpdd / "tubes/ground_truth/hole/7_mask.png")
    picture(mpdd / "tubes/ground_truth/good/0_mask.png")  # an empty mask of a normal picture, as some sets have them
    problems = check_data_set(mpdd).problems
    expected = ["bracket_black has 1 picture", "connector/test/hole/0.png has no mask", "metal_plate", "0.png is not a"]
    expected += ["another size", "hole/7_mask.png is of no test picture (1 of the masks of tubes)"]
    assert all(words in problem for words, problem in zip(expected, problems, strict=True))


@pytest.mark.parametrize("kind", ["MVTec AD", "VisA", "MPDD", "ITDD"])
def test_parts_that_only_evaluate_needs_are_named_and_are_no_problem(tmp_path: Path, kind: str) -> None:
    whole, bare, clean, spoiled, *_ = KNOWN[kind].split()
    parts = {whole: ("good", "hole"), bare: (), clean: ("good",), spoiled: ("hole",)}
    for name, tests in parts.items():
        for number in range(2):
            picture(tmp_path / f"{name}/train/good/{number}.png")
        for part in tests:
            picture(tmp_path / f"{name}/test/{part}/0.png")
            if part == "hole":
                picture(tmp_path / f"{name}/ground_truth/hole/0_mask.png")
    found = check_data_set(tmp_path)
    assert (found.kind, found.problems) == (kind, ())
    told = {each.name: each.missing for each in found.classes}
    assert told == {
        whole: (),
        bare: (f"class {bare} has no test pictures: it can be learned, not evaluated",),
        clean: (f"class {clean} has no test pictures with defects: evaluate counts its false alarms alone",),
        spoiled: (f"class {spoiled} has no normal test pictures (test/good): its image figures stay empty",),
    }


def test_a_data_set_without_masks_is_told_what_it_lacks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        picture(tmp_path / f"type1cam1/train/good/{number}.png")
    for part in ("good", "anomaly"):
        picture(tmp_path / f"type1cam1/test/{part}/0.png")
    assert run(["dataset", "check", str(tmp_path)]) == 0
    assert "class type1cam1 has no masks: its pixel figures stay empty" in capfd.readouterr().out


def test_pictures_that_training_would_refuse_are_told(mpdd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 200)
    for name, image in (
        ("0.png", Image.new("I;16", (40, 30))),
        ("1.tif", Image.new("F", (40, 30))),
        ("2.jpg", Image.new("CMYK", (40, 30))),
        ("3.png", Image.new("L", (40, 210))),
    ):
        path = mpdd / "tubes/train/good" / name
        image.save(path)
        with pytest.raises(PictureError) as refused:
            read_picture(path)
        (problem,) = check_data_set(mpdd).problems
        assert problem == f"{refused.value} (files of tubes that cannot be used: 1)"
        picture(path)


def test_no_data_set_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="holds no class folder"):
        check_data_set(tmp_path)


def test_the_command_tells_and_ends_with_2_when_there_are_problems(
    mpdd: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "check.json"
    assert run(["dataset", "check", str(mpdd), "--json", str(figures)]) == 0
    told = capfd.readouterr().out
    assert "MPDD in" in told
    assert "not here: bracket_black" in told
    assert json.loads(figures.read_text())["classes"]["tubes"]["defects"] == {"hole": 1}
    (mpdd / "tubes/ground_truth/hole/0_mask.png").unlink()
    assert run(["dataset", "check", str(mpdd)]) == 2
    error = capfd.readouterr().err.strip()
    assert "a problem" in error
    assert "0_mask.png" in error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("tubes/train/scratch/0.png", "besides good"),
        ("tubes/test/hole/1.png", "no mask"),
        ("VisA/split_csv/1cls.csv", "no column"),
    ],
)
def test_train_and_evaluate_refuse_in_one_line(
    mpdd: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], spoil: str, words: str
) -> None:
    picture(mpdd / spoil.replace(".csv", ".png"))
    data = mpdd
    if spoil.endswith(".csv"):
        data = mpdd / "VisA"
        (mpdd / spoil).write_text("object,image\n")
    assert run(["train", "--data", str(data), "--out", str(tmp_path / "b")]) == 2
    error = capfd.readouterr().err.strip()
    assert words in error
    assert "\n" not in error
    assert not (tmp_path / "b").exists()


def test_names_in_brackets_are_shown_as_they_are(mpdd: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (mpdd / "tubes").rename(mpdd / "[red]tubes")
    for part in ("test", "ground_truth"):
        (mpdd / "[red]tubes" / part / "hole").rename(mpdd / "[red]tubes" / part / "[bold]")
    assert run(["dataset", "check", str(mpdd)]) == 0
    told = capfd.readouterr().out
    assert "[red]tubes" in told
    assert "[bold] 1" in told
