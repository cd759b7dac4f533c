"""Figures of speed: the whole line with real processes, as fast as it goes. See `bench_scorer` for the model alone."""

import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspection.settings import CameraSettings, StoreSettings, load
from loomwatch.figures import figures_since
from loomwatch.machine import Machine
from storage import registry
from storage.database import open_database, upgrade

LINE = "bench"


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
        with Machine(store, dashboard=None, cameras=False, try_runtimes=False) as machine:
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
