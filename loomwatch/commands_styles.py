"""The styles of a bundle: what it knows, one more, one less. A bundle is never changed, a new one is written."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from inspection.errors import SettingsError
from loomwatch.terminal import JSON, console, example, folder, progress_bar, write_json

BUNDLE = typer.Argument(help="Bundle folder; it stays as it is.")
OUT = typer.Option(None, "--out", help="Bundle folder to write; by default BUNDLE's name with the style's behind it.")
WEIGHTS = typer.Option(None, "--weights", help="The backbone's weights, for one that no package carries.")
LEARNED = {"trained": "trained", "added": "provisional", "finetuned": "fine-tuned"}


def register(app: typer.Typer) -> None:
    styles = typer.Typer(help="The fabric styles of a bundle: list, add, remove.", no_args_is_help=True)
    styles.command("list", epilog=example("loomwatch styles list bundles/aitex"))(list_styles)
    styles.command("add", epilog=example("loomwatch styles add bundles/aitex --data frames/denim --out bundles/more"))(
        add
    )
    styles.command("remove", epilog=example("loomwatch styles remove bundles/more denim --out bundles/less"))(remove)
    app.add_typer(styles, name="styles")


def list_styles(bundle: Path = BUNDLE, json_file: Path = JSON) -> None:
    """What a bundle knows: each style's threshold, how it was set, and on how many metres it rests."""
    from cras_core.bundle import read_manifest

    manifest = read_manifest(folder(bundle, what="bundle"))
    tell_styles(manifest)
    write_json(json_file, {"bundle": str(bundle), "name": manifest["name"], "styles": manifest["styles"]})


def add(
    bundle: Path = BUNDLE,
    data: Path = typer.Option(
        ..., "--data", help="20 or more normal frames or tiles of one style: a folder of them, or the MVTec AD layout."
    ),
    style: str = typer.Option("", help="The style's name; by default that of the folder."),
    out: Path = OUT,
    false_alarms: float = typer.Option(
        None,
        "--false-alarms",
        help="That its threshold may give, per 100 m of roll; by default the bundle's.",
    ),
    mm_per_px: float = typer.Option(
        None, min=0.001, max=99.0, help="Size of a pixel of the frames in mm; by default the bundle's."
    ),
    finetune: bool = typer.Option(
        False, "--finetune", help="Train shortly with the new style; needs --others. Every style's scores change."
    ),
    others: Path = typer.Option(
        None, "--others", help="With --finetune: normal fabric of all the bundle's styles, in the MVTec AD layout."
    ),
    weights: Path = WEIGHTS,
    device: str = typer.Option("auto", help="auto, cpu, cuda or cuda:N."),
    json_file: Path = JSON,
) -> None:
    """Add a style from its normal frames, in seconds and without training; the others score as before, to the bit."""
    from cras_core.added_style import add_style
    from cras_core.bundle import load_model, read_manifest, save_bundle
    from cras_core.device import pick_device
    from cras_core.finetuning import finetune_style
    from loomwatch.normal_frames import find_normal, find_others

    if false_alarms is not None and not 0 < false_alarms < math.inf:
        raise SettingsError(f"--false-alarms must be finite and greater than 0, got {false_alarms:g}")
    if finetune != (others is not None):
        raise SettingsError(
            "--finetune changes what every style scores: give normal fabric of the bundle's styles too (--others DIR)"
            if finetune
            else "--others is for --finetune: give both, or neither"
        )
    manifest = read_manifest(folder(bundle, what="bundle"))
    scale = manifest["mm_per_px"]
    if mm_per_px is not None and abs(mm_per_px - scale) > 0.01 * scale:
        raise SettingsError(f"bundle {bundle} sees {scale:g} mm/px, the frames have {mm_per_px:g}: capture them at its")
    samples = find_normal(folder(data, what="data folder"), style=style, tile_px=manifest["tile_px"])
    name = samples[0].style
    target = _free(out or bundle.with_name(f"{bundle.resolve().name}-{name}"))
    replayed = [] if others is None else find_others(folder(others, what="data folder"), styles=manifest["styles"])
    model = load_model(bundle, weights=weights)
    options: dict[str, Any] = {
        "device": pick_device(device),
        "false_alarms_per_100m": false_alarms,
        "provenance": {
            "data": str(data),
            "frames": len(samples),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "bundle": manifest["name"],
            "bundle_sha256": manifest["manifest_sha256"],
        },
    }
    with progress_bar("fine-tuning" if finetune else f"adding {name}") as bar:

        def tell(fraction: float) -> None:
            bar.tell(fraction, f"{len(samples)} frames")

        if finetune:
            changed = finetune_style(model, samples, replayed, progress=tell, **options)
        else:
            changed = add_style(model, samples, progress=tell, **options)
    metrics = {"loss": changed.losses[-1]} if finetune else manifest["metrics"]
    save_bundle(changed, target, name=target.name, provenance=manifest["provenance"], metrics=metrics)
    _tell_written(target, name, json_file)


