"""DAFS: eq. 4 to 6 against plain numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cras_core.anomaly_synthesis import draw_noise, scale_noise, synthesize


def test_the_ratio_follows_equations_4_and_5():
    random = np.random.default_rng(0)
    u, c, e = (random.normal(size=(2, 5, 4)) for _ in range(3))
    ratio = scale_noise(*(torch.from_numpy(a) for a in (u, c, e)), scaling=0.3)
    raw = [[np.linalg.norm(e[n, p]) / np.linalg.norm(u[n, p] - c[n, p]) for p in range(5)] for n in range(2)]
    expected = 0.3 * (np.asarray(raw) / np.mean(raw) - 1) + 1
    np.testing.assert_allclose(ratio.numpy(), expected)


@pytest.mark.parametrize("guide", ["residual", "noise"])
def test_the_ablations_leave_out_one_norm(guide):
    random = np.random.default_rng(0)
    u, c, e = (random.normal(size=(2, 5, 4)) for _ in range(3))
    ratio = scale_noise(*(torch.from_numpy(a) for a in (u, c, e)), scaling=0.3, guide=guide)
    raw = 1 / np.linalg.norm(u - c, axis=-1) if guide == "residual" else np.linalg.norm(e, axis=-1)
    np.testing.assert_allclose(ratio.numpy(), 0.3 * (raw / raw.mean() - 1) + 1)


def test_without_a_guide_the_noise_has_one_variance_everywhere():
    u = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    noise = draw_noise(u.shape, deviation=0.5, generator=torch.Generator().manual_seed(7))
    v = synthesize(u, torch.zeros_like(u), noise, scaling=0.3, guide="none")
    torch.testing.assert_close(v - u, 0.5 * torch.randn(u.shape, generator=torch.Generator().manual_seed(7)))


def test_anomalies_are_features_plus_scaled_noise_of_the_seed():
    u, c = torch.randn(2, 3, 8, 4, generator=torch.Generator().manual_seed(0)).unbind()
    v = synthesize(
        u,
        c,
        draw_noise(u.shape, deviation=0.5, generator=torch.Generator().manual_seed(7)),
        scaling=0.3,
        guide="ratio",
    )
    noise = 0.5 * torch.randn(u.shape, generator=torch.Generator().manual_seed(7))
    expected = u + scale_noise(u, c, noise, scaling=0.3)[..., None] * noise
    assert torch.equal(v, expected)


def test_noise_is_detached_so_gradients_pass_as_through_an_identity():
    u = torch.randn(2, 5, 4, requires_grad=True)
    noise = draw_noise(u.shape, deviation=0.5, generator=torch.Generator().manual_seed(0))
    v = synthesize(u, torch.zeros(2, 5, 4), noise, scaling=0.3, guide="ratio")
    (gradient,) = torch.autograd.grad(v.sum(), u)
    assert torch.equal(gradient, torch.ones_like(u))


@given(scaling=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_ratio_averages_one_and_is_larger_nearer_to_the_center(scaling, seed):
    generator = torch.Generator().manual_seed(seed)
    c = torch.zeros(1, 6, 3, dtype=torch.float64)
    direction = torch.randn(3, dtype=torch.float64, generator=generator)
    u = direction * torch.arange(1, 7)[None, :, None]
    ratio = scale_noise(u, c, torch.ones(1, 6, 3, dtype=torch.float64), scaling=scaling)
    assert abs(float(ratio.mean()) - 1) < 1e-9
    assert bool((ratio.diff() <= 1e-12).all())


def test_a_feature_on_its_center_gives_no_infinity():
    u = torch.ones(1, 4, 3)
    v = synthesize(u, u.clone(), torch.full_like(u, 0.1), scaling=0.3, guide="ratio")
    assert torch.isfinite(v).all()
