"""What a worker stores, made to order: reports with defects and crops, gaps, and bundles that need no training."""

import hashlib
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inspection.types import Capture, Defect, FrameHeader, FrameReport, Gap

LINE, CAMERA, SESSION = "line-1", "camera-1", "session-1"
START = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)
TILE_PX, HEIGHT_PX, FABRIC_PX, LEFT_PX = 64, 128, 512, 10
MM_PER_PX = 0.25
LENGTH_MM = HEIGHT_PX * MM_PER_PX


def at(minutes: float) -> datetime:
    """So long after the start of all records."""
    return START + timedelta(minutes=minutes)


def nanoseconds(time: datetime) -> int:
    return round(time.timestamp() * 1e6) * 1000


def make_header(sequence: int = 0, *, captured_at: datetime = START, **changes: Any) -> FrameHeader:
    values: dict[str, Any] = {
        "line": LINE,
        "camera": CAMERA,
        "session": SESSION,
        "sequence": sequence,
        "origin": "",
        "captured_at_ns": nanoseconds(captured_at),
        "position_mm": sequence * LENGTH_MM,
        "mm_per_px": MM_PER_PX,
        "height_px": HEIGHT_PX,
        "width_px": FABRIC_PX + 2 * LEFT_PX,
        "fabric_left_px": LEFT_PX,
        "fabric_right_px": LEFT_PX + FABRIC_PX,
        "x_offset_mm": 0.0,
        "exposure_us": 0.0,
        "gain": 0.0,
        "quality_flags": (),
    }
    return FrameHeader(**(values | changes))


def make_defect(x_px: int = 100, y_px: int = 40, *, size_px: int = 8, style: str = "twill", **changes: Any) -> Defect:
    values: dict[str, Any] = {
        "x0_mm": (x_px - LEFT_PX) * MM_PER_PX,
        "x1_mm": (x_px + size_px - LEFT_PX) * MM_PER_PX,
        "y0_mm": y_px * MM_PER_PX,
        "y1_mm": (y_px + size_px) * MM_PER_PX,
        "x0_px": x_px,
        "x1_px": x_px + size_px,
        "y0_px": y_px,
        "y1_px": y_px + size_px,
        "area_mm2": size_px**2 * MM_PER_PX**2,
        "area_px": size_px**2,
        "score": 0.9,
        "threshold": 0.5,
        "style": style,
        "mask": np.ones((size_px, size_px), np.bool_),
    }
    return Defect(**(values | changes))


def on_frame(defect: Defect, header: FrameHeader) -> Defect:
    x_mm, y_mm = header.x_offset_mm - header.fabric_left_px * header.mm_per_px, header.position_mm
    return replace(
        defect,
        x0_mm=x_mm + defect.x0_px * header.mm_per_px,
        x1_mm=x_mm + defect.x1_px * header.mm_per_px,
        y0_mm=y_mm + defect.y0_px * header.mm_per_px,
        y1_mm=y_mm + defect.y1_px * header.mm_per_px,
    )


def make_report(
    sequence: int = 0,
    *,
    captured_at: datetime = START,
    defects: tuple[Defect, ...] = (),
    crops: tuple[tuple[bytes, bytes], ...] | None = None,
    style: str = "twill",
    header: FrameHeader | None = None,
    **changes: Any,
) -> FrameReport:
    """16 tiles. Defects lie on the cloth where their pixels lie on the frame. Crops are noise unless given."""
    header = header or make_header(sequence, captured_at=captured_at)
    defects = tuple(on_frame(defect, header) for defect in defects)
    values: dict[str, Any] = {
        "header": header,
        "model": "first",
        "style": style,
        "tile_px": TILE_PX,
        "overlap_px": 0,
        "tile_scores": np.linspace(0, 0.9, 16, dtype=np.float32),
        "score_grid": np.arange(12, dtype=np.float32).reshape(3, 4),
        "threshold": 0.5,
        "received_at_ns": header.captured_at_ns + 1_000_000,
        "scored_at_ns": header.captured_at_ns + 21_000_000,
        "defects": defects,
        "crops": tuple((make_png(index), make_png(index)) for index in range(len(defects))) if crops is None else crops,
    }
    return FrameReport(**(values | changes))


def make_gap(sequence: int = 0, *, captured_at: datetime = START, length_mm: float = LENGTH_MM, **changes: Any) -> Gap:
    values: dict[str, Any] = {
        "line": LINE,
        "camera": CAMERA,
        "session": SESSION,
        "sequence": sequence,
        "captured_at_ns": nanoseconds(captured_at),
        "position_from_mm": sequence * LENGTH_MM,
        "position_to_mm": sequence * LENGTH_MM + length_mm,
        "reason": "too_dark",
    }
    return Gap(**(values | changes))


def make_capture(frames: int, *, ended: bool = False) -> Capture:
    return Capture(
        line=LINE,
        camera=CAMERA,
        session=SESSION,
        frames=frames,
        captured_mm=frames * LENGTH_MM,
        started_at_ns=nanoseconds(START),
        ended=ended,
    )


def make_png(seed: int = 0, *, size_px: int = TILE_PX, period_px: float = 8.0) -> bytes:
    """Striped cloth with noise, grey."""
    columns = np.arange(size_px)[None, :]
    cloth = 128 + 60 * np.sin(2 * np.pi * columns / period_px)
    noise = np.random.default_rng(seed).normal(0, 8, (size_px, size_px))
    return encode_png((cloth + noise).clip(0, 255).astype(np.uint8))


def encode_png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def make_bundle(folder: Path, name: str = "first", *, weights: bytes = b"weights", **changes: Any) -> Path:
    """A bundle's two files with right checksums; its weights are no model."""
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(weights)
    manifest: dict[str, Any] = {
        "format_version": 2,
        "name": name,
        "config": {},
        "backbone": {"name": "efficientnet_lite0", "sha256": "", "weights_file": ""},
        "tile_px": TILE_PX,
        "mm_per_px": MM_PER_PX,
        "styles": {"twill": {"threshold": 0.5}},
        "metrics": {},
        "provenance": {},
        "files": {"weights.safetensors": hashlib.sha256(weights).hexdigest()},
        "manifest_sha256": "",
        **changes,
    }
    manifest["manifest_sha256"] = hashlib.sha256(_encode(manifest)).hexdigest()
    (folder / "manifest.json").write_bytes(_encode(manifest))
    return folder


def _encode(manifest: dict[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2) + "\n").encode()