def remove(
    bundle: Path = BUNDLE,
    style: str = typer.Argument(help="The style to leave out."),
    out: Path = OUT,
    weights: Path = WEIGHTS,
) -> None:
    """Write the bundle without a style; the others score as before, to the bit."""
    from cras_core.added_style import remove_style
    from cras_core.bundle import load_model, read_manifest, save_bundle

    manifest = read_manifest(folder(bundle, what="bundle"))
    target = _free(out or bundle.with_name(f"{bundle.resolve().name}-without-{style}"))
    changed = remove_style(load_model(bundle, weights=weights), style)
    save_bundle(changed, target, name=target.name, provenance=manifest["provenance"], metrics=manifest["metrics"])
    console.print(f"bundle [bold]{escape(str(target))}[/] without {escape(style)}: {escape(', '.join(changed.styles))}")


def tell_styles(manifest: dict[str, Any]) -> None:
    """Each style's threshold, and how it was set."""
    console.print(_table(manifest["styles"], title=escape(f"styles of {manifest['name']}")))
    for name, facts in manifest["styles"].items():
        console.print(f"{name}: {_how_set(facts['threshold_set'])}", soft_wrap=True, markup=False)


def _free(target: Path) -> Path:
    if target.exists():
        raise SettingsError(f"{target} is there already: name another folder with --out, or remove it")
    return target


def _tell_written(target: Path, name: str, json_file: Path | None) -> None:
    from cras_core.bundle import read_manifest

    styles = read_manifest(target)["styles"]
    console.print(_table({name: styles[name]}, title="added"))
    console.print(f"{name}: {_how_set(styles[name]['threshold_set'])}", soft_wrap=True, markup=False)
    if styles[name]["provisional"]:
        console.print(
            f"{name} is provisional: by statistics alone, until a training or --finetune has learned it", markup=False
        )
    console.print(f"bundle [bold]{escape(str(target))}[/] with {escape(', '.join(styles))}")
    write_json(json_file, {"bundle": str(target), "style": name, "styles": styles})


def _table(styles: dict[str, Any], *, title: str) -> Table:
    table = Table(title=title)
    for column in ("style", "learned", "tiles"):
        table.add_column(column, no_wrap=column != "style")
    for column in ("threshold", "95 %", "asked\nper 100 m", "rests on"):
        table.add_column(column, justify="right")
    for name, facts in styles.items():
        how = facts["threshold_set"]
        table.add_row(
            escape(name),
            LEARNED[facts["learned"]],
            str(facts["tiles"]),
            f"{facts['threshold']:.3f}",
            _interval(how["value_low"], how["value_high"]),
            f"{how['asked_per_100m']:g}",
            f"{how['metres']:.2f} m",
        )
    return table


def _interval(low: float, high: float) -> str:
    """One without width does not come from certainty: a single strip or frame cannot tell how others would differ."""
    return f"{low:.3f} to {high:.3f}" if low < high else "not known"


def _how_set(how: dict[str, Any]) -> str:
    """How a threshold was set, in words."""
    parts = [
        f"{how['calibration']}, {how['held_out_tiles']} tiles of {how['held_out_groups']} "
        f"{'half strips, its only one' if how['group_split'] else 'strips or frames'} held out in turn",
        f"{how['exceedances']} false alarms seen, "
        f"95 % {how['low_per_100m']:.3g} to {how['high_per_100m']:.3g} per 100 m",
    ]
    if how["extrapolated"]:
        parts.append(
            f"a tail extrapolation: {how['more_metres_needed']:.3g} m more of normal fabric would show the rate"
        )
    return "; ".join(parts)
