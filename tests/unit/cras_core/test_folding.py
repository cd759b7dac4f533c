"""The folded inference graph gives the plain graph's numbers."""

import pytest
import timm
import torch

from cras_core.backbone import build_backbone, efficientnet_lite0_state
from cras_core.config import ABLATIONS, CrasConfig
from cras_core.embedding import join
from cras_core.folding import FoldedHeads, FoldedRouting
from cras_core.heads import Heads

DIMS, SIDES = (6, 4), (4, 2)


def trained_heads(**changes):
    """Heads with every constant and statistic away from its start."""
    generator = torch.Generator().manual_seed(0)
    config = CrasConfig(centers_per_style=6, **changes)
    dim, positions = sum(DIMS), SIDES[0] ** 2
    heads = Heads(config=config, styles=("a", "b", "c"), dim=dim, positions=positions, generator=generator)
    with torch.no_grad():
        for value in heads.state_dict().values():
            if value.is_floating_point():
                value += 0.3 * torch.randn(value.shape, generator=generator)
        heads.standardization.deviation.uniform_(0.5, 2, generator=generator)
        for norm in (heads.discriminator.first_norm, heads.discriminator.second_norm):
            norm.running_var.uniform_(0.5, 2, generator=generator)
    return heads.eval()


def levels_of(tiles):
    generator = torch.Generator().manual_seed(1)
    sizes = zip(DIMS, SIDES, strict=True)
    levels = [3 * torch.randn(tiles, dim, side, side, generator=generator) for dim, side in sizes]
    return [level + 5 * torch.randn(tiles, level.shape[1], 1, 1, generator=generator) for level in levels]


@pytest.mark.parametrize(
    "changes",
    [
        {"centers": "kmeans", "routing": "discriminant"},
        {"centers": "position", "routing": "cosine"},
        {"centers": "kmeans", "routing": "cosine"},
        *({"centers": "position"} | changes for changes in ABLATIONS.values()),
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_folded_heads_score_and_route_as_the_plain_ones(changes):
    heads = trained_heads(**changes)
    folded, routing = FoldedHeads(heads, dims=DIMS), FoldedRouting(heads, dims=DIMS, grids_px=SIDES)
    levels = levels_of(9)
    x = join(levels)
    for styles in ([0, 2, 1, 1, 0, 2, 2, 0, 1], [1] * 9):
        expected = heads(x, torch.tensor(styles))
        torch.testing.assert_close(folded(levels, torch.tensor(styles)), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(routing(levels), heads.route(x))
    assert len(routing(levels).unique()) > 1


def test_the_backbone_without_batch_norms_and_last_stages_gives_the_whole_ones_maps():
    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)
    state = efficientnet_lite0_state()
    whole.load_state_dict({key: state[key] for key in whole.state_dict()})
    backbone = build_backbone("efficientnet_lite0", levels=(1, 2, 3))
    pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = whole.eval()(pictures.float() / 127.5 - 1)[1:4]
        for got, want in zip(backbone(pictures), expected, strict=True):
            torch.testing.assert_close(got, want, atol=2e-4, rtol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in backbone.modules())
    assert backbone.channels == (24, 40, 112)
    assert len(backbone.stages) < len(whole.blocks)
