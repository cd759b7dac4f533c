"""Backbones: right weights, clear refusals."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import sklearn
import timm
import torch
import torchvision
from PIL import Image

from cras_core.backbone import build_backbone, efficientnet_lite_state, weights_file
from cras_core.errors import BackboneError

PHOTOGRAPHS = Path(sklearn.__file__).parent / "datasets" / "images"


@pytest.mark.parametrize(
    ("name", "photograph", "right"),
    [
        ("efficientnet_lite0", "flower.jpg", {985}),  # daisy
        ("efficientnet_lite1", "flower.jpg", {985}),
        ("efficientnet_lite0", "china.jpg", {698}),  # palace
        ("efficientnet_lite1", "china.jpg", {698}),
        ("efficientnet_lite2", "china.jpg", {698}),  # the flower's petals are a honeycomb to this one
    ],
)
def test_the_packaged_weights_know_what_a_photograph_shows(name, photograph, right):
    with torch.device("meta"):
        model = timm.create_model(f"tf_{name}", pretrained=False)
    model.load_state_dict(efficientnet_lite_state(name), assign=True)
    image = Image.open(PHOTOGRAPHS / photograph)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        assert int(model.eval()(pixels).argmax()) in right


def test_a_backbone_is_frozen_and_stays_in_evaluation_mode():
    backbone = build_backbone("efficientnet_lite0", levels=(2, 3)).train()
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(module.training for module in backbone.modules())


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_levels_have_their_strides(name):
    backbone = build_backbone(name, levels=(1, 2, 3, 4))
    maps = backbone(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert [level.shape[-1] for level in maps] == [16, 8, 4, 2]
    assert [level.shape[1] for level in maps] == list(backbone.channels)


@pytest.fixture(scope="module")
def wide_resnet(tmp_path_factory):
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        model = torchvision.models.wide_resnet50_2(weights=None).eval()
    state = {
        name: torch.zeros(value.shape, dtype=value.dtype)
        if not value.is_floating_point()
        else torch.empty(value.shape).uniform_(0.9, 1.1, generator=generator)
        if value.ndim < 2
        else torch.empty(value.shape).normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state, assign=True)
    path = tmp_path_factory.mktemp("weights") / "wide_resnet50_2.pth"
    torch.save(model.state_dict(), path)
    return model, path


def test_wide_resnet_takes_its_weights_from_a_file(wide_resnet):
    model, path = wide_resnet
    backbone = build_backbone("wide_resnet50_2", levels=(2, 3), weights=path)
    pictures = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    normalized = torchvision.transforms.functional.normalize(
        pictures / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )
    with torch.inference_mode():
        x = model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(normalized)))))
        second = model.layer2(x)
        expected = [second, model.layer3(second)]
        for got, want in zip(backbone(pictures), expected, strict=True):
            torch.testing.assert_close(got, want, atol=1e-5 * float(want.abs().max()), rtol=1e-3)
    assert backbone.weights_file == str(path)
    assert (backbone.channels, backbone.embedding_dim) == ((512, 1024), 1536)


def test_wide_resnet_without_weights_names_both_ways(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        torchvision.models.Wide_ResNet50_2_Weights.IMAGENET1K_V1.value, "url", "http://127.0.0.1:9/w.pth"
    )
    with pytest.raises(BackboneError, match=r"--weights FILE.*or let torchvision download") as caught:
        build_backbone("wide_resnet50_2", levels=(2, 3))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_an_unknown_backbone_is_refused():
    with pytest.raises(BackboneError, match=r"one of efficientnet_lite0, .*wide_resnet50_2 or timm:NAME, got 'vgg'"):
        build_backbone("vgg", levels=(2,))


def test_a_weights_file_that_is_missing_damaged_or_of_another_network_is_refused(tmp_path, wide_resnet):
    with pytest.raises(BackboneError, match="does not exist"):
        build_backbone("wide_resnet50_2", levels=(2,), weights=tmp_path / "none.pth")
    (tmp_path / "bad.pth").write_bytes(b"not weights")
    with pytest.raises(BackboneError, match="not a weights file that can be read safely"):
        build_backbone("wide_resnet50_2", levels=(2,), weights=tmp_path / "bad.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(BackboneError, match="named tensors"):
        build_backbone("wide_resnet50_2", levels=(2,), weights=tmp_path / "list.pth")
    with pytest.raises(BackboneError, match="does not hold"):
        build_backbone("wide_resnet50_2", levels=(2,), weights=weights_file("efficientnet_lite0"))
    with pytest.raises(BackboneError, match="does not hold"):
        build_backbone("efficientnet_lite0", levels=(2,), weights=wide_resnet[1])


def test_a_file_under_a_known_name_must_have_the_checksum_the_name_states(tmp_path, wide_resnet):
    named = shutil.copy(wide_resnet[1], tmp_path / "wide_resnet50_2-95faca4d.pth")
    with pytest.raises(BackboneError, match=r"wide_resnet50_2-95faca4d.pth is damaged .*expected 95faca4d"):
        build_backbone("wide_resnet50_2", levels=(2,), weights=Path(named))
    packaged = weights_file("efficientnet_lite1")
    damaged = bytearray(packaged.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / packaged.name).write_bytes(damaged)
    with pytest.raises(BackboneError, match=r"efficientnet-lite1-77cc7160.pth is damaged"):
        build_backbone("efficientnet_lite1", levels=(2,), weights=tmp_path / packaged.name)
    assert build_backbone("efficientnet_lite1", levels=(2,), weights=packaged).weights_file == str(packaged)


def test_a_published_file_is_known_under_any_name_and_the_sum_of_another_is_told(tmp_path, caplog):
    renamed = Path(shutil.copy(weights_file("efficientnet_lite1"), tmp_path / "mine.pth"))
    build_backbone("efficientnet_lite1", levels=(2,), weights=renamed)
    assert caplog.messages == []
    state = efficientnet_lite_state("efficientnet_lite1")
    state["conv_stem.weight"][0, 0, 0, 0] += 1
    torch.save(state, renamed)
    build_backbone("efficientnet_lite1", levels=(2,), weights=renamed)
    (message,) = caplog.messages
    assert str(renamed) in message
    assert hashlib.sha256(renamed.read_bytes()).hexdigest() in message


def test_weights_that_are_not_finite_numbers_are_refused(tmp_path):
    state = efficientnet_lite_state("efficientnet_lite0")
    state["conv_stem.weight"][0, 0, 0, 0] = torch.nan
    torch.save(state, tmp_path / "burnt.pth")
    with pytest.raises(BackboneError, match=r"damaged: its conv_stem.weight is not made of finite numbers"):
        build_backbone("efficientnet_lite0", levels=(2,), weights=tmp_path / "burnt.pth")


def test_another_lite_networks_weights_are_refused_and_timms_names_taken_in_any_order(tmp_path):
    with pytest.raises(BackboneError, match="does not hold the weights of efficientnet_lite2"):
        build_backbone("efficientnet_lite2", levels=(2,), weights=weights_file("efficientnet_lite1"))
    state = efficientnet_lite_state("efficientnet_lite0")
    torch.save(dict(reversed(state.items())), tmp_path / "timm.pth")
    same = build_backbone("efficientnet_lite0", levels=(2,), weights=tmp_path / "timm.pth")
    assert same.sha256 == build_backbone("efficientnet_lite0", levels=(2,)).sha256


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("evil-was-here"),))


def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(BackboneError, match="read safely"):
        build_backbone("efficientnet_lite0", levels=(2,), weights=tmp_path / "evil.pth")
    assert not (tmp_path / "evil-was-here").exists()


def test_only_packaged_weights_have_a_packaged_file():
    assert weights_file("efficientnet_lite0").is_file()
    with pytest.raises(BackboneError, match="no package carries"):
        weights_file("wide_resnet50_2")
