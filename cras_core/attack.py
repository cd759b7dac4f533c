"""The gradient that an attack follows (FGSM, Goodfellow et al. 2015): of the training loss, at a picture's pixels.

It is of the unfolded graph in float32, whatever runtime then scores the picture, and knows the truth: a small step
along its signs raises the loss that training lowers. docs/accuracy.md tells what a large one does to figures.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from cras_core.disturbances import Gradient
from cras_core.graph import ROUTE
from cras_core.metrics import Truth
from cras_core.pictures import Pixels
from cras_core.reference import PlainGraph
from cras_core.scoring import Scorer


def loss_gradient(scorer: Scorer, *, style: str = "") -> Gradient:
    """For a tile (T, T, 3) and its mask (T, T): the gradient (T, T, 3) of the binary cross-entropy (eq. 8) over its
    vectors, each against the share of its square that the mask covers.

    style: what the tile is compared with; empty: what it finds by itself, undisturbed.
    """
    graph = PlainGraph(scorer.graph.backbone, scorer.graph.embedding, scorer.heads)
    named = scorer.styles.index(style) if style in scorer.styles else ROUTE
    styles = torch.tensor([named], device=scorer.device)

    def gradient(tile: Pixels, mask: Truth) -> NDArray[np.float32]:
        pixels = torch.tensor(tile[None], device=scorer.device, dtype=torch.float32, requires_grad=True)
        logits, _ = graph.logits(pixels, styles)
        side = round(logits.shape[1] ** 0.5)
        shares = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
        truth = torch.from_numpy(np.asarray(shares).reshape(1, -1)).to(scorer.device)
        loss = F.binary_cross_entropy_with_logits(logits, truth)
        (found,) = torch.autograd.grad(loss, pixels)
        return np.asarray(found[0].cpu().numpy(), np.float32)

    return gradient
