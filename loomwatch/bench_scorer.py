"""How fast a model scores: the paper's graph as trained, the folded one, and every runtime, alternating in one run."""

import ctypes
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from numpy.typing import NDArray
from torchvision.models.resnet import Bottleneck

from cras_core.backbone import Backbone, build_backbone
from cras_core.backbone_networks import TIMM
from cras_core.bundle import load_bundle, read_tiles
from cras_core.config import CrasConfig
from cras_core.errors import CrasError, MissingWeightsError
from cras_core.features import Extractor, NormalSample, extract_features
from cras_core.graph import ROUTE
from cras_core.heads import Heads
from cras_core.parity import compare_answers, run, with_defects
from cras_core.reference import PlainGraph
from cras_core.runtimes.base import Answer, Runtime
from cras_core.runtimes.builders import REFERENCE, build, present
from cras_core.runtimes.exports import EXACT
from cras_core.scoring import Scorer
from cras_core.training import fit_heads
from ingest.simulator import normal_frames
from inspection.tiling import cut_image

UNFOLDED = "unfolded-float32"
CLOTHS = ("plain", "twill", "denim")
TILES = 24  # of each cloth: half to learn from, half to score


class UnfoldedRuntime:
    """`cras_core.reference.PlainGraph` behind the interface of a runtime."""

    name = UNFOLDED

    def __init__(self, scorer: Scorer, heads: Heads) -> None:
        folded = scorer.graph.backbone
        weights = Path(folded.weights_file) if folded.weights_file else None
        backbone = build_backbone(folded.name, levels=heads.config.levels, weights=weights, folded=False)
        self._graph = PlainGraph(backbone, scorer.graph.embedding, heads).to(scorer.device).eval()
        self._device = scorer.device

    @torch.inference_mode()
    def score(self, tiles: NDArray[np.uint8], styles: NDArray[np.int64]) -> Answer:
        parts = self._graph(torch.tensor(tiles, device=self._device), torch.from_numpy(styles).to(self._device))
        return Answer(*(part.cpu().numpy() for part in parts))


def time_scorer(
    scorer: Scorer, tiles: NDArray[np.uint8], *, names: Sequence[str], batch_size: int, runs: int
) -> dict[str, Any]:
    """tiles: normal ones (N, T, T, 3). names: runtimes, [] for all that this machine has.

    -> for each its tiles a second (median, least, most), the ratio of its median to the unfolded graph's, the memory a
    batch takes at its peak, and how far it agrees with PyTorch in float32 on these tiles with defects drawn in.
    """
    chosen = [REFERENCE, *(name for name in names or present(scorer.device) if name != REFERENCE)]
    runtimes: dict[str, Runtime] = {UNFOLDED: UnfoldedRuntime(scorer, scorer.heads)}
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="loomwatch-bench-") as exports:
        for name in chosen:
            place = Path(exports, name)
            place.mkdir()
            try:
                runtimes[name] = build(name, scorer.graph, place, device=scorer.device, tiles=tiles)
            except (CrasError, RuntimeError) as error:
                figures[name] = {"error": " ".join(str(error).split())}
    work = np.ascontiguousarray(np.resize(tiles, (batch_size, *tiles.shape[1:])))
    styles = np.full(batch_size, ROUTE, np.int64)
    drawn = with_defects(tiles)
    wanted = run(runtimes[REFERENCE], drawn.tiles)
    for name, runtime in runtimes.items():
        # the first batch: some runtimes keep what they need for it
        peak_mb = peak_memory_mb(lambda each=runtime: each.score(work, styles), scorer.device)  # type: ignore[misc]
        parity = compare_answers(run(runtime, drawn.tiles), wanted, drawn.defects, scorer.thresholds)
        figures[name] = {
            "peak_mb": peak_mb,
            "agreement": parity.to_dict(),
            "auroc_points": {"image": -100 * parity.image_auroc_loss, "pixel": -100 * parity.pixel_auroc_loss},
            "problem": parity.problem(exact=name.endswith(EXACT)),
        }
    spent: dict[str, list[float]] = {name: [] for name in runtimes}
    for _ in range(runs):
        for name, runtime in runtimes.items():
            started = time.perf_counter()
            runtime.score(work, styles)
            spent[name].append(time.perf_counter() - started)
    for name, seconds in spent.items():
        figures[name] |= {
            "tiles_per_s_median": batch_size / statistics.median(seconds),
            "tiles_per_s_min": batch_size / max(seconds),
            "tiles_per_s_max": batch_size / min(seconds),
            "ratio": statistics.median(spent[UNFOLDED]) / statistics.median(seconds),
        }
    return {
        "backbone": scorer.config.backbone,
        "tile_px": scorer.tile_px,
        "batch_size": batch_size,
        "runs": runs,
        "threads": torch.get_num_threads(),
        "runtimes": figures,
    }


