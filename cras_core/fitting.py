"""The training loop of the heads (eq. 3 to 8): one pass after another over cached features, resumable at every step.

In each epoch every tile is seen once, in an order drawn anew. Several processes (`team`) share each batch and take the
same steps as one would. What is drawn comes from one seeded generator, so a fit that is resumed from its state goes on
bit for bit as it would have.
"""

import copy
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cras_core import team
from cras_core.anomaly_synthesis import draw_noise, synthesize
from cras_core.checkpoint import State
from cras_core.config import CrasConfig
from cras_core.errors import ConfigError, DataSetError
from cras_core.features import Features
from cras_core.heads import Heads
from cras_core.residual_discrimination import discrimination_loss

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def pick_precision(name: str, device: torch.device) -> Precision:
    """`auto` is bfloat16 (mixed) on CUDA devices that have it, float32 elsewhere. Raises `ConfigError`."""
    if name == "auto":
        return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    for precision in PRECISIONS:
        if name == precision:
            return precision
    raise ConfigError(f"precision must be auto, float32 or bfloat16, got {name!r}")


class Fit:
    """Heads on their way. After `run`, `model` is what was learned: the last step's heads, or their running average.

    generator: has drawn what the heads were prepared with, and draws the rest. losses: eq. 8, each epoch's mean;
    loss: the last step's.
    """

    def __init__(
        self,
        heads: Heads,
        features: Features,
        tiles: NDArray[np.int64],
        config: CrasConfig,
        *,
        generator: torch.Generator,
        precision: Precision = "float32",
    ) -> None:
        self._heads = heads
        self._features = features
        self._tiles = tiles
        self._config = config
        self._generator = generator
        team.follow(generator, features.device)
        # noise is drawn where it is used: on a GPU the CPU's would take longer than the step
        on_cpu = features.device.type == "cpu"
        self._noise = generator if on_cpu else torch.Generator(features.device).manual_seed(config.seed)
        self._objective: nn.Module = _Objective(heads, precision)
        if team.size() > 1:
            self._objective = DistributedDataParallel(self._objective, broadcast_buffers=False)
        self.model = copy.deepcopy(heads) if config.averaging else heads
        fused = True  # one kernel for all tensors
        self._optimizers = {
            "adapter": torch.optim.AdamW(heads.adapter.parameters(), lr=config.adapter_rate, fused=fused),
            "discriminator": torch.optim.Adam(
                heads.discriminator.parameters(),
                lr=config.discriminator_rate,
                weight_decay=config.discriminator_decay,
                fused=fused,
            ),
        }
        self._rates = {"adapter": config.adapter_rate, "discriminator": config.discriminator_rate}
        self.epochs = config.epochs_for(len(tiles))
        self._steps_per_epoch = math.ceil(len(tiles) / config.batch_size)
        self._step = 0
        self._order = torch.empty(0, dtype=torch.int64)
        self._total = 0.0
        self.losses: list[float] = []
        self.loss = math.nan

    def run(self, *, report: Callable[[float, int, float], None], keep: Callable[["Fit"], None]) -> None:
        """To the end. After every step `report(passes over the tiles, of how many, loss)`, the loss being the last
        whole epoch's mean or in the first epoch its mean so far, and `keep`, which may want the state.

        Raises `DataSetError` when the loss is no number any more.
        """
        steps = self.epochs * self._steps_per_epoch
        while self._step < steps:
            epoch, place = divmod(self._step, self._steps_per_epoch)
            if place == 0:
                self._order = torch.randperm(len(self._tiles), generator=self._generator)
                self._total = 0.0
            first = place * self._config.batch_size
            batch = self._tiles[self._order[first : first + self._config.batch_size].numpy()]
            self.loss = self._take_step(batch, rate=_rate(self._step, steps, self._config))
            if not math.isfinite(self.loss):
                raise DataSetError(f"training diverged in epoch {epoch + 1}: lower the learning rates")
            self._total += self.loss * len(batch)
            self._step += 1
            if place + 1 == self._steps_per_epoch:
                self.losses.append(self._total / len(self._tiles))
            so_far = self.losses[-1] if self.losses else self._total / (first + len(batch))
            report(self._step / self._steps_per_epoch, self.epochs, so_far)
            keep(self)
        self.model.eval()

    def state(self) -> State:
        """Everything that the steps to come depend on."""
        state = {
            "step": torch.tensor(self._step),
            "order": self._order,
            "total": torch.tensor(self._total, dtype=torch.float64),
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "generator": self._generator.get_state(),
            "noise": self._noise.get_state(),
        }
        state |= {f"heads.{name}": value for name, value in self._heads.state_dict().items()}
        if self.model is not self._heads:
            state |= {f"average.{name}": value for name, value in self.model.state_dict().items()}
        for name, optimizer in self._optimizers.items():
            for index, values in optimizer.state_dict()["state"].items():
                state |= {f"{name}.{index}.{key}": value for key, value in values.items()}
        return state

    def restore(self, state: State) -> None:
        """Goes back to a `state` of the same fit."""
        self._step = int(state["step"])
        self._order = state["order"]
        self._total = float(state["total"])
        self.losses = state["losses"].tolist()
        self._generator.set_state(state["generator"])
        self._noise.set_state(state["noise"])
        self._heads.load_state_dict(_under("heads", state))
        if self.model is not self._heads:
            self.model.load_state_dict(_under("average", state))
        for name, optimizer in self._optimizers.items():
            values: dict[int, State] = {}
            for key, value in _under(name, state).items():
                index, _, what = key.partition(".")
                values.setdefault(int(index), {})[what] = value
            optimizer.load_state_dict(optimizer.state_dict() | {"state": values})

    def _take_step(self, batch: NDArray[np.int64], *, rate: float) -> float:
        """One step of both optimizers on a batch. -> its loss (eq. 8) over all processes."""
        self._heads.train()
        x, places, noise, styles = self._draw(batch)
        part: Tensor = self._objective(x, styles, places, noise)
        mine = len(x) / len(batch)
        for name, optimizer in self._optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self._rates[name] * rate
            optimizer.zero_grad(set_to_none=True)
        (part * (mine * team.size())).backward()  # type: ignore[no-untyped-call]  # processes' gradients are averaged
        for optimizer in self._optimizers.values():
            optimizer.step()
        if self.model is not self._heads:
            _average(self.model, self._heads, decay=self._config.averaging)
        return float(team.add_up(part.detach() * mine))

    def _draw(self, batch: NDArray[np.int64]) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """What one step looks at, this process's share: vectors (n, K, D), their places (n, K) if not all, noise
        (n, K, D), styles (n,). Drawn for the whole batch, so that it is the same however many processes share it."""
        features, share = self._features, team.share(len(batch))
        mine = batch[share]
        _, positions, dim = features.vectors.shape
        count = self._config.vectors_per_tile
        places = None
        if 0 < count < positions:
            drawn = torch.rand((len(batch), positions), generator=self._generator)
            places = drawn.argsort(1)[share, :count]
        x = features.take(mine, None if places is None else places.numpy())
        shape = (len(batch), x.shape[1], dim)
        noise = draw_noise(shape, deviation=self._config.noise_deviation, generator=self._noise)[share]
        styles = torch.from_numpy(features.style_of[mine]).to(x.device)
        return x, None if places is None else places.to(x.device), noise.to(x.device), styles


