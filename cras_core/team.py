"""Processes that train one model together, as torchrun starts them: who one is, its share of a batch, their sums.

Alone, every share is the whole and every sum is its own, so training reads the same for one process and for many. What
is drawn by chance is drawn by everyone for the whole batch, and each keeps its share: many processes then take the
steps that one would, to rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cras_core.device import pick_device


@contextmanager
def join_team(device: str) -> Iterator[torch.device]:
    """Joins the processes of torchrun, if it started this one, and leaves them at the end. Gives this one's device: of
    several CUDA devices, each process on a host takes its own.

    Raises `ConfigError` for a device that is not there.
    """
    if not dist.is_torchelastic_launched():
        yield pick_device(device)
        return
    chosen = pick_device(device)
    if chosen.type == "cuda":
        chosen = pick_device(f"cuda:{dist.get_node_local_rank()}")
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield chosen
    finally:
        dist.destroy_process_group()


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """0 for the one that reports, and writes what all have in common."""
    return dist.get_rank() if dist.is_initialized() else 0


def wait() -> None:
    """Until all have come here."""
    if size() > 1:
        dist.barrier()


def share(count: int) -> slice:
    """Which of `count` things in a row are this process's; shares differ by one at most, and may be empty."""
    return slice(count * rank() // size(), count * (rank() + 1) // size())


def follow(generator: torch.Generator, device: torch.device) -> None:
    """Makes every process's generator the first one's."""
    if size() > 1:
        state = generator.get_state().to(device)
        dist.broadcast(state, 0)
        generator.set_state(state.cpu())


def add_up(x: Tensor) -> Tensor:
    """The sum over all processes, with gradients: each process's gradient counts what all make of the sum."""
    if size() == 1:
        return x
    total: Tensor = _AddUp.apply(x)
    return total


def mean(x: Tensor) -> Tensor:
    """The mean over every value of every process."""
    if size() == 1:
        return x.mean()
    totals = add_up(torch.stack([x.sum(), x.new_tensor(float(x.numel()))]))
    return totals[0] / totals[1]


class _AddUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return add_up(gradient)


class TeamBatchNorm(nn.BatchNorm1d):
    """BatchNorm over (n, C) whose statistics in training are those of all processes' vectors together, on any device
    (torch's SyncBatchNorm knows CUDA only). Alone, it is torch's own. A process may have no vectors."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or size() == 1:
            return super().forward(x)
        x = x.float()
        totals = add_up(torch.cat([x.sum(0), x.new_tensor([float(len(x))])]))
        count = totals[-1].detach()
        centered = x - totals[:-1] / count
        variance = add_up(centered.square().sum(0)) / count
        with torch.no_grad():
            self.get_buffer("num_batches_tracked").add_(1)
            momentum = self.momentum or 0.1
            self.get_buffer("running_mean").lerp_(totals[:-1] / count, momentum)
            self.get_buffer("running_var").lerp_(variance * count / (count - 1), momentum)
        normal = centered * torch.rsqrt(variance + self.eps)
        return normal * self.weight + self.bias
