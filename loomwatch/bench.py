"""Figures of speed: the model alone, and the whole line with real processes, as fast as it goes."""

import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cras_core.scoring import Scorer
from ingest.simulator import normal_frames
from inspection.errors import SettingsError
from inspection.settings import CameraSettings, StoreSettings, load
from inspection.tiling import cut_image
from loomwatch.figures import figures_since
from loomwatch.machine import Machine
from storage import registry
from storage.database import open_database, upgrade

LINE = "bench"


def time_scorer(scorer: Scorer, *, tiles: int, batch_size: int, runs: int) -> dict[str, Any]:
    """Tiles a second over `runs` runs, on simulated cloth."""
    frame = normal_frames("plain", seed=0, length_m=0.2, frame_lines=1024, mm_per_px=0.2)[0]
    few = cut_image(frame, tile_px=min(scorer.tile_px, *frame.shape[:2]), overlap_px=0)
    if few.shape[1] != scorer.tile_px:
        raise SettingsError(f"the bundle's tile of {scorer.tile_px} px is larger than the simulated frame")
    work = np.resize(few, (tiles, *few.shape[1:]))
    speeds = []
    for run in range(runs + 1):
        started = time.perf_counter()
        for start in range(0, tiles, batch_size):
            scorer.score(work[start : start + batch_size], style="")
        if run:
            speeds.append(tiles / (time.perf_counter() - started))
    return {
        "tiles_per_s_median": statistics.median(speeds),
        "tiles_per_s_min": min(speeds),
        "tiles_per_s_max": max(speeds),
        "tiles": tiles,
        "batch_size": batch_size,
        "runs": runs,
    }


def time_pipeline(bundle: Path, *, metres: float, style: str) -> dict[str, Any]:
    """One camera of simulated cloth through real processes, in a temporary data folder."""
    with tempfile.TemporaryDirectory(prefix="loomwatch-bench-") as place:
        store = load(StoreSettings, data_dir=Path(place), database_url="", redis_url="", pictures_url="")
        upgrade(store.database)
        database = open_database(store.database)
        model = registry.import_bundle(database, bundle, store.models_dir, source="imported", by="bench")
        registry.promote(database, model.name, by="bench")
        camera = CameraSettings(
            name="camera-1",
            source=f"sim://{style}?speed_m_min=0&length_m={metres:g}",
            mm_per_px=model.manifest["mm_per_px"],
        )
        stop = threading.Event()
        with Machine(store, dashboard=None, cameras=False) as machine:
            machine.wait_for_worker(stop)
            start = datetime.now(UTC)
            machine.run_cameras([camera], line=LINE, tile_px=model.manifest["tile_px"], stop=stop)
            machine.check()
        figures = figures_since(database, start)
        database.close()
    return {
        "frames": figures.frames,
        "tiles": figures.tiles,
        "tiles_per_s": figures.tiles_per_s,
        "metres_per_min": figures.tiles_per_s / figures.tiles * figures.inspected_mm / 1000 * 60
        if figures.tiles
        else 0.0,
        "latency_p50_ms": figures.latency_p50_ms,
        "latency_p95_ms": figures.latency_p95_ms,
    }
