"""Data sets: cut them from annotated frames, check what is in them."""

from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from inspection.errors import SettingsError
from loomwatch.terminal import JSON, console, example, folder, progress_bar, write_json


def register(app: typer.Typer) -> None:
    dataset = typer.Typer(help="Cut and check data sets.", no_args_is_help=True)
    dataset.command("cut", epilog=example("loomwatch dataset cut data/aitex/frames --out data/tiles"))(cut)
    dataset.command("check", epilog=example("loomwatch dataset check data/aitex/tiles"))(check)
    app.add_typer(dataset, name="dataset")


def cut(
    frames: Path = typer.Argument(help="Annotated frames: STYLE/good/* and STYLE/KIND/*, such as STYLE/defect/*."),
    masks: Path = typer.Option(None, help="Masks NAME_mask*.png, flat or in STYLE/; by default anywhere in FRAMES."),
    out: Path = typer.Option(..., "--out", help="Folder to write, in the MVTec AD layout; it must not exist."),
    tile: int = typer.Option(256, min=32, max=4096, help="Side of a tile in px."),
    overlap: int = typer.Option(0, min=0, help="Overlap of neighbouring tiles in px."),
    train_share: float = typer.Option(0.7, help="Share of each style's good frames to train on; frames stay whole."),
    seed: int = typer.Option(0, min=0, help="Which frames those are."),
    min_defect_px: int = typer.Option(1, min=1, help="A tile with fewer mask pixels, but some, is left out."),
    keep_clean: bool = typer.Option(
        False, "--keep-clean", help="Put tiles of defect frames without mask pixels into test/good."
    ),
    json_file: Path = JSON,
) -> None:
    """Cut annotated frames into tiles of fabric, to train on and to evaluate with."""
    from loomwatch.dataset_cut import CutSettings, cut_data_set

    settings = CutSettings(
        tile_px=tile,
        overlap_px=overlap,
        train_share=train_share,
        seed=seed,
        min_defect_px=min_defect_px,
        keep_clean=keep_clean,
    )
    with progress_bar("cutting") as bar:
        styles = cut_data_set(frames, out, settings, masks=masks, progress=bar.tell)
    table = Table(title="tiles", caption="clean, small: tiles of defect frames without mask pixels, or with too few")
    for column in ("style", "train good", "test good", "defects", "left out"):
        table.add_column(column, justify="right" if column.endswith("good") else "left")
    for name, each in styles.items():
        kinds = ", ".join(f"{kind} {count}" for kind, count in each.test_defects.items())
        left = f"clean {each.left_clean}, small {each.left_small}"
        table.add_row(escape(name), str(each.train_good), str(each.test_good), escape(kinds) or "0", left)
    console.print(table)
    for name, each in styles.items():
        frames_of = (
            f"{each.frames_train} good frames to train on, {each.frames_test} to test, {each.frames_defect} defect"
        )
        console.print(f"{name}: {frames_of}", markup=False)
        if each.mask_px_outside:
            console.print(f"{name}: {each.mask_px_outside} mask pixels lie beside the fabric", markup=False)
        if each.frames_missed:
            console.print(f"{name}: no tile shows the defect of {', '.join(each.frames_missed)}", markup=False)
    console.print(f"data set [bold]{escape(str(out))}[/]")
    write_json(json_file, {name: each.to_dict() for name, each in styles.items()})


def check(
    data: Path = typer.Argument(help="A data set: MVTec AD layout or VisA, a folder around it, or one class of it."),
    json_file: Path = JSON,
) -> None:
    """Say what a data set is, what is in it, and what is wrong with it."""
    from loomwatch.dataset_check import check_data_set

    found = check_data_set(folder(data, what="data folder"))
    table = Table(title=escape(f"{found.kind} in {found.folder}"))
    for column in ("class", "train good", "test good", "defects", "px"):
        table.add_column(column, justify="right" if column.endswith("good") else "left")
    for each in found.classes:
        kinds = ", ".join(f"{kind} {count}" for kind, count in each.defects.items())
        more = f" and {len(each.sizes) - 1} more" if len(each.sizes) > 1 else ""
        sizes = f"{each.sizes[0]}{more}" if each.sizes else ""
        table.add_row(escape(each.name), str(each.train), str(each.test_good), escape(kinds) or "0", sizes)
    console.print(table)
    if found.absent:
        console.print(f"not here: {', '.join(found.absent)}")
    for each in found.classes:
        for words in each.missing:
            console.print(words, style="yellow", markup=False, soft_wrap=True)
    for problem in found.problems:
        console.print(problem, style="red", markup=False, soft_wrap=True)
    write_json(
        json_file,
        {
            "kind": found.kind,
            "folder": str(found.folder),
            "absent": list(found.absent),
            "classes": {
                each.name: {
                    "train": each.train,
                    "test_good": each.test_good,
                    "defects": each.defects,
                    "sizes": list(each.sizes),
                    "problems": list(each.problems),
                    "missing": list(each.missing),
                }
                for each in found.classes
            },
        },
    )
    if found.problems:
        count = "a problem" if len(found.problems) == 1 else f"{len(found.problems)} problems"
        raise SettingsError(f"{data} has {count}, the first: {found.problems[0]}")
