"""The folded scoring graph against the paper's graph drawn plainly, patch by patch."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import timm
import torch
import torchvision
from scipy.ndimage import gaussian_filter

from cras_core.backbone import build_backbone
from cras_core.backbone_networks import BUILDERS
from cras_core.bundle import read_tiles
from cras_core.config import ABLATIONS, CrasConfig
from cras_core.features import Extractor, NormalSample
from cras_core.graph import ROUTE, ScoringGraph
from cras_core.heads import Heads
from cras_core.parity import with_defects
from cras_core.reference import PlainGraph, smooth
from cras_core.score_map import patch_scores
from cras_core.scoring import Scorer
from cras_core.training import train
from cras_core.winograd import with_winograd

from .conftest import weave

CPU = torch.device("cpu")
TILE = 64


@pytest.fixture(scope="module")
def backbones(tmp_path_factory):
    """Both forms of a backbone, folded and as trained; weights that no package brings are drawn at random."""
    place = tmp_path_factory.mktemp("weights")
    drawn = {
        "wide_resnet50_2": torchvision.models.wide_resnet50_2,
        "timm:resnet18": partial(timm.create_model, "resnet18"),
    }

    @cache
    def get(name, levels):
        weights = None
        if name in drawn:
            weights = place / f"{name.partition(':')[2] or name}.pth"
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model = drawn[name]()
                for module in model.modules():
                    if isinstance(module, torch.nn.BatchNorm2d):
                        module.running_mean.normal_(std=0.1)
                        module.running_var.uniform_(0.5, 1.5)
            torch.save(model.state_dict(), weights)
        return [build_backbone(name, levels=levels, weights=weights, folded=folded) for folded in (True, False)]

    return get


def graphs(config, backbones):
    """Both graphs of one model whose constants and statistics are all away from their start."""
    folded_backbone, plain_backbone = backbones(config.backbone, config.levels)
    extractor = Extractor(folded_backbone, config, device=CPU)
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
    return folded, PlainGraph(plain_backbone, extractor.embedding, heads)


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
        for graph in (folded, with_winograd(folded)):  # as it is, and as PyTorch runs it on processors
            for part, whole in zip(graph(tiles, styles), plain(tiles, styles), strict=True):
                torch.testing.assert_close(part, whole, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def assert_equal_scores(scorer, tiles):
    """Of trained heads, whose scores reach far: within 1e-4 on every patch, however high it is."""
    config, folded = scorer.config, scorer.graph
    backbone = build_backbone(config.backbone, levels=config.levels, folded=False)
    plain = PlainGraph(backbone, folded.embedding, scorer.heads)
    tiles, styles = torch.from_numpy(tiles), torch.full((len(tiles),), ROUTE)
    want, expected = plain.logits(tiles, styles)
    want = patch_scores(want, config.score_scale)
    for graph in (folded, with_winograd(folded)):
        levels, routed = graph.embed(graph.start(tiles))
        assert torch.equal(routed, expected)
        found = patch_scores(graph.heads(levels, routed), config.score_scale)
        torch.testing.assert_close(found, want, atol=1e-4, rtol=0)
    return want


def test_the_folded_graph_of_a_trained_bundle_is_the_plain_one(small_scorer, small_bundle):
    tiles = with_defects(read_tiles(small_bundle)[::6]).tiles
    assert assert_equal_scores(small_scorer, tiles).max() > 10


def test_the_folded_graph_is_the_plain_one_at_the_size_that_lines_use(small_config):
    config = replace(small_config, tile_px=256, steps=10, calibration="holdout")
    samples = [
        NormalSample.from_pixels(weave(style, index, height=256, width=256), style=style, group=f"{style}-{index}")
        for style in ("canvas", "denim")
        for index in range(4)
    ]
    model = train(samples, config, device=CPU)
    manifest = {"styles": {style: {"threshold": facts.threshold.value} for style, facts in model.styles.items()}}
    scorer = Scorer(name="large", backbone=model.backbone, heads=model.heads, manifest=manifest, device=CPU)
    assert_equal_scores(scorer, with_defects(model.tiles[:1]).tiles)


@pytest.mark.parametrize("ablation", ["", *ABLATIONS])
@pytest.mark.parametrize("backbone", [*BUILDERS, "timm:resnet18"])
def test_the_folded_graph_is_the_plain_one(backbone, ablation, backbones):
    if backbone == "wide_resnet50_2":
        config = CrasConfig.paper(tile_px=TILE)
    else:
        config = CrasConfig(backbone=backbone, tile_px=TILE, centers_per_style=7)
    assert_equal(*graphs(config.ablated(ablation) if ablation else config, backbones))


@pytest.mark.parametrize(
    "changes",
    [
        {"levels": (1, 2, 3)},
        {"levels": (2,)},
        {"neighbourhood": 1},
        {"neighbourhood": 5},
        {"embedding_dim": 80},
        {"centers": "coreset"},
        {"centers": "position", "routing": "cosine"},
        {"standardize": False, "score_scale": "probability"},
    ],
    ids=str,
)
def test_the_folded_graph_is_the_plain_one_with_other_settings(changes, backbones):
    assert_equal(
        *graphs(CrasConfig(backbone="efficientnet_lite0", tile_px=TILE, centers_per_style=7, **changes), backbones)
    )


def test_the_plain_gaussian_is_scipys():
    maps = torch.randn(2, 1, 40, 50, generator=torch.Generator().manual_seed(0))
    expected = np.stack([gaussian_filter(each[0].numpy(), 4.0) for each in maps])
    np.testing.assert_allclose(smooth(maps, sigma=4.0)[:, 0].numpy(), expected, atol=1e-5)
