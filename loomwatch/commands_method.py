"""The method without a line around it: inspect and bench, and, of modules of their own, train, evaluate and export."""

import json
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from inspection.errors import LoomwatchError, SettingsError
from loomwatch.commands_evaluate import evaluate
from loomwatch.commands_export import RUNTIME, export, scoring_by
from loomwatch.commands_train import train
from loomwatch.terminal import JSON, console, example, folder, progress_bar, write_json

BUNDLE = typer.Option(..., "--bundle", help="Bundle folder.")
DEVICE = typer.Option("auto", "--device", help="auto, cpu, cuda or cuda:N.")
WEIGHTS = typer.Option(
    None, "--weights", help="The backbone's weights (.pth, .safetensors), for one that no package carries."
)


def register(app: typer.Typer) -> None:
    app.command(epilog=example("loomwatch train --data data/aitex/tiles --out bundles/aitex"))(train)
    app.command(epilog=example("loomwatch evaluate --bundle bundles/aitex --data data/aitex/tiles"))(evaluate)
    app.command(epilog=example("loomwatch inspect data/frames --bundle bundles/aitex --out inspected"))(inspect)
    app.command(epilog=example("loomwatch export bundles/aitex --out exports/aitex"))(export)
    bench = typer.Typer(help="How fast it is on this machine.", no_args_is_help=True)
    bench.command("scorer", epilog=example("loomwatch bench scorer --bundle bundles/aitex"))(bench_scorer)
    bench.command(
        "pipeline",
        epilog=example(
            "loomwatch bench pipeline",
            "loomwatch bench pipeline --bundle bundles/sim --minutes 10 --json pipeline.json",
        ),
    )(bench_pipeline)
    bench.command(
        "storage",
        epilog=example(
            "loomwatch bench storage --scale 0.02 --json storage.json",
            "loomwatch bench storage --database sqlite --database postgresql --folder years",
        ),
    )(bench_storage)
    bench.command(
        "dashboard",
        epilog=example(
            "loomwatch bench dashboard --bundle bundles/sim --json dashboard.json",
            "loomwatch bench dashboard --bundle bundles/sim --only memory --minutes 120 --json memory.json",
            "loomwatch bench dashboard --only pages --store sqlite:///year/loomwatch.db --json pages.json",
        ),
    )(bench_dashboard)
    bench.command("training", epilog=example("loomwatch bench training --kills 10 --json training.json"))(
        bench_training
    )
    app.add_typer(bench, name="bench")


def inspect(
    path: Path = typer.Argument(help="A frame, or a folder of frames (folders in it too)."),
    bundle: Path = BUNDLE,
    out: Path = typer.Option(..., "--out", help="Folder for overlays and results.jsonl."),
    style: str = typer.Option("", help="Fabric style; empty: every tile finds its own."),
    mm_per_px: float = typer.Option(
        None, min=0.001, max=99.0, help="Size of a pixel on the cloth in mm; by default the bundle's."
    ),
    overlap: int = typer.Option(0, min=0, help="Overlap of neighbouring tiles in px."),
    runtime: str = RUNTIME,
    weights: Path = WEIGHTS,
    device: str = DEVICE,
    json_file: Path = JSON,
) -> None:
    """Inspect frames without a line: an overlay a frame, defects in results.jsonl."""
    from cras_core.bundle import load_bundle
    from cras_core.device import pick_device
    from inspection.errors import ImageError
    from loomwatch.frames import find_frames, inspect_file

    frames = find_frames(path)
    scorer = load_bundle(folder(bundle, what="bundle"), device=pick_device(device), weights=weights)
    if style and style not in scorer.styles:
        raise SettingsError(f"style {style!r} is not in the bundle: it knows {', '.join(scorer.styles)}")
    scale = scorer.mm_per_px if mm_per_px is None else mm_per_px
    scorer.check(tile_px=scorer.tile_px, mm_per_px=scale)
    out.mkdir(parents=True, exist_ok=True)
    totals = {"frames": 0, "tiles": 0, "defects": 0, "unreadable": 0}
    bad: list[str] = []
    with (
        scoring_by(scorer, bundle, runtime),
        (out / "results.jsonl").open("w") as results,
        progress_bar("inspecting") as bar,
    ):
        for number, frame in enumerate(frames):
            try:
                row = inspect_file(scorer, frame, root=path, out=out, style=style, mm_per_px=scale, overlap_px=overlap)
                totals["frames"] += 1
                totals["tiles"] += row["tiles"]
                totals["defects"] += len(row["defects"])
            except ImageError as error:
                row = {"file": str(frame), "error": str(error)}
                totals["unreadable"] += 1
                bad.append(str(error))
            results.write(json.dumps(row) + "\n")
            bar.tell((number + 1) / len(frames), f"{totals['defects']} defects")
    console.print(f"{totals['frames']} frames, {totals['defects']} defects, overlays in [bold]{escape(str(out))}[/]")
    write_json(json_file, totals)
    if bad:
        more = f" (and {len(bad) - 1} more, see results.jsonl)" if len(bad) > 1 else ""
        raise LoomwatchError(f"{bad[0]}{more}")


