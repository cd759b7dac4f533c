"""Two cameras side by side that see some of the same cloth, all the way to the database."""

import threading
from pathlib import Path

import cv2
import pytest

from ingest.service import run_ingest
from ingest.simulator import normal_frames
from inspection.settings import CameraSettings, IngestSettings, StoreSettings, load
from storage.database import Database
from storage.tables import FragmentRow, FrameRow
from tests.integration.inference_worker.test_worker import rows, working
from tests.plain_line import MM_PER_PX, SEED

pytestmark = pytest.mark.integration

MARGIN_PX = 45  # of background beside the simulated cloth
LEFT_END, RIGHT_START = 700, 400  # columns of the whole picture: 300 px = 60 mm are seen by both
DEFECT_X, DEFECT_Y, DEFECT_PX = 600, 240, 30  # there, and nearer to the right camera


@pytest.mark.parametrize(("overlap_mm", "found"), [(60.0, ["right"]), (0.0, ["left", "right"])])
def test_a_defect_where_two_cameras_overlap_is_found_once_when_the_overlap_is_declared(
    line_store: StoreSettings, line_database: Database, tmp_path: Path, overlap_mm: float, found: list[str]
) -> None:
    (whole,) = normal_frames("plain", seed=SEED, length_m=512 * MM_PER_PX / 1000, frame_lines=512, mm_per_px=MM_PER_PX)
    whole[DEFECT_Y : DEFECT_Y + DEFECT_PX, DEFECT_X : DEFECT_X + DEFECT_PX] = 10
    views = {"left": whole[:, :LEFT_END], "right": whole[:, RIGHT_START:]}
    for name, pixels in views.items():
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "0.png"), pixels[:, :, ::-1])
    offset_mm = (RIGHT_START - MARGIN_PX) * MM_PER_PX
    left = CameraSettings(name="left", source=str(tmp_path / "left"), mm_per_px=MM_PER_PX, overlap_right_mm=overlap_mm)
    right = CameraSettings(
        name="right",
        source=str(tmp_path / "right"),
        mm_per_px=MM_PER_PX,
        x_offset_mm=offset_mm,
        overlap_left_mm=overlap_mm,
    )
    settings = load(
        IngestSettings,
        cameras=(left, right),
        endpoint=f"ipc://{tmp_path / 'i.ipc'}",
        spool_dir=tmp_path / "spool",
        tile_px=256,
    )
    with working(line_store, settings.endpoint):
        run_ingest(settings, threading.Event())
    fragments = [row for row in rows(line_database, FragmentRow) if row.y0_mm < (DEFECT_Y + DEFECT_PX) * MM_PER_PX]
    middle_mm = (DEFECT_X + DEFECT_PX / 2 - MARGIN_PX) * MM_PER_PX
    there = [row for row in fragments if row.x0_mm - 2 <= middle_mm <= row.x1_mm + 2]
    assert sorted(row.camera for row in there) == found
    for row in there:
        assert (row.x0_mm + row.x1_mm) / 2 == pytest.approx(middle_mm, abs=2.0)
    frames = {row.camera: row for row in rows(line_database, FrameRow)}
    if overlap_mm:  # one camera's share begins where the other's ends, but for where the cloth's own edge was found
        left_end_mm = frames["left"].x_offset_mm + frames["left"].fabric_width_mm
        assert frames["right"].x_offset_mm == pytest.approx(left_end_mm, abs=2.0)
