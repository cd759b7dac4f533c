"""Frames from files through the model, without a line around them."""

import time
from pathlib import Path
from typing import Any

from cras_core.scoring import Scorer
from inference_worker import pictures
from inference_worker.inspect import report_frame, score_frame
from ingest.edges import find_edges
from inspection.errors import ImageError, SourceError
from inspection.pictures import PICTURE_SUFFIXES, read_picture
from inspection.tiling import cut
from inspection.types import Defect, Frame, FrameHeader

BATCH = 32
MERGE_MM = 10.0


def find_frames(path: Path) -> list[Path]:
    """The picture itself, or all of a folder's, folders in it included. Raises `SourceError` when there is none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SourceError(f"{path} does not exist: name a picture or a folder of pictures")
    found = sorted(each for each in path.rglob("*") if each.suffix.lower() in PICTURE_SUFFIXES and each.is_file())
    if not found:
        raise SourceError(f"{path} holds no pictures: name a picture or a folder of pictures")
    return found


def inspect_file(
    scorer: Scorer, path: Path, *, root: Path, out: Path, style: str, mm_per_px: float, overlap_px: int
) -> dict[str, Any]:
    """Writes one overlay under `out`, at the frame's place under `root`. -> the row of results.jsonl.

    Raises `ImageError` for a frame that cannot be read or holds less fabric than a tile.
    """
    pixels = read_picture(path)
    edges = find_edges(pixels)
    if edges is None:
        raise ImageError(f"{path}: no fabric found in the frame: check the picture")
    header = FrameHeader(
        line="",
        camera="",
        session="",
        sequence=0,
        origin=str(path),
        captured_at_ns=time.time_ns(),
        position_mm=0.0,
        mm_per_px=mm_per_px,
        height_px=pixels.shape[0],
        width_px=pixels.shape[1],
        fabric_left_px=edges[0],
        fabric_right_px=edges[1],
        x_offset_mm=0.0,
        exposure_us=0.0,
        gain=0.0,
        quality_flags=(),
    )
    try:
        tiled = cut(Frame(header=header, pixels=pixels), tile_px=scorer.tile_px, overlap_px=overlap_px)
    except ImageError as error:
        raise ImageError(f"{path}: the fabric in columns {edges[0]} to {edges[1]}: {error}") from error
    scored = score_frame(scorer, tiled, style=style, batch_size=BATCH, received_at_ns=time.time_ns())
    inspected = report_frame(scored, merge_mm=MERGE_MM)
    report = inspected.report
    whole = pictures.to_rgb(pixels).copy()
    whole[:, edges[0] : edges[1]] = pictures.overlay(
        inspected.fabric(), inspected.ratios, report.defects, left_px=edges[0]
    )
    place = path.relative_to(root) if root.is_dir() else Path(path.name)
    target = out / place.parent / f"{place.stem}_overlay.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(pictures.encode(whole, suffix=".png"))
    return {
        "file": str(path),
        "overlay": str(target),
        "style": report.style,
        "score": float(report.tile_scores.max()),
        "threshold": report.threshold,
        "tiles": len(report.tile_scores),
        "fabric_px": list(edges),
        "mm_per_px": mm_per_px,
        "defects": [_row(defect) for defect in report.defects],
    }


def _row(defect: Defect) -> dict[str, Any]:
    mm = (defect.x0_mm, defect.y0_mm, defect.x1_mm, defect.y1_mm)
    return {
        "box_px": [defect.x0_px, defect.y0_px, defect.x1_px, defect.y1_px],
        "box_mm": [round(value, 3) for value in mm],
        "area_px": defect.area_px,
        "area_mm2": round(defect.area_mm2, 3),
        "score": defect.score,
        "threshold": defect.threshold,
        "style": defect.style,
    }
