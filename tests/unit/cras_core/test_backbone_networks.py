"""Networks of timm as backbones: the same maps as timm's own, folded where that is right, or refused in one line."""

from dataclasses import replace

import huggingface_hub
import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from cras_core.backbone import Backbone, build_backbone, fold_batch_norms
from cras_core.backbone_networks import Network
from cras_core.bundle import load_bundle, save_bundle
from cras_core.errors import BackboneError
from cras_core.training import train

from .conftest import TILE_PX, normal_samples, weave


def random_state(network: str) -> dict[str, torch.Tensor]:
    """Weights whose BatchNorms do something: a fold that goes wrong shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = timm.create_model(network, pretrained=False).state_dict()
    state = {}
    for name, value in shapes.items():
        if not value.is_floating_point():
            state[name] = torch.ones(value.shape, dtype=value.dtype)
        elif name.endswith(("running_mean", "bias")):
            state[name] = torch.empty(value.shape).normal_(0, 0.2, generator=generator)
        elif value.ndim < 2:
            state[name] = torch.empty(value.shape).uniform_(0.7, 1.4, generator=generator)
        else:
            state[name] = torch.empty(value.shape).normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
    return state


@pytest.fixture
def weights_of(tmp_path):
    def write(network: str, suffix: str = ".pth"):
        path = tmp_path / f"{network}{suffix}"
        state = random_state(network)
        safetensors.torch.save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
        return path

    return write


def timms_own_maps(network: str, pictures: torch.Tensor, indices: tuple[int, ...]) -> list[torch.Tensor]:
    """From the whole network, hooked, as its authors run it: nothing folded, nothing left out."""
    model = timm.create_model(network, pretrained=False).eval()
    model.load_state_dict(random_state(network))
    facts = model.pretrained_cfg
    x = (pictures / 255 - torch.tensor(facts["mean"])[:, None, None]) / torch.tensor(facts["std"])[:, None, None]
    with torch.inference_mode():
        return model.forward_intermediates(x, indices=list(indices), intermediates_only=True)


@pytest.mark.parametrize(
    ("network", "levels", "indices", "suffix"),
    [
        ("resnet18", (2, 3), (2, 3), ".pth"),  # modules in a list, pruned by timm
        ("resnet18", (1, 4), (1, 4), ".safetensors"),
        ("mobilenetv3_small_050", (2, 3), (2, 3), ".safetensors"),  # blocks that timm does not prune
        ("resnetv2_18", (1, 2), (1, 2), ".pth"),  # BatchNorm before the convolution
        ("convnext_atto", (2, 3), (1, 2), ".pth"),  # no BatchNorm at all, no map of stride 2
    ],
)
def test_maps_of_a_timm_network_are_those_of_timm(network, levels, indices, suffix, weights_of):
    backbone = build_backbone(f"timm:{network}", levels=levels, weights=weights_of(network, suffix))
    pictures = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        maps = backbone(pictures)
    for level, channels, got, want in zip(
        levels, backbone.channels, maps, timms_own_maps(network, pictures, indices), strict=True
    ):
        stride = 2 ** (level + 1)
        assert got.shape == (2, channels, 64 // stride, 96 // stride)
        torch.testing.assert_close(got, want, atol=2e-4 * float(want.abs().max()), rtol=1e-3)


@pytest.mark.parametrize("network", ["resnet18", "mobilenetv3_small_050"])
def test_batch_norms_of_a_timm_network_are_folded_and_its_last_stages_gone(network, weights_of):
    path = weights_of(network)
    short, whole = (build_backbone(f"timm:{network}", levels=levels, weights=path) for levels in ((2,), (2, 4)))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in short.modules())
    count = [sum(each.numel() for each in backbone.parameters()) for backbone in (short, whole)]
    assert count[0] < 0.5 * count[1]
    assert short.sha256 != whole.sha256
    assert short.weights_file == str(path)


class Crossed(nn.Module):
    """Registers a BatchNorm after a convolution that it does not follow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, stride=4, padding=1)
        self.norm = nn.BatchNorm2d(3)
        nn.init.constant_(self.norm.running_mean, 0.5)
        nn.init.constant_(self.norm.running_var, 4.0)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.conv(self.norm(x).relu())]