class _Objective(nn.Module):
    """Eq. 3 to 8 for tiles whose styles are known, as one module, so that processes can share it."""

    def __init__(self, heads: Heads, precision: Precision) -> None:
        super().__init__()
        self.heads = heads
        self.precision = precision

    def forward(self, x: Tensor, styles: Tensor, places: Tensor | None, noise: Tensor) -> Tensor:
        """The mean loss of these tiles; 0, with gradients of 0, of none."""
        config = self.heads.config
        u = self.heads.adapt(x, styles)  # float32 in any precision: bfloat16's rounding comes near small noise
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            recomposed = self.heads.recompose(u, styles, places=places)
            v = synthesize(u, recomposed, noise, scaling=config.noise_scaling, guide=config.noise_guide)
            # one pass over both: BatchNorm sees normal and anomalous vectors together, as it will
            logits = self.heads.discriminate(torch.cat([u, v]), torch.cat([recomposed, recomposed])).float()
        if not len(x):
            return logits.sum()
        return discrimination_loss(logits[: len(x)], logits[len(x) :])


@torch.no_grad()
def _average(average: Heads, heads: Heads, *, decay: float) -> None:
    """Moves the running average a step towards the heads, BatchNorm statistics included."""
    for mean, now in zip(average.state_dict().values(), heads.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, 1 - decay)


def _rate(step: int, steps: int, config: CrasConfig) -> float:
    return 1.0 if config.schedule == "constant" else 0.5 * (1 + math.cos(math.pi * step / steps))


def _under(prefix: str, state: State) -> State:
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
