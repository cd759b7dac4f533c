"""What a training step minimizes: eq. 3 to 8 together, vector by vector in numpy, and its gradient by differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cras_core.config import ABLATIONS, CrasConfig
from cras_core.fitting import _Objective
from cras_core.heads import Heads

TILES, POSITIONS, DIM = 3, 4, 6
STYLES = np.asarray([1, 0, 1])
RECIPES = {
    "loomwatch": CrasConfig(backbone="any", centers_per_style=5, epochs=1),
    "paper": replace(CrasConfig.paper(), standardize=True),
}


def drawn(config):
    """Heads away from their start, features and noise, all in double precision."""
    generator = torch.Generator().manual_seed(0)
    heads = Heads(config=config, styles=("a", "b"), dim=DIM, positions=POSITIONS, generator=generator).double()
    heads.centers.normal_(generator=generator)
    heads.standardization.mean.normal_(generator=generator)
    heads.standardization.deviation.uniform_(0.5, 2, generator=generator)
    x, noise = torch.randn(2, TILES, POSITIONS, DIM, generator=generator, dtype=torch.float64)
    return heads.train(), x, config.noise_deviation * noise


class Plain:
    """Eq. 3 to 8 in loops. Centers found and scaled noise are kept from the first call: no gradient goes there."""

    def __init__(self, config, heads, x, noise):
        self.config, self.x, self.noise = config, x.numpy(), noise.numpy()
        self.constants = {name: value.numpy().copy() for name, value in heads.named_buffers()}
        self.learned = {name: value.detach().numpy().copy() for name, value in heads.named_parameters()}
        self.kept = None

    def loss(self):
        u = self.adapted()
        if self.kept is None:
            centers = self.recomposed(u)
            self.kept = centers, self.scaled_noise(u, centers)
        centers, noise = self.kept
        rows = [self.joined(u[at], centers[at]) for at in np.ndindex(TILES, POSITIONS)]
        rows += [self.joined(u[at] + noise[at], centers[at]) for at in np.ndindex(TILES, POSITIONS)]  # eq. 6
        logits = self.discriminated(np.stack(rows))
        p = 1 / (1 + np.exp(-logits))
        half = len(logits) // 2
        return -np.log(1 - p[:half]).mean() - np.log(p[half:]).mean()  # eq. 8

    def adapted(self):
        mean, deviation = self.constants["standardization.mean"], self.constants["standardization.deviation"]
        weight, bias = self.learned["adapter.weight"], self.learned["adapter.bias"]
        return ((self.x - mean) / deviation) @ weight.T + bias

    def recomposed(self, u):
        found = np.empty_like(u)
        for n, p in np.ndindex(TILES, POSITIONS):
            own = self.constants["centers"][STYLES[n]]
            cosines = [c @ u[n, p] / np.linalg.norm(c) / np.linalg.norm(u[n, p]) for c in own]
            found[n, p] = own[p if self.config.matching == "position" else int(np.argmax(cosines))]  # eq. 3
        return found

    def scaled_noise(self, u, centers):
        guide = self.config.noise_guide
        if guide == "none":
            return self.noise
        q = np.ones((TILES, POSITIONS))
        for at in np.ndindex(TILES, POSITIONS):  # eq. 4
            q[at] *= np.sqrt((self.noise[at] ** 2).sum()) if guide in ("ratio", "noise") else 1
            q[at] /= np.sqrt(((u[at] - centers[at]) ** 2).sum()) if guide in ("ratio", "residual") else 1
        r = self.config.noise_scaling * (q / q.mean() - 1) + 1  # eq. 5
        return r[..., None] * self.noise

    def joined(self, vector, center):
        kinds = {"raw": vector, "residual": vector - center}
        return np.concatenate([kinds[kind] for kind in self.config.discriminator_input.split("+")])  # eq. 7

    def discriminated(self, rows):
        for layer in ("first", "second"):
            rows = rows @ self.of(f"{layer}.weight").T + self.of(f"{layer}.bias")
            rows = (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5)  # BatchNorm: normal and anomalous together
            rows = rows * self.of(f"{layer}_norm.weight") + self.of(f"{layer}_norm.bias")
            rows = np.where(rows > 0, rows, 0.2 * rows)
        return rows @ self.of("last.weight")[0]

    def of(self, name):
        return self.learned[f"discriminator.{name}"]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("ablation", [None, *ABLATIONS])
def test_the_loss_and_its_gradient_are_those_of_the_equations(recipe, ablation):
    config = RECIPES[recipe] if ablation is None else RECIPES[recipe].ablated(ablation)
    heads, x, noise = drawn(config)
    plain = Plain(config, heads, x, noise)
    loss = _Objective(heads, "float32")(x, torch.from_numpy(STYLES), None, noise)
    assert float(loss.detach()) == pytest.approx(plain.loss(), rel=1e-6)  # the logits are float32
    loss.backward()
    learned = dict(heads.named_parameters())
    assert {name.split(".")[0] for name in learned} == {"adapter", "discriminator"}
    random = np.random.default_rng(1)
    for name, value in learned.items():
        assert value.grad is not None, name
        flat = plain.learned[name].reshape(-1)
        for place in random.choice(flat.size, min(flat.size, 4), replace=False):
            there, step = flat[place], 1e-6
            ends = []
            for moved in (there + step, there - step):
                flat[place] = moved
                ends.append(plain.loss())
            flat[place] = there
            slope = (ends[0] - ends[1]) / (2 * step)
            assert float(value.grad.view(-1)[place]) == pytest.approx(slope, rel=1e-4, abs=1e-6), name