def bench_scorer(
    bundle: Path = typer.Option(
        None, "--bundle", help="Bundle folder; without one a model of simulated cloth is timed."
    ),
    backbone: str = typer.Option(
        "efficientnet_lite0",
        help="Of that model; efficientnet_lite2 is the default of train, wide_resnet50_2 the paper's.",
    ),
    tile: int = typer.Option(None, min=32, max=1024, help="Its tile in px; by default 256, the paper's 288."),
    runtime: list[str] = typer.Option([], "--runtime", help="A runtime to time, again for more; by default all."),
    batch_size: int = typer.Option(8, min=1, help="Tiles scored at once."),
    runs: int = typer.Option(7, min=1, help="Counted rounds, after one that is not."),
    weights: Path = WEIGHTS,
    device: str = DEVICE,
    json_file: Path = JSON,
) -> None:
    """Time the model alone, uint8 tiles to smoothed maps: the paper's graph, the folded one, every runtime."""
    from cras_core.device import pick_device
    from cras_core.runtimes.builders import builder
    from loomwatch.bench_scorer import bundle_or_backbone, time_scorer

    chosen = pick_device(device)
    for name in runtime:
        builder(name, chosen)  # refuses what cannot be timed here, before a model is made
    tile_px = tile or (288 if backbone == "wide_resnet50_2" else 256)
    place = None if bundle is None else folder(bundle, what="bundle")
    with bundle_or_backbone(place, backbone=backbone, tile_px=tile_px, weights=weights, device=chosen) as (
        scorer,
        tiles,
    ):
        figures = time_scorer(scorer, tiles, names=runtime, batch_size=batch_size, runs=runs)
    console.print(_bench_table(figures))
    for name, row in figures["runtimes"].items():
        if reason := row.get("error") or row["problem"]:
            console.print(f"{name}: not to be used, {reason}")
    write_json(json_file, figures)


def _bench_table(figures: dict[str, Any]) -> Table:
    table = Table("runtime", "tiles/s", "least, most", "ratio", "peak MB", "IoU", "AUROC")
    for name, row in figures["runtimes"].items():
        if "error" not in row:
            spread = f"{row['tiles_per_s_min']:.1f}, {row['tiles_per_s_max']:.1f}"
            peak = "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
            points = "/".join(f"{value:+z.1f}" for value in row["auroc_points"].values())
            agreement = f"{row['agreement']['mask_iou']:.3f}"
            table.add_row(
                name, f"{row['tiles_per_s_median']:.1f}", spread, f"{row['ratio']:.2f}", peak, agreement, points
            )
    return table


def bench_pipeline(
    bundle: Path = typer.Option(None, "--bundle", help="Bundle folder; without one only the runs with a constant."),
    only: list[str] = typer.Option([], "--only", help="constant, real, kills or swap, again for more; by default all."),
    minutes: float = typer.Option(0.25, min=0.05, help="Minutes of each run."),
    kill_every: float = typer.Option(0.0, min=0.0, help="Seconds between kills; 0: 60, or a quarter of a short run."),
    style: str = typer.Option("plain", help="The simulator's weave, for the bundle."),
    runtime: str = typer.Option("torch-float32", help="The bundle's runtime."),
    width_mm: float = typer.Option(412.0, min=60.0, help="Width of the cloth that the bundle inspects."),
    workers: int = typer.Option(1, min=1, max=2, help="Of the swap's run."),
    json_file: Path = JSON,
) -> None:
    """Measure the whole line with real processes: speed, CPU, memory, latency, and that nothing is lost."""
    from loomwatch import bench_pipeline as runs
    from loomwatch.bench_swap import time_swap

    known = ("constant", "real", "kills", "swap")
    if wrong := [name for name in only if name not in known]:
        raise SettingsError(f"--only takes {', '.join(known)}, got {wrong[0]!r}")
    bare = [name for name in only if name in ("real", "swap") and bundle is None]
    if bare:
        raise SettingsError(f"--only {bare[0]} needs --bundle")
    chosen = only or [name for name in known if name not in ("real", "swap") or bundle is not None]
    seconds = minutes * 60
    results: dict[str, Any] = {}
    for name in chosen:
        match name:
            case "constant":
                results[name] = runs.time_constant(seconds=seconds)
            case "real":
                place = folder(bundle, what="bundle")
                results[name] = runs.time_real(place, seconds=seconds, style=style, runtime=runtime, width_mm=width_mm)
            case "swap":
                place = folder(bundle, what="bundle")
                results[name] = time_swap(
                    place, seconds=seconds, style=style, runtime=runtime, width_mm=width_mm, workers=workers
                )
            case "kills":
                results[name] = runs.time_kills(seconds=seconds, kill_every_s=kill_every or min(60.0, seconds / 4))
        console.print(_figures_table(name, results[name]["figures"]))
        write_json(json_file, results)


def _figures_table(name: str, figures: list[dict[str, Any]]) -> Table:
    table = Table(name, "", "", "target", "", box=None, pad_edge=False)
    for row in figures:
        mark = "" if not row["target"] else "[green]met[/]" if row["good"] else "[bold red]missed[/]"
        table.add_row(row["name"], f"{row['value']:.2f}", row["unit"], row["target"], mark)
    return table


