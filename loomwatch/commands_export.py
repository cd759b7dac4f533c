"""`loomwatch export`: a bundle for another engine, and `--runtime`, by which evaluate and inspect score by one."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from loomwatch.terminal import JSON, console, folder, write_json

if TYPE_CHECKING:
    from cras_core.scoring import Scorer

RUNTIME = typer.Option(
    "torch-float32", "--runtime", help="What computes: a runtime's name, or a folder that loomwatch export wrote."
)


def export(
    bundle: Path = typer.Argument(help="Bundle folder."),
    out: Path = typer.Option(..., "--out", help="Folder to write."),
    runtime: str = typer.Option(
        "onnx-float32", "--runtime", help="onnx-float32, openvino-f32, openvino-bf16 or openvino-int8."
    ),
    weights: Path = typer.Option(None, "--weights", help="The backbone's weights, for one that no package carries."),
    json_file: Path = JSON,
) -> None:
    """Export a bundle for another engine. What does not decide as PyTorch does is refused."""
    import torch

    from cras_core.bundle import load_bundle, read_tiles
    from cras_core.runtimes.exports import export as write
    from cras_core.runtimes.exports import read_export

    place = folder(bundle, what="bundle")
    scorer = load_bundle(place, device=torch.device("cpu"), weights=weights)
    with console.status(f"exporting {scorer.name} for {runtime}"):
        write(scorer, runtime, read_tiles(place), out)
    record = read_export(out)
    parity = record["parity"]
    console.print(
        f"export [bold]{escape(str(out))}[/]: {', '.join(record['files']) or 'nothing to write for this runtime'}; "
        f"scores within {parity['score_error']:.2g}, masks {parity['mask_iou']:.3f}, "
        f"decisions {parity['decisions']:.0%} alike"
    )
    write_json(json_file, record)


@contextmanager
def scoring_by(scorer: "Scorer", bundle: Path, runtime: str) -> Iterator[None]:
    """Gives `scorer` the runtime named, made in a temporary folder, or that of an export. Raises `EngineError`."""
    from cras_core.bundle import read_tiles
    from cras_core.runtimes.builders import REFERENCE
    from cras_core.runtimes.exports import export as write
    from cras_core.runtimes.exports import load_export

    if runtime == REFERENCE:
        yield
        return
    if Path(runtime).is_dir():
        scorer.runtime = load_export(scorer, Path(runtime))
        yield
        return
    with tempfile.TemporaryDirectory(prefix="loomwatch-export-") as place:
        scorer.runtime = write(scorer, runtime, read_tiles(bundle), Path(place, "export"))
        yield