def peak_memory_mb(work: Callable[[], object], device: torch.device) -> float | None:
    """What `work` needs at its peak beyond what was there; None where the system does not tell."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - held) / 1e6
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)  # glibc: what earlier work left is given back, or it would hide what this work takes
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the highest resident size so far
        before = _resident_mb("VmRSS")
        work()
        return max(0.0, _resident_mb("VmHWM") - before)
    except (OSError, StopIteration):
        return None


def _resident_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


@contextmanager
def bundle_or_backbone(
    bundle: Path | None, *, backbone: str, tile_px: int, weights: Path | None, device: torch.device
) -> Iterator[tuple[Scorer, NDArray[np.uint8]]]:
    """A scorer and normal tiles for it: a bundle's own, or a model that has seen a little simulated cloth."""
    if bundle is not None:
        yield load_bundle(bundle, device=device, weights=weights), read_tiles(bundle)
        return
    make = CrasConfig.paper if backbone == "wide_resnet50_2" else CrasConfig
    config = make(backbone=backbone, tile_px=tile_px)
    with tempfile.TemporaryDirectory(prefix="loomwatch-bench-") as place:
        try:
            network = build_backbone(backbone, levels=config.levels, weights=weights)
        except MissingWeightsError:
            network = build_backbone(backbone, levels=config.levels, weights=_drawn(backbone, Path(place), tile_px))
        yield _little_trained(network, config, device)


def _drawn(backbone: str, place: Path, tile_px: int) -> Path:
    """Weights at random, with the BatchNorms' statistics of cloth and each residual branch scaled by the root of one
    over their number (De and Smith 2020): plain random layers drown what tells two places apart in what all have in
    common, multiply every rounding, and no rounded runtime could agree with the exact one."""
    pictures = torch.from_numpy(np.concatenate([_cloth(cloth, tile_px)[:4] for cloth in CLOTHS]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if backbone == "wide_resnet50_2":
            model = torchvision.models.wide_resnet50_2(weights=None)
        else:
            name = backbone.removeprefix(TIMM) if backbone.startswith(TIMM) else f"tf_{backbone}"
            model = timm.create_model(name, pretrained=False)
    branches = sum(isinstance(module, Bottleneck) for module in model.modules())
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean
        if isinstance(module, Bottleneck):
            torch.nn.init.constant_(module.bn3.weight, branches**-0.5)
    with torch.no_grad():
        model.train()(pictures.permute(0, 3, 1, 2).float() / 64 - 2)
    torch.save(model.state_dict(), place / "weights.pth")
    return place / "weights.pth"


def _cloth(name: str, tile_px: int) -> NDArray[np.uint8]:
    """Normal simulated tiles without the cloth's edges, (N, tile_px, tile_px, 3)."""
    frame = normal_frames(name, seed=0, length_m=0.8, frame_lines=4096, mm_per_px=0.2)[0]
    return cut_image(frame[:, tile_px:-tile_px], tile_px=tile_px, overlap_px=0)


def _little_trained(backbone: Backbone, config: CrasConfig, device: torch.device) -> tuple[Scorer, NDArray[np.uint8]]:
    """A model trained just long enough to tell a defect, and normal tiles that it did not learn from.

    The paper's recipe learns too slowly for that, so its graph learns from standardized and whitened features.
    """
    config = replace(
        config,
        standardize=True,
        adapter_start="whiten",
        noise_deviation=0.5,
        score_scale="surprise",
        epochs=20,
        batch_size=8,
        vectors_per_tile=64,
    )
    samples, held_out = [], []
    for cloth in CLOTHS:
        tiles = _cloth(cloth, config.tile_px)[:TILES]
        samples += [NormalSample.from_pixels(tile, style=cloth, group=cloth) for tile in tiles[::2]]
        held_out.append(tiles[1::2])
    extractor = Extractor(backbone, config, device=device)
    features = extract_features(samples, extractor, config, progress=lambda _: None)
    heads, _ = fit_heads(features, np.arange(len(features)), config)
    manifest = {"styles": {style: {"threshold": 1.0} for style in heads.styles}}
    scorer = Scorer(
        name=f"{config.backbone}, a little trained", backbone=backbone, heads=heads, manifest=manifest, device=device
    )
    normal = np.concatenate(held_out)
    spoiled = scorer.score(with_defects(normal).tiles[1::3]).scores
    scorer.thresholds[:] = (scorer.score(normal).scores.max() + np.median(spoiled)) / 2
    return scorer, normal
