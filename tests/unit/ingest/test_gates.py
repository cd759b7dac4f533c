"""What a frame must pass, frame after frame, as a camera that knows its fabric sees them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from ingest.gates import Gates
from ingest.reference import LEARNED, STEPS
from inspection.settings import CameraSettings, IngestSettings
from inspection.types import FLAGS, REASONS, WARNINGS, Pixels
from tests.unit.ingest.test_quality import MM_PER_PX, weave

LINES, WIDTH = 256, 400
FRAME_MM = LINES * MM_PER_PX  # 51.2
KNOWN = LEARNED  # frames until a camera knows its fabric


class Run:
    """A camera's gates and the roll that passes them."""

    def __init__(self, folder: Path, **camera: object) -> None:
        values = {"name": "c", "source": "x", "mm_per_px": MM_PER_PX} | camera
        settings = IngestSettings(spool_dir=folder / "spool")
        self.gates = Gates(CameraSettings.model_validate(values), settings)
        self.position_mm = 0.0
        self.warnings: set[str] = set()

    def show(self, pixels: Pixels, edges: tuple[int, int] | None = (0, WIDTH)) -> str:
        """The reason's code; warnings are kept."""
        reason, warnings = self.gates.judge(pixels, edges, position_mm=self.position_mm)
        self.position_mm += pixels.shape[0] * MM_PER_PX
        self.warnings = {warning.partition(":")[0] for warning in warnings}
        assert self.warnings <= set(WARNINGS) <= set(FLAGS)
        code = reason.partition(":")[0]
        assert not code or code in REASONS
        return code

    def learn(self, **look: float) -> "Run":
        assert {self.show(weave(seed, **look)) for seed in range(KNOWN)} == {""}
        return self


def soft(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 2.0), np.uint8)


def sewn(pixels: Pixels) -> Pixels:
    pixels = pixels.copy()
    pixels[100:140] //= 2
    return pixels


def test_a_defocused_frame_is_blurred_once_the_camera_knows_its_fabric(tmp_path: Path) -> None:
    run = Run(tmp_path).learn()
    assert run.show(weave(20)) == ""
    assert run.show(soft(weave(21))) == "blurred"
    assert run.show(weave(22)) == ""


def test_the_reference_outlives_a_restart(tmp_path: Path) -> None:
    Run(tmp_path).learn()
    again = Run(tmp_path)
    shown = [again.show(soft(weave(seed))) for seed in range(STEPS + 2)]
    assert shown == [*[""] * STEPS, "blurred", "blurred"]  # a few frames, to know which fabric it is


def test_each_camera_has_its_own_reference(tmp_path: Path) -> None:
    Run(tmp_path).learn()
    other = Run(tmp_path, name="d")
    assert {other.show(soft(weave(seed))) for seed in range(STEPS + 2)} == {""}


@pytest.mark.parametrize("damage", [b"", b"not json", b"[{}]", b'[{"color":[1],"sharpness":"x","band_level":0}]'])
def test_a_damaged_reference_is_learned_anew(tmp_path: Path, damage: bytes) -> None:
    Run(tmp_path).learn()
    (tmp_path / "reference" / "c.json").write_bytes(damage)
    run = Run(tmp_path).learn()
    assert run.show(soft(weave(30))) == "blurred"


def test_another_fabric_gets_a_reference_of_its_own_and_the_first_one_keeps_its(tmp_path: Path) -> None:
    run = Run(tmp_path).learn()
    smooth = [weave(seed, level=60, contrast=8) for seed in range(LEARNED + 1)]
    assert {run.show(pixels) for pixels in smooth} == {""}  # far smoother, and not blurred
    assert run.show(soft(weave(40, level=60, contrast=8))) == "blurred"
    for seed in range(STEPS):
        assert run.show(weave(seed)) == ""
    assert run.show(soft(weave(41))) == "blurred"


def test_blur_alone_is_never_taken_for_another_fabric_however_long_it_lasts(tmp_path: Path) -> None:
    run = Run(tmp_path).learn()
    assert {run.show(soft(weave(seed % 10))) for seed in range(100)} == {"blurred"}


def test_focus_is_not_judged_where_it_is_switched_off(tmp_path: Path) -> None:
    run = Run(tmp_path, min_sharpness=0).learn()
    assert run.show(soft(weave(21))) == ""


def test_a_lamp_that_fades_is_a_warning_and_no_other_fabric(tmp_path: Path) -> None:
    run = Run(tmp_path).learn()
    for step in range(100):
        assert run.show(weave(step, level=120 * (1 - 0.003 * step))) == ""  # 30 % in 100 frames
        if step == 15:
            assert run.warnings == set()
    assert run.warnings == {"brightness_drift"}


def test_a_lens_that_creeps_out_of_focus_is_a_warning_before_it_is_blurred(tmp_path: Path) -> None:
    run = Run(tmp_path).learn()
    warned_at = blurred_at = None
    for step in range(160):
        pixels = cv2.GaussianBlur(weave(step % 10), (0, 0), 0.3 + 0.003 * step)
        code = run.show(np.asarray(pixels, np.uint8))
        if warned_at is None and "focus_drift" in run.warnings:
            warned_at = step
        if blurred_at is None and code == "blurred":
            blurred_at = step
    assert warned_at is not None
    assert blurred_at is not None
    assert warned_at < blurred_at