def test_a_fold_that_would_change_the_maps_is_not_made():
    network = Network(
        stages=[Crossed()],
        outputs=[True],
        channels=[3],
        mean=(0.5, 0.5, 0.5),
        deviation=(0.2, 0.2, 0.2),
        embedding_dim=0,
        ordered=False,
    )
    wrong = Crossed().eval()
    fold_batch_norms(wrong)
    assert not isinstance(wrong.norm, nn.BatchNorm2d)
    assert isinstance(Backbone(network, name="crossed", weights_file="").stages[0].norm, nn.BatchNorm2d)


def test_building_leaves_other_randomness_alone(weights_of):
    path = weights_of("mobilenetv3_small_050")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    build_backbone("timm:mobilenetv3_small_050", levels=(2,), weights=path)
    assert torch.equal(torch.rand(2), expected)


def test_an_unknown_network_is_refused_with_those_of_nearly_its_name():
    with pytest.raises(BackboneError, match=r"timm knows no network 'resnet1888'.*timm:resnet18"):
        build_backbone("timm:resnet1888", levels=(2,))


@pytest.mark.parametrize("network", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_transformer_without_spatial_maps_is_refused(network):
    with pytest.raises(BackboneError, match=f"timm:{network} gives no feature maps .*choose a convolutional network"):
        build_backbone(f"timm:{network}", levels=(2, 3))


def test_a_level_that_a_network_lacks_is_named_with_those_it_has():
    with pytest.raises(BackboneError, match="timm:csatv2 has no level 1: it has 2, 3, 4"):
        build_backbone("timm:csatv2", levels=(1, 2))


def test_weights_of_another_timm_network_are_refused(weights_of):
    for network, other in (("resnet18", "resnet34"), ("mobilenetv3_small_075", "mobilenetv3_small_050")):
        with pytest.raises(BackboneError, match=f"does not hold the weights of timm:{network}"):
            build_backbone(f"timm:{network}", levels=(2,), weights=weights_of(other))


def test_a_file_under_timms_name_must_have_the_checksum_the_name_states(weights_of, tmp_path):
    named = weights_of("resnet18").rename(tmp_path / "resnet18_a1_0-d63eafa0.pth")
    with pytest.raises(BackboneError, match=r"resnet18_a1_0-d63eafa0.pth is damaged .*expected d63eafa0"):
        build_backbone("timm:resnet18.a1_in1k", levels=(2,), weights=named)


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"\x10" * 100)
    with pytest.raises(BackboneError, match="not a weights file that can be read safely"):
        build_backbone("timm:resnet18", levels=(2,), weights=tmp_path / "a.safetensors")


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def test_without_weights_or_network_both_ways_are_named(no_network, capfd):
    offline = huggingface_hub.constants.HF_HUB_OFFLINE
    with pytest.raises(BackboneError, match=r"--weights FILE.*or let timm download .*127.0.0.1:9.*refused") as caught:
        build_backbone("timm:mobilenetv3_small_050", levels=(2, 3))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
    assert offline == huggingface_hub.constants.HF_HUB_OFFLINE


def test_weights_that_timm_does_not_have_are_named_with_those_it_has():
    with pytest.raises(BackboneError, match=r"timm has no weights 'resnet18.mine': it has .*resnet18.a1_in1k"):
        build_backbone("timm:resnet18.mine", levels=(2, 3))


def test_a_model_on_a_timm_network_is_trained_kept_and_loaded(weights_of, small_config, tmp_path):
    path = weights_of("mobilenetv3_small_050")
    config = replace(small_config, backbone="timm:mobilenetv3_small_050", levels=(1, 2, 3), steps=4)
    model = train(normal_samples(count=4), config, device=torch.device("cpu"), weights=path)
    save_bundle(model, tmp_path / "bundle", name="small", provenance={}, metrics={})
    scorer = load_bundle(tmp_path / "bundle", device=torch.device("cpu"))
    scored = scorer.score(weave("denim", 7)[None])
    assert scored.maps.shape == (1, TILE_PX, TILE_PX)
    assert bool(torch.isfinite(torch.from_numpy(scored.maps)).all())
    other = {name: value * 1.01 if value.ndim == 4 else value for name, value in torch.load(path).items()}
    torch.save(other, path)
    with pytest.raises(BackboneError, match="not the backbone weights that bundle"):
        load_bundle(tmp_path / "bundle", device=torch.device("cpu"))
