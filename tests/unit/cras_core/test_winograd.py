"""Winograd's filtering is the convolution, and is used where it can be alone."""

import pytest
import torch
from torch import nn

from cras_core.winograd import WORTHWHILE, WinogradConv, suits, with_winograd


def conv(channels=5, outputs=7, *, bias=True, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Conv2d(channels, outputs, 3, **{"padding": 1} | changes, bias=bias).requires_grad_(False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(8, 12), (18, 18), (1, 1), (7, 10), (3, 5)], ids=str)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
def test_winograds_filtering_is_the_convolution(size, bias, layout):
    plain = conv(bias=bias)
    x = torch.randn(2, 5, *size, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=layout)
    got = WinogradConv(plain)(x)
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got, plain(x), atol=2e-5, rtol=2e-5)


def test_in_double_precision_it_is_the_convolution_to_the_last_digits():
    plain = conv(64, 32).double()
    x = torch.randn(1, 64, 9, 9, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(WinogradConv(plain)(x), plain(x), atol=1e-12, rtol=1e-12)


def test_only_wide_plain_convolutions_are_replaced():
    wide = (WORTHWHILE, WORTHWHILE)
    assert suits(conv(*wide))
    others = [
        conv(WORTHWHILE - 1, WORTHWHILE),
        conv(*wide, stride=2),
        conv(*wide, padding=0),
        conv(*wide, padding=2, dilation=2),
        conv(*wide, groups=WORTHWHILE),
        conv(*wide, padding_mode="reflect"),
        nn.Conv2d(*wide, 1),
        nn.ReLU(),
    ]
    assert not any(suits(other) for other in others)


def test_the_original_stays_and_what_is_not_replaced_is_shared():
    original = nn.Sequential(nn.Conv2d(3, WORTHWHILE, 1), nn.ModuleDict({"inner": conv(WORTHWHILE, WORTHWHILE)}))
    changed = with_winograd(original)
    assert isinstance(original[1]["inner"], nn.Conv2d)
    assert isinstance(changed[1]["inner"], WinogradConv)
    assert changed[0].weight is original[0].weight
