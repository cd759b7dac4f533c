"""What a demo runs: the normal fabric it learns from and the rolls it then watches, simulated or from real frames."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ingest.simulator import normal_frames
from inspection.errors import SourceError
from inspection.pictures import PICTURE_SUFFIXES, read_picture
from inspection.settings import CameraSettings
from inspection.types import Pixels

SIM_STYLES = ("plain", "twill", "plaid")
SIM_SEED = 7
SIM_SPEED_M_MIN = 6.0
SIM_ROLL_M = 8.0  # a roll's length; the next style follows
SIM_NORMAL_M = 2.4  # normal fabric to learn from and to set thresholds by, a style
FRAME_LINES = 512
# Ready to watch in a minute or two on cores that it shares: the fastest backbone, thresholds from one held-out half
# instead of each part in turn
QUICK = {"backbone": "efficientnet_lite0", "calibration": "holdout", "calibration_folds": 2, "steps": 300}
# A few real frames are there to see what it sees: less than one false alarm a strip of 50 mm. A line that runs for days
# keeps the method's own, far rarer rate.
SENSITIVE = {"backbone": "efficientnet_lite0", "false_alarms_per_100m": 1500.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalFrame:
    """One frame of normal fabric; `roll_group` names what was captured together."""

    name: str
    style: str
    roll_group: str
    pixels: Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRoll:
    """One roll to watch."""

    name: str
    style: str
    cameras: tuple[CameraSettings, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`rolls(seconds)`: rolls for that long (0: without end); real frames run once, whatever the time."""

    styles: tuple[str, ...]
    normals: Callable[[], Iterator[NormalFrame]]
    rolls: Callable[[float], Iterator[DemoRoll]]
    mm_per_px: float
    training: Mapping[str, object]  # settings of the method that differ from its defaults


def simulated(*, mm_per_px: float) -> Plan:
    """Three woven styles in turn, two cameras side by side, in real time."""

    def normals() -> Iterator[NormalFrame]:
        for style in SIM_STYLES:
            frames = normal_frames(
                style, seed=SIM_SEED, length_m=SIM_NORMAL_M, frame_lines=FRAME_LINES, mm_per_px=mm_per_px
            )
            for number, pixels in enumerate(frames):
                name = f"{style}-{number:03d}"
                yield NormalFrame(name=name, style=style, roll_group=name, pixels=pixels)

    def rolls(seconds: float) -> Iterator[DemoRoll]:
        left_m = seconds * SIM_SPEED_M_MIN / 60 if seconds else float("inf")
        number = 0
        while left_m > 1e-9:
            length_m = min(SIM_ROLL_M, left_m)
            left_m -= length_m
            style = SIM_STYLES[number % len(SIM_STYLES)]
            cameras = tuple(
                CameraSettings(
                    name=f"camera-{camera + 1}",
                    source=f"sim://{style}?seed={SIM_SEED}&speed_m_min={SIM_SPEED_M_MIN:g}&length_m={length_m:.4f}"
                    f"&start_m={100 + 20 * number + 5000 * camera}",
                    mm_per_px=mm_per_px,
                    frame_lines=FRAME_LINES,
                    x_offset_mm=200.0 * camera,
                )
                for camera in range(2)
            )
            yield DemoRoll(name=f"{style}-{number + 1}", style=style, cameras=cameras)
            number += 1

    return Plan(styles=SIM_STYLES, normals=normals, rolls=rolls, mm_per_px=mm_per_px, training=QUICK)


def from_folder(folder: Path, *, mm_per_px: float) -> Plan:
    """STYLE/good/* to learn from, STYLE/defect/* to run, one roll a style. Raises `SourceError`."""
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder: give one that holds STYLE/good and STYLE/defect")
    styles = tuple(
        sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    )
    if not styles:
        raise SourceError(f"{folder} holds no style: expected STYLE/good and STYLE/defect folders in it")
    for style in styles:
        for part in ("good", "defect"):
            if not pictures_of(folder / style / part):
                raise SourceError(
                    f"{folder / style / part} holds no pictures: put {part} frames there, or move {style} away"
                )

    def normals() -> Iterator[NormalFrame]:
        for style in styles:
            for path in pictures_of(folder / style / "good"):
                yield NormalFrame(name=str(path), style=style, roll_group=path.stem, pixels=read_picture(path))

    def rolls(_seconds: float) -> Iterator[DemoRoll]:
        for style in styles:
            camera = CameraSettings(name="camera-1", source=str(folder / style / "defect"), mm_per_px=mm_per_px)
            yield DemoRoll(name=style, style=style, cameras=(camera,))

    return Plan(styles=styles, normals=normals, rolls=rolls, mm_per_px=mm_per_px, training=SENSITIVE)


def pictures_of(folder: Path) -> list[Path]:
    """The picture files of a folder, by name; none when there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
