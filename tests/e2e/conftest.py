"""A small model for the simulator's plain weave, trained once for all whole-process tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cras_core.bundle import save_bundle
from cras_core.config import CrasConfig
from cras_core.features import NormalSample
from cras_core.training import train
from ingest.edges import find_edges
from ingest.simulator import normal_frames
from inspection.settings import StoreSettings, load
from storage import registry
from storage.database import Database, open_database, upgrade

MM_PER_PX = 0.2


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = []
    for number, pixels in enumerate(normal_frames("plain", seed=7, length_m=0.8, frame_lines=256, mm_per_px=MM_PER_PX)):
        left, right = find_edges(pixels)
        fabric = pixels[:, left:right]
        samples.append(NormalSample.from_pixels(fabric, style="plain", group=f"frame-{number}"))
    model = train(samples, CrasConfig(epochs=6, calibration="holdout"), device=torch.device("cpu"))
    folder = tmp_path_factory.mktemp("bundles") / "plain"
    save_bundle(model, folder, name="plain", provenance={}, metrics={})
    return folder


@pytest.fixture
def store(tmp_path: Path) -> StoreSettings:
    return load(StoreSettings, data_dir=tmp_path / "line", database_url="", redis_url="", pictures_url="")


@pytest.fixture
def database(store: StoreSettings, bundle: Path) -> Iterator[Database]:
    """A database whose promoted model knows the plain weave."""
    store.data_dir.mkdir()
    upgrade(store.database)
    database = open_database(store.database)
    model = registry.import_bundle(database, bundle, store.models_dir, source="imported", by="test")
    registry.promote(database, model.name, by="test")
    yield database
    database.close()
