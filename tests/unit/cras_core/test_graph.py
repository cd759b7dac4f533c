"""The folded scoring graph against the paper's graph drawn plainly, patch by patch."""

import numpy as np
import pytest
import torch
import torchvision
from scipy.ndimage import gaussian_filter

from cras_core.backbone import build_backbone
from cras_core.config import CrasConfig
from cras_core.features import Extractor
from cras_core.graph import ROUTE, ScoringGraph
from cras_core.heads import Heads
from cras_core.reference import PlainGraph, smooth

CPU = torch.device("cpu")
TILE = 64


@pytest.fixture(scope="module")
def wide_resnet(tmp_path_factory):
    """A weights file for the paper's backbone, drawn at random."""
    path = tmp_path_factory.mktemp("weights") / "wide_resnet50_2.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(torchvision.models.wide_resnet50_2(weights=None).state_dict(), path)
    return path


def graphs(config, *, weights=None):
    """Both graphs of one model whose constants and statistics are all away from their start."""
    extractor = Extractor(build_backbone(config.backbone, levels=config.levels, weights=weights), config, device=CPU)
    generator = torch.Generator().manual_seed(3)
    heads = Heads(
        config=config, styles=("a", "b", "c"), dim=extractor.dim, positions=extractor.positions, generator=generator
    )
    x = extractor.extract(pictures())
    heads.standardization.mean[:], heads.standardization.deviation[:] = x.mean((0, 1)), x.std((0, 1)) + 0.1
    with torch.no_grad():
        heads.centers.normal_(generator=generator)
        heads.routing_centers.normal_(generator=generator)
        heads.routing_weights.normal_(generator=generator)
        for norm in (heads.discriminator.first_norm, heads.discriminator.second_norm):
            norm.running_mean.normal_(generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
    heads.eval()
    folded = ScoringGraph(extractor.backbone, extractor.embedding, heads, grids_px=extractor.grids_px).eval()
    return folded, PlainGraph(extractor.backbone, extractor.embedding, heads)


def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, TILE, TILE, 3)).astype(np.uint8)


@torch.inference_mode()
def assert_equal(folded, plain):
    tiles = torch.from_numpy(pictures())
    for styles in (torch.tensor([2, 0, 1]), torch.tensor([ROUTE, 1, ROUTE])):
        levels, routed = folded.embed(folded.start(tiles))
        compared = torch.where(styles == ROUTE, routed, styles)
        want, expected = plain.logits(tiles, styles)
        assert torch.equal(compared, expected)
        torch.testing.assert_close(folded.heads(levels, compared), want, atol=1e-4, rtol=1e-4)
        for tile, style in enumerate(compared):
            own = folded.heads.compare([level[tile : tile + 1] for level in levels], *folded.heads.constants(style))
            torch.testing.assert_close(own, want[tile : tile + 1], atol=1e-4, rtol=1e-4)
        for part, whole in zip(folded(tiles, styles), plain(tiles, styles), strict=True):
            torch.testing.assert_close(part, whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("levels", [(2, 3), (1, 2, 3), (2,)], ids=str)
def test_the_folded_graph_is_the_plain_one_on_efficientnet(levels):
    assert_equal(*graphs(CrasConfig(tile_px=TILE, levels=levels, centers_per_style=7)))


@pytest.mark.parametrize("ablation", ["", "C", "crd-raw+raw"])
def test_the_folded_graph_is_the_plain_one_on_the_papers_recipe(ablation, wide_resnet):
    config = CrasConfig.paper(tile_px=TILE)
    assert_equal(*graphs(config.ablated(ablation) if ablation else config, weights=wide_resnet))


def test_the_plain_gaussian_is_scipys():
    maps = torch.randn(2, 1, 40, 50, generator=torch.Generator().manual_seed(0))
    expected = np.stack([gaussian_filter(each[0].numpy(), 4.0) for each in maps])
    np.testing.assert_allclose(smooth(maps, sigma=4.0)[:, 0].numpy(), expected, atol=1e-5)
