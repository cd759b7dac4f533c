"""CRD: eq. 7 and 8 against plain numpy, and what training may change."""

import numpy as np
import torch

from cras_core.config import CrasConfig
from cras_core.heads import Heads
from cras_core.residual_discrimination import Discriminator, discrimination_loss, join_residual


def test_features_and_residuals_stand_side_by_side():
    u, c = torch.randn(2, 2, 5, 4).unbind()
    joined = join_residual(u, c).numpy()
    np.testing.assert_array_equal(joined[..., :4], u.numpy())
    np.testing.assert_array_equal(joined[..., 4:], (u - c).numpy())


def test_the_loss_is_binary_cross_entropy_of_the_sigmoid():
    random = np.random.default_rng(0)
    normal, anomalous = random.normal(size=20), random.normal(size=20)
    p, q = 1 / (1 + np.exp(-normal)), 1 / (1 + np.exp(-anomalous))
    expected = -np.log(1 - p).mean() - np.log(q).mean()
    loss = discrimination_loss(torch.from_numpy(normal), torch.from_numpy(anomalous))
    assert abs(float(loss) - expected) < 1e-9


def test_the_discriminator_is_the_papers_mlp():
    net = Discriminator(dim=6, inputs=("raw", "residual"), generator=torch.Generator().manual_seed(0)).double()
    for _ in range(3):  # statistics other than the initial ones
        net(torch.randn(50, 12, dtype=torch.float64) * 2 + 1)
    net.eval()
    x = torch.randn(7, 12, dtype=torch.float64)

    def layer(h, linear, norm):
        h = h @ linear.weight.T.detach().numpy() + linear.bias.detach().numpy()
        h = (h - norm.running_mean.numpy()) / np.sqrt(norm.running_var.numpy() + norm.eps)
        h = h * norm.weight.detach().numpy() + norm.bias.detach().numpy()
        return np.where(h > 0, h, 0.2 * h)

    h = layer(layer(x.numpy(), net.first, net.first_norm), net.second, net.second_norm)
    assert h.shape == (7, 3)
    np.testing.assert_allclose(net(x).detach().numpy(), h @ net.last.weight[0].detach().numpy())


def test_gradients_reach_exactly_the_adapter_and_the_discriminator():
    generator = torch.Generator().manual_seed(0)
    config = CrasConfig(centers_per_style=4)
    heads = Heads(config=config, styles=("a", "b"), dim=8, positions=16, generator=generator)
    heads.centers.normal_(generator=generator)
    x = torch.randn(3, 16, 8, generator=generator)
    u = heads.adapt(x)
    c = heads.recompose(u, torch.tensor([0, 1, 1]))
    discrimination_loss(heads.discriminate(u, c), heads.discriminate(u + 1, c)).backward()
    learned = {name for name, value in heads.named_parameters() if value.grad is not None and value.grad.any()}
    assert learned == {name for name, _ in heads.named_parameters()}
    assert {name.split(".")[0] for name in learned} == {"adapter", "discriminator"}
    assert all(not buffer.requires_grad for buffer in heads.buffers())
