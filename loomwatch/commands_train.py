"""`loomwatch train`: normal fabric to a bundle, resumable, on one device or, started by torchrun, on several."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from cras_core.config import CrasConfig
from inspection.errors import SettingsError
from loomwatch.commands_styles import tell_styles
from loomwatch.terminal import JSON, console, folder, progress_bar, write_json

if TYPE_CHECKING:
    from cras_core.training import Progress

GB = 1_000_000_000
OURS, PAPER = CrasConfig(), CrasConfig.paper()


def _default(name: str) -> str:
    """The end of an option's help: what the setting is when it is not given."""
    ours, paper = getattr(OURS, name), getattr(PAPER, name)
    return f": {ours:g}." if ours == paper else f": {ours:g} (paper: {paper:g})."


def train(
    data: Path = typer.Option(
        ..., "--data", help="MVTec AD layout (CLASS/train/good/*) or VisA; every class is one style."
    ),
    out: Path = typer.Option(..., "--out", help="Bundle folder to write; OUT.training holds the work until then."),
    recipe: str = typer.Option(
        "loomwatch", help="loomwatch, or paper: CRAS as published, unchanged. Options below replace single settings."
    ),
    ablation: str = typer.Option(
        None,
        help="Leave a part of the paper out: A, B, C, D, E, dafs-unscaled, dafs-residual-norm, dafs-noise-norm, "
        "crd-raw (E), crd-residual, crd-raw+raw or crd-residual+residual.",
    ),
    backbone: str = typer.Option(
        None, help="efficientnet_lite2 (default), 1 or 0, wide_resnet50_2 (paper), or any network of timm: timm:NAME."
    ),
    weights: Path = typer.Option(
        None, "--weights", help="The backbone's weights (.pth, .safetensors), for one that no package carries."
    ),
    levels: str = typer.Option(
        None, help="Levels of the backbone, ascending, such as 2,3; level l has stride 2^(l+1)."
    ),
    neighbourhood: int = typer.Option(None, min=1, help="Side of the square each vector is averaged over, odd: 3."),
    centers: str = typer.Option(
        None, help="A style's memory: kmeans (default), coreset, position (paper, eq. 1) or sample (one tile)."
    ),
    centers_per_style: int = typer.Option(None, min=1, help="How many, of kmeans or coreset: 64."),
    routing: str = typer.Option(None, help="How a tile finds its style: discriminant (default) or cosine (eq. 2)."),
    noise_deviation: float = typer.Option(
        None, "--noise-deviation", "-s", help=f"s of eq. 4{_default('noise_deviation')}"
    ),
    noise_scaling: float = typer.Option(
        None, "--noise-scaling", "-k", min=0.0, help=f"k of eq. 5{_default('noise_scaling')} 1: unscaled."
    ),
    calibration: str = typer.Option(
        None,
        help="Thresholds from folds that are left out in turn, crossfit (default), or from one alone, holdout: a third "
        "of the time, less fabric.",
    ),
    false_alarms: float = typer.Option(
        None, "--false-alarms", help="That a threshold may give, per 100 m of roll: 10.", show_default=False
    ),
    epochs: int = typer.Option(
        None, min=1, help=f"Passes over the tiles: as many as make {OURS.steps} steps (paper: {PAPER.epochs})."
    ),
    batch_size: int = typer.Option(
        None, min=1, help=f"Tiles in a step, over all processes together{_default('batch_size')}"
    ),
    tile: int = typer.Option(
        None, min=32, max=4096, help="Side of a tile in px, 256 (paper: 288); pictures are resized to it."
    ),
    mm_per_px: float = typer.Option(0.2, min=0.001, max=99.0, help="Size of a pixel on the cloth in mm."),
    seed: int = typer.Option(0, min=0, help="The same seed gives the same model."),
    resume: bool = typer.Option(
        False, "--resume", help="Go on from OUT.training, with the same options; without one, begin."
    ),
    checkpoint_s: float = typer.Option(30.0, min=0.0, help="Seconds between two checkpoints; 0: after every step."),
    memory_gb: float = typer.Option(
        2.0,
        min=0.0,
        max=1e6,
        help="Features beyond this are memory-mapped from a file in OUT.training (half precision).",
    ),
    precision: str = typer.Option("auto", help="auto (bfloat16, mixed, on CUDA), float32 or bfloat16."),
    device: str = typer.Option("auto", "--device", help="auto, cpu, cuda or cuda:N; torchrun gives each process one."),
    json_file: Path = JSON,
) -> None:
    """Train one model on normal fabric of one or more styles."""
    from cras_core import team
    from cras_core.bundle import read_manifest, save_bundle
    from cras_core.checkpoint import TrainingFolder
    from cras_core.dataset import read_layout
    from cras_core.features import samples_of
    from cras_core.training import train as fit

    if out.exists():
        raise SettingsError(f"{out} is there already: name another folder with --out, or remove it")
    config = _config(
        recipe,
        ablation,
        {
            "backbone": backbone,
            "levels": _levels(levels),
            "neighbourhood": neighbourhood,
            "centers": centers,
            "centers_per_style": centers_per_style,
            "routing": routing,
            "calibration": calibration,
            "false_alarms_per_100m": false_alarms,
            "noise_deviation": noise_deviation,
            "noise_scaling": noise_scaling,
            "epochs": epochs,
            "batch_size": batch_size,
            "tile_px": tile,
            "mm_per_px": mm_per_px,
            "seed": seed,
        },
    )
    samples = samples_of(read_layout(folder(data, what="data folder")))
    with team.join_team(device) as own_device:
        first = team.rank() == 0
        work = TrainingFolder.begin(out.with_name(f"{out.name}.training"), resume=resume, every_s=checkpoint_s)
        if resume and first and not work.begun:
            console.print(f"{work.path} holds no checkpoint: begins")
        with _keeping(work), progress_bar("training CRAS", shown=first) as bar:

            def tell(progress: "Progress") -> None:
                bar.tell(progress.fraction, _words(progress))

            model = fit(
                samples,
                config,
                device=own_device,
                progress=tell,
                weights=weights,
                folder=work,
                precision=precision,
                in_memory_bytes=round(memory_gb * GB),
            )
        if first:
            provenance = {"data": str(data), "recipe": recipe, "ablation": ablation or ""}
            save_bundle(model, out, name=out.name, provenance=provenance, metrics={"loss": model.losses[-1]})
            console.print(f"bundle [bold]{escape(str(out))}[/]")
            manifest = read_manifest(out)
            tell_styles(manifest)
            told = ("tiles", "threshold", "threshold_set")
            styles = {name: {key: facts[key] for key in told} for name, facts in manifest["styles"].items()}
            write_json(json_file, {"bundle": str(out), "styles": styles, "losses": list(model.losses)})
        work.remove()


