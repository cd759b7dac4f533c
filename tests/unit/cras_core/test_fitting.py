"""The training loop: resumable at every step, its precision, its folder, what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cras_core.backbone import build_backbone
from cras_core.checkpoint import CHECKPOINT, TrainingFolder
from cras_core.config import CrasConfig
from cras_core.errors import CheckpointError, ConfigError, DataSetError
from cras_core.feature_store import FACTS, FEATURES
from cras_core.features import Extractor, Features, extract_features
from cras_core.fitting import pick_precision
from cras_core.training import fit_heads, prepare_heads

from .conftest import normal_samples

CPU = torch.device("cpu")
CONFIG = CrasConfig(
    backbone="efficientnet_lite0", tile_px=64, centers_per_style=3, batch_size=3, epochs=4, vectors_per_tile=5
)


@pytest.fixture(scope="module")
def features() -> Features:
    random = np.random.default_rng(0)
    style_of = np.repeat([0, 1], 4)
    return Features(
        vectors=(random.normal(size=(8, 9, 8)) + 2 * style_of[:, None, None]).astype(np.float16),
        styles=("canvas", "denim"),
        style_of=style_of,
        groups=tuple("abcdefgh"),
        pictures=np.arange(8),
        places=np.zeros((8, 2), np.int64),
        metres=np.ones(8),
        device=CPU,
    )


def learn(features, config=CONFIG, **options):
    heads, losses = fit_heads(features, np.arange(8), config, **options)
    return heads.state_dict(), losses


def test_training_moves_all_of_adapter_and_discriminator_and_nothing_else(features):
    """Statistics, centers and routing stay as they were prepared (eq. 1: of the initial adapter)."""
    start = prepare_heads(features, np.arange(8), CONFIG, generator=torch.Generator().manual_seed(0)).state_dict()
    learned, _ = learn(features)
    moved = {name for name, value in start.items() if not torch.equal(value, learned[name])}
    assert {name.split(".")[0] for name in moved} == {"adapter", "discriminator"}
    assert moved == {name for name in start if name.split(".")[0] in ("adapter", "discriminator")}


@pytest.mark.parametrize("averaging", [0.0, 0.7])
@pytest.mark.parametrize("stop_after", [1, 3, 7, 12])
def test_a_fit_resumed_from_any_step_ends_with_the_same_bits(features, tmp_path, averaging, stop_after):
    config = replace(CONFIG, averaging=averaging)
    folder = TrainingFolder.begin(tmp_path / "work", resume=False)
    steps = []

    def keep(fit):
        steps.append(fit.loss)
        if len(steps) == stop_after:
            folder.save(run=2, state=fit.state(), facts={"seed": 0})

    whole, losses = learn(features, config, keep=keep)
    run, state = folder.load({"seed": 0})
    again, same = learn(features, config, state=state)
    assert (run, len(steps)) == (2, 12)
    assert losses == same
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_features_may_lie_in_a_mapped_file_without_changing_a_bit(features, tmp_path):
    features.vectors.tofile(tmp_path / "f16")
    mapped = replace(features, vectors=np.memmap(tmp_path / "f16", np.float16, "r", shape=features.vectors.shape))
    for config in (CONFIG, replace(CONFIG, vectors_per_tile=0)):
        (kept, _), (filed, _) = learn(features, config), learn(mapped, config)
        assert all(torch.equal(kept[name], filed[name]) for name in kept)


def test_mixed_precision_computes_in_bfloat16_and_learns_nearly_the_same(features):
    exact, losses = learn(features)
    mixed, close = learn(features, precision="bfloat16")
    assert close != losses
    np.testing.assert_allclose(close, losses, rtol=0.05)
    assert {value.dtype for value in mixed.values()} == {value.dtype for value in exact.values()}


def test_a_precision_is_named_or_chosen_by_the_device():
    assert pick_precision("auto", CPU) == "float32"
    assert pick_precision("bfloat16", CPU) == "bfloat16"
    with pytest.raises(ConfigError, match="precision must be auto, float32 or bfloat16, got 'float16'"):
        pick_precision("float16", CPU)


def test_progress_is_told_after_every_step(features):
    told = []
    _, losses = learn(features, report=lambda *each: told.append(each))
    assert [round(3 * passes) for passes, _, _ in told] == list(range(1, 13))
    assert {epochs for _, epochs, _ in told} == {4}
    assert [loss for passes, _, loss in told if passes.is_integer()] == losses


def test_a_training_that_diverges_says_so_before_it_is_kept(features):
    kept = []
    with pytest.raises(DataSetError, match="training diverged in epoch 1: lower the learning rates"):
        learn(features, replace(CONFIG, adapter_rate=1e38), keep=lambda fit: kept.append(fit.loss))
    assert np.isfinite(kept).all()


@pytest.mark.parametrize("change", [lambda data: data[:-9], lambda data: b"no checkpoint", lambda data: b""])
def test_a_damaged_checkpoint_is_refused_and_named(features, tmp_path, change):
    folder = TrainingFolder.begin(tmp_path / "work", resume=False)
    learn(features, keep=lambda fit: folder.save(run=0, state=fit.state(), facts={}))
    path = folder.path / CHECKPOINT
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"checkpoint.safetensors is damaged or no checkpoint: remove"):
        folder.load({})


def test_a_checkpoint_of_another_training_is_refused_with_both_values(features, tmp_path):
    folder = TrainingFolder.begin(tmp_path / "work", resume=False)
    folder.save(run=0, state={"a": torch.zeros(1)}, facts={"levels": (2, 3), "pictures": "old"})
    assert folder.load({"levels": [2, 3], "pictures": "old"}) is not None
    with pytest.raises(CheckpointError, match=r'begun with pictures "old", not "new"'):
        folder.load({"levels": (2, 3), "pictures": "new"})


def test_a_folder_is_not_taken_over_and_one_that_cannot_be_made_is_named(tmp_path):
    TrainingFolder.begin(tmp_path / "work", resume=True)
    TrainingFolder.begin(tmp_path / "work", resume=True)
    with pytest.raises(CheckpointError, match="holds an unfinished training: go on with it"):
        TrainingFolder.begin(tmp_path / "work", resume=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot make"):
        TrainingFolder.begin(tmp_path / "file" / "work", resume=False)


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return Extractor(build_backbone("efficientnet_lite0", levels=(2, 3)), CONFIG, device=CPU)


def extract(extractor, folder, *, samples=None, limit=10**9):
    samples = normal_samples(count=10) if samples is None else samples
    return extract_features(samples, extractor, CONFIG, progress=lambda _: None, folder=folder, in_memory_bytes=limit)


def test_features_in_a_training_folder_are_extracted_once(extractor, tmp_path, monkeypatch):
    folder = TrainingFolder.begin(tmp_path / "work", resume=False)
    fresh = extract(extractor, folder)
    loose = extract(extractor, None)
    monkeypatch.setattr(extractor, "extract", lambda _: pytest.fail("the backbone was asked again"))
    again, mapped = extract(extractor, folder), extract(extractor, folder, limit=1000)
    for other in (loose, again, mapped):
        np.testing.assert_array_equal(other.vectors, fresh.vectors)
        assert (other.digest, other.groups) == (fresh.digest, fresh.groups)
    assert isinstance(mapped.vectors, np.memmap)
    assert not isinstance(again.vectors, np.memmap)


def test_features_of_other_pictures_or_damaged_ones_are_refused(extractor, tmp_path):
    folder = TrainingFolder.begin(tmp_path / "work", resume=False)
    extract(extractor, folder)
    with pytest.raises(CheckpointError, match="begun with other pictures, or another backbone"):
        extract(extractor, folder, samples=normal_samples(count=9))
    (folder.path / FEATURES).write_bytes(b"short")
    with pytest.raises(CheckpointError, match=r"features.f16 is damaged: remove"):
        extract(extractor, folder)
    (folder.path / FACTS).write_text("{")
    with pytest.raises(CheckpointError, match=r"features.json is damaged: remove"):
        extract(extractor, folder)


def test_features_half_written_are_extracted_anew(extractor, tmp_path):
    folder = TrainingFolder.begin(tmp_path / "work", resume=False)
    (folder.path / FEATURES).write_bytes(b"x" * 10_000_000)
    np.testing.assert_array_equal(extract(extractor, folder).vectors, extract(extractor, None).vectors)