def bench_dashboard(
    bundle: Path = typer.Option(
        None,
        "--bundle",
        help="Bundle folder that the line inspects with; of pages, what their models are like.",
        show_default=False,
    ),
    only: list[str] = typer.Option([], "--only", help="load, memory or pages; repeatable. By default load and memory."),
    store: str = typer.Option(
        "", help="URL of the store that the pages show, filled by loomwatch bench storage --folder.", show_default=False
    ),
    tries: int = typer.Option(20, min=2, help="Of each page and filter."),
    minutes: float = typer.Option(0.5, min=0.05, help="Minutes of each part of a run."),
    viewers: int = typer.Option(
        None, min=1, max=50, help="On the page Line; 8 for load, 4 for memory.", show_default=False
    ),
    reviewers: int = typer.Option(2, min=0, max=20, help="On the page Review, for load: 300 verdicts an hour each."),
    speed_m_min: float = typer.Option(
        2.0, min=0.05, help="Of the line, for memory; for load it runs as fast as it goes."
    ),
    style: str = typer.Option("plain", help="The simulator's weave, for the bundle."),
    runtime: str = typer.Option("torch-float32", help="The bundle's runtime."),
    width_mm: float = typer.Option(205.0, min=60.0, help="Width of the cloth that the bundle inspects."),
    port: int = typer.Option(8531, min=1, max=65535, help="The dashboard's."),
    json_file: Path = JSON,
) -> None:
    """Measure what people before the dashboard cost the line, its memory over hours, and how fast its pages are."""
    from loomwatch import bench_dashboard as runs
    from loomwatch.bench_pages import time_pages

    known = ("load", "memory", "pages")
    names, results = only or known[:2], dict[str, Any]()
    if wrong := [name for name in names if name not in known]:
        raise SettingsError(f"--only takes {', '.join(known)}, got {wrong[0]!r}")
    if "pages" in names and not store:
        raise SettingsError("--only pages needs --store URL, of a store filled by loomwatch bench storage --folder")
    if bundle is None and set(names) != {"pages"}:
        raise SettingsError("--bundle is missing: load and memory need a model to inspect with")
    place = folder(bundle, what="bundle") if bundle is not None else None
    for name in names:
        if name == "pages":
            results[name] = time_pages(store, tries=tries, port=port, tell=console.print, bundle=place)
        else:
            assert place is not None
            with runs.WatchedLine(place, style=style, runtime=runtime, width_mm=width_mm, port=port) as line:
                if name == "load":
                    results[name] = runs.time_load(
                        line, seconds=minutes * 60, viewers=viewers or 8, reviewers=reviewers
                    )
                else:
                    results[name] = runs.watch_memory(
                        line,
                        seconds=minutes * 60,
                        viewers=viewers or 4,
                        speed_m_min=speed_m_min,
                        tell=lambda so_far: write_json(json_file, {"memory": so_far}),
                    )
        console.print(_figures_table(name, results[name]["figures"]))
        write_json(json_file, results)


def bench_training(
    kills: int = typer.Option(10, min=0, max=1000, help="Trainings whose process or trainer is killed, in turn."),
    steps: int = typer.Option(100, min=10, help="Of each training: how long it takes."),
    seed: int = typer.Option(0, help="Of the moments."),
    json_file: Path = JSON,
) -> None:
    """Kill trainers and trainings at random moments: each must end in the right model or in a loud failure."""
    from loomwatch.bench_training import kill_trainings

    found = kill_trainings(kills=kills, steps=steps, seed=seed, tell=console.print)
    console.print(_figures_table("training", found["figures"]))
    write_json(json_file, found)


def bench_storage(
    scale: float = typer.Option(1.0, min=0.001, max=10.0, help="Of a year: 2 million frames, 3,000 rolls."),
    database: list[str] = typer.Option(
        ["sqlite"],
        help="sqlite, postgresql (a server of its own) or the URL of a PostgreSQL database, empty or filled by this. "
        "Repeatable.",
    ),
    folder: Path = typer.Option(None, help="Keep what is filled in this folder, to be measured again."),
    seconds: float = typer.Option(10.0, min=1.0, help="Of writing, each time."),
    repeats: int = typer.Option(20, min=2, help="Of each read; the first does not count."),
    json_file: Path = JSON,
) -> None:
    """Fill a year of one line, then time every screen's reads, writing, and the size on disk, beside the targets."""
    from loomwatch.bench_storage import bench_storage as measure

    figures = measure(
        databases=database,
        folder=folder,
        scale=scale,
        seconds=seconds,
        repeats=repeats,
        tell=lambda words: console.print(words),
    )
    table = Table("database", "what", "measured", "target", "")
    for each in figures:
        limit = f"{'at most' if each['most'] else 'at least'} {each['target']:g} {each['unit']}"
        table.add_row(each["database"], each["name"], f"{each['value']:.2f} {each['unit']}", limit,
                      "met" if each["met"] else "missed")  # fmt: skip
    console.print(table)
    write_json(json_file, {"scale": scale, "figures": figures})
