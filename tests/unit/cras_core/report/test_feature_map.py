"""Feature maps: bounded, repeatable, and of the vectors they say."""

import numpy as np
import torch

from cras_core.dataset import read_layout
from cras_core.pictures import read_picture
from cras_core.report import feature_map
from cras_core.report.feature_map import FeatureMapper

CPU = torch.device("cpu")


def test_the_sample_is_bounded_and_repeatable(small_bundle, make_data_set, monkeypatch):
    monkeypatch.setattr(feature_map, "VECTORS", 80)
    layout = read_layout(make_data_set(), need_test=True)
    mapper = FeatureMapper(small_bundle, device=CPU)
    first, again = (mapper.lay_out(layout, setting="multi") for _ in range(2))
    assert first.names == ("canvas", "denim")
    assert first.raw.shape == first.residual.shape == (80, 2)
    assert [((first.classes == index) & first.anomalous).sum() for index in (0, 1)] == [20, 20]
    assert np.isfinite(first.raw).all()
    assert np.array_equal(first.raw, again.raw)
    assert np.array_equal(first.residual, again.residual)


def test_vectors_are_those_of_the_heads_and_defects_come_from_inside_the_mask(
    small_bundle, small_model, make_data_set, monkeypatch
):
    monkeypatch.setattr(feature_map, "PICTURES", 1)
    folder = read_layout(make_data_set(), need_test=True).classes["denim"]
    mapper = FeatureMapper(small_bundle, device=CPU)
    for kind, count in ((False, 64), (True, 12)):  # of 8 x 8; the stain covers 2 x 3 squares and half of 6 more
        raw, residual = mapper._vectors(folder, anomalous=kind, setting="single", random=np.random.default_rng(0))
        assert raw.shape[0] == residual.shape[0] == count
    tile = read_picture(folder.test[0].path)[None]
    u, c = mapper._recomposed(tile, "denim")
    heads = small_model.heads
    with torch.inference_mode():
        wanted = heads.adapt(mapper._extractor.extract(tile))
        center = heads.recompose(wanted, torch.tensor([heads.styles.index("denim")]))
    assert torch.allclose(u, wanted, atol=1e-4)
    assert torch.allclose(c, center, atol=1e-4)


def test_too_few_vectors_make_no_map(small_bundle, make_data_set, monkeypatch):
    monkeypatch.setattr(feature_map, "VECTORS", 4)
    layout = read_layout(make_data_set(), need_test=True)
    assert FeatureMapper(small_bundle, device=CPU).lay_out(layout, setting="multi") is None


def test_a_square_is_defect_from_a_quarter_on():
    mask = np.zeros((64, 64), np.bool_)
    mask[:2, :8] = True  # 16 of the first square's 64 px
    mask[:2, 8:15] = True  # 14 of the next one's
    assert np.flatnonzero(feature_map._grid(mask, 8)).tolist() == [0]


def test_vectors_that_are_all_the_same_have_one_place():
    assert not feature_map._places(np.ones((20, 5), np.float32), seed=0).any()