@contextmanager
def _keeping(work: Any) -> Iterator[None]:
    """What is left behind when a training ends early: something to go on with, or nothing."""
    from cras_core import team
    from cras_core.errors import CheckpointError, CrasError

    try:
        yield
    except KeyboardInterrupt:
        if team.rank() == 0:
            console.print(f"stopped; {work.path} is kept: the same command with --resume goes on")
        raise
    except CheckpointError:
        raise
    except CrasError:
        if not work.begun:
            work.remove()
        raise


def _config(recipe: str, ablation: str | None, asked: dict[str, Any]) -> CrasConfig:
    """The recipe, with what was asked for in its place, less what the ablation leaves out."""
    changes = {name: value for name, value in asked.items() if value is not None}
    if recipe not in ("loomwatch", "paper"):
        raise SettingsError(f"recipe must be one of loomwatch, paper, got {recipe!r}")
    config = CrasConfig.paper(**changes) if recipe == "paper" else CrasConfig.from_dict(changes)
    return config if ablation is None else config.ablated(ablation)


def _levels(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError as error:
        raise SettingsError(f"levels must be numbers with commas between, such as 2,3, got {text!r}") from error


def _words(progress: "Progress") -> str:
    if not progress.epochs:
        return progress.stage
    return f"{progress.stage}, epoch {progress.epoch} of {progress.epochs}, loss {progress.loss:.4f}"