def test_a_seam_and_the_cloth_behind_it_are_not_inspected(tmp_path: Path) -> None:
    run = Run(tmp_path, seam_clear_mm=100.0).learn()
    assert run.show(sewn(weave(20))) == "seam"
    assert [run.show(weave(seed)) for seed in range(4)] == ["seam", "seam", "", ""]  # two frames of 51.2 mm begin in it


def test_the_bands_of_a_plaid_are_its_own_and_a_seam_in_it_stands_out(tmp_path: Path) -> None:
    def plaid(seed: int) -> Pixels:
        pixels = weave(seed)
        pixels[60:120] = np.clip(pixels[60:120].astype(int) - 35, 0, 255)
        return pixels

    run = Run(tmp_path)
    assert {run.show(plaid(seed)) for seed in range(KNOWN + 5)} == {""}
    pixels = plaid(20)
    pixels[160:200] = 10
    assert run.show(pixels) == "seam"


def test_a_stain_or_a_warp_fault_is_no_seam(tmp_path: Path) -> None:
    run = Run(tmp_path).learn()
    stain, end = weave(20), weave(21)
    stain[50:200, 50:350] //= 3
    end[:, 200:204] = 0
    assert [run.show(stain), run.show(end)] == ["", ""]


def test_seams_are_not_judged_where_they_are_switched_off(tmp_path: Path) -> None:
    assert Run(tmp_path, seam_level=0).learn().show(sewn(weave(20))) == ""


@pytest.mark.parametrize(
    ("limits", "code"),
    [((0, 0), ""), ((70, 90), ""), ((80, 80), ""), ((81, 0), "width_out_of_range"), ((0, 79), "width_out_of_range")],
)
def test_fabric_that_is_not_as_wide_as_it_should_be_is_not_inspected(tmp_path: Path, limits, code: str) -> None:
    run = Run(tmp_path, width_min_mm=limits[0], width_max_mm=limits[1])
    assert run.show(weave()) == code  # 80 mm


def test_light_comes_before_fabric_and_fabric_before_the_rest(tmp_path: Path) -> None:
    run = Run(tmp_path, width_min_mm=1000)
    assert run.show(np.zeros((LINES, WIDTH), np.uint8), None) == "too_dark"
    assert run.show(np.full((LINES, WIDTH), 255, np.uint8), None) == "saturated"
    assert run.show(np.full((LINES, WIDTH), 100, np.uint8), None) == "no_fabric"
    assert run.show(weave()) == "width_out_of_range"


# --- the lens ------------------------------------------------------------------------------------------------------

FRAMES = 60  # 3 m


def dusty(pixels: Pixels, column: int) -> Pixels:
    pixels = pixels.copy()
    pixels[:, column : column + 5] = (pixels[:, column : column + 5] * 0.8).astype(np.uint8)
    return pixels


def test_dust_that_falls_on_the_lens_is_a_warning_with_its_column(tmp_path: Path) -> None:
    run = Run(tmp_path).learn()
    for seed in range(FRAMES):
        run.show(weave(seed))
    assert run.warnings == set()
    for seed in range(FRAMES):
        assert run.show(dusty(weave(seed), 250)) == ""
    (warning,) = run.gates.judge(dusty(weave(), 250), (0, WIDTH), position_mm=run.position_mm)[1]
    assert warning.startswith("dirty_lens: camera column 25")


def wandering(seed: int) -> int:
    return 40 + round(15 * np.sin(seed / 5))


def on_a_table(fabric: Pixels, left: int) -> tuple[Pixels, tuple[int, int]]:
    pixels = np.full((fabric.shape[0], WIDTH + 100), 20, np.uint8)
    pixels[:, left : left + WIDTH] = fabric
    return pixels, (left, left + WIDTH)


def test_dust_that_was_there_from_the_start_is_told_from_the_fabric_when_that_wanders(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for seed in range(FRAMES):
        pixels, edges = on_a_table(weave(seed), wandering(seed))
        run.show(dusty(pixels, 250), edges)
    assert run.warnings == {"dirty_lens"}


def test_a_stripe_of_the_fabric_that_wanders_with_it_is_no_dirt(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for seed in range(FRAMES):
        run.show(*on_a_table(dusty(weave(seed), 200), wandering(seed)))
        assert run.warnings == set()


def test_stripes_of_a_fabric_that_runs_straight_are_no_dirt(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for seed in range(FRAMES):
        run.show(dusty(dusty(weave(seed), 100), 300))
        assert run.warnings == set()


def test_defects_here_and_there_are_no_dirt(tmp_path: Path) -> None:
    run = Run(tmp_path).learn()
    rng = np.random.default_rng(0)
    for seed in range(FRAMES):
        pixels = weave(seed)
        if seed % 3 == 0:
            column = int(rng.integers(0, WIDTH - 30))
            pixels[:, column : column + 20] = 10
        run.show(pixels)
        assert run.warnings == set()
