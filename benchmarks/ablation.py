"""The paper's parts left out one at a time, other choices of ours, and a baseline, on any data set that is recognized:

    python -m benchmarks.ablation DATA --out DIR [--settings CRAS,A,B] [--vary s=0.3,0.7] [--vary backbone=NAME] ...

Every setting is trained once a seed, for the epochs it asks for; the figures are the last step's heads', every test
picture finds its own class. The frozen backbone sees each picture once: what settings share is computed once. The
baseline is the distance to the nearest of vectors drawn from all classes' normal pictures, one memory for all, on the
same standardized features; it shares no code with CRAS's heads and maps.

DIR/runs.csv holds a line for each setting, seed and class, written when a run ends, and what it holds is not run
again; DIR/ablation.csv and DIR/ablation.md hold mean and deviation over the seeds. `--speed RUNTIME` adds tiles/s,
every setting in turn in one run.
"""

import csv
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from cras_core.backbone import build_backbone
from cras_core.config import ABLATIONS, CrasConfig
from cras_core.dataset import GOOD, Layout, read_layout
from cras_core.device import pick_device
from cras_core.errors import ConfigError, CrasError
from cras_core.features import Extractor, Features, extract_features, samples_of
from cras_core.graph import ROUTE, ScoringGraph
from cras_core.heads import Heads
from cras_core.metrics import aupro, auroc, average_precision, f1_max
from cras_core.runtimes.builders import build
from cras_core.score_map import ScoreMap, patch_scores
from cras_core.scored_class import read_test
from cras_core.training import fit_heads

FULL, BASELINE = "CRAS", "nearest-neighbour"
SHORT = {"s": "noise_deviation", "k": "noise_scaling", "centers_per_class": "centers_per_style"}
HEADS = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "aupro": "AUPRO",
    "routing": "routing",
}
FIGURES = tuple(HEADS)
FEATURE_SETTINGS = ("backbone", "tile_px", "resize_px", "levels", "embedding_dim", "neighbourhood")
BATCH = 16  # tiles
SPEED_ROUNDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A row of the table. config: None for the baseline."""

    name: str
    config: CrasConfig
    trained: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFeatures:
    """vectors: (N, P, D); labels (class indices), anomalous: (N,); masks: (N, T, T), empty where a class has none."""

    __test__ = False  # not a test case, whatever its name makes pytest think

    vectors: NDArray[np.float16]
    labels: NDArray[np.int64]
    anomalous: NDArray[np.bool_]
    masks: NDArray[np.bool_]


@dataclass(slots=True)
class FeatureCache:
    """Features of the training and the test pictures, for one kind of features at a time: rows come sorted by it."""

    layout: Layout
    device: torch.device
    weights: Path | None
    tell: Callable[[str], None]
    _held: dict[tuple[Any, ...], tuple[Extractor, Features, TestFeatures]] = field(default_factory=dict)

    def of(self, config: CrasConfig) -> tuple[Extractor, Features, TestFeatures]:
        key = feature_key(config)
        if key not in self._held:
            self._held.clear()
            self.tell(f"features of {', '.join(str(value) for value in key if value is not None)}")
            backbone = build_backbone(config.backbone, levels=config.levels, weights=self.weights)
            extractor = Extractor(backbone, config, device=self.device)
            learned = extract_features(samples_of(self.layout), extractor, config, progress=lambda _: None)
            self._held[key] = extractor, learned, extract_test(self.layout, extractor, learned.styles, config)
        return self._held[key]


def feature_key(config: CrasConfig) -> tuple[Any, ...]:
    return tuple(getattr(config, name) for name in FEATURE_SETTINGS)


def extract_test(layout: Layout, extractor: Extractor, styles: Sequence[str], config: CrasConfig) -> TestFeatures:
    """Every test picture, fitted to a tile as in training, through the backbone, once. Raises `PictureError`."""
    folders = [layout.classes[name] for name in styles]
    places = [(folder, index) for folder in folders for index in range(len(folder.test))]
    vectors, masks = [], []
    for start in range(0, len(places), BATCH):
        read = [
            read_test(folder, index, tile_px=config.tile_px, resize_px=config.resize_px)
            for folder, index in places[start : start + BATCH]
        ]
        vectors.append(extractor.extract(np.stack([tile for tile, _ in read])).half().cpu().numpy())
        masks += [mask for _, mask in read]
    return TestFeatures(
        vectors=np.concatenate(vectors),
        labels=np.asarray([styles.index(folder.name) for folder, _ in places]),
        anomalous=np.asarray([folder.test[index].kind != GOOD for folder, index in places]),
        masks=np.stack(masks),
    )


def score_cras(heads: Heads, extractor: Extractor, test: TestFeatures) -> tuple[NDArray[np.float32], list[int]]:
    """Maps (N, T, T) of pictures that find their own class, and which they found."""
    config = heads.config
    maps = ScoreMap(grid_px=extractor.grid_px, tile_px=config.tile_px, smoothing_px=config.smoothing_px)
    maps = maps.to(extractor.device)
    found, routed = [], []
    with torch.inference_mode():
        for start in range(0, len(test.vectors), BATCH):
            x = torch.from_numpy(test.vectors[start : start + BATCH]).to(extractor.device).float()
            styles = heads.route(x)
            found.append(maps(patch_scores(heads(x, styles), config.score_scale)).cpu().numpy())
            routed += styles.tolist()
    return np.concatenate(found), routed


def score_nearest(
    learned: Features, test: TestFeatures, config: CrasConfig, *, memory_vectors: int
) -> NDArray[np.float32]:
    """Maps (N, T, T) of the distance to the nearest of `memory_vectors`, drawn evenly from all normal pictures.

    Channels are standardized as CRAS's are; then bilinear upsampling and a Gaussian, as eq. 9.
    """
    random = np.random.default_rng(config.seed)
    tiles, positions, _ = learned.vectors.shape
    drawn = np.sort(random.permutation(tiles * positions)[:memory_vectors])
    memory = learned.vectors[drawn // positions, drawn % positions].astype(np.float32)
    mean, deviation = memory.mean(0), np.maximum(memory.std(0), 1e-6)
    keys = torch.from_numpy((memory - mean) / deviation).to(learned.device)
    squares = keys.square().sum(1)
    side, size = round(positions**0.5), (config.tile_px,) * 2
    maps = np.empty((len(test.vectors), *size), np.float32)
    for index, vectors in enumerate(test.vectors):
        x = torch.from_numpy((vectors.astype(np.float32) - mean) / deviation).to(learned.device)
        nearest = (squares - 2 * x @ keys.T).amin(1) + x.square().sum(1)
        grid = nearest.clamp_min(0).sqrt().view(side, side).cpu().numpy()
        grown = cv2.resize(grid, size, interpolation=cv2.INTER_LINEAR)
        sigma = config.smoothing_px
        maps[index] = cv2.GaussianBlur(grown, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) if sigma else grown
    return maps


def figures_of(
    maps: NDArray[np.float32], routed: Sequence[int] | None, test: TestFeatures, styles: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Of each class, and "mean" over the classes that have a figure."""
    figures: dict[str, dict[str, float | None]] = {}
    scores = maps.max((1, 2))
    for index, style in enumerate(styles):
        own = test.labels == index
        figures[style] = {
            "image_auroc": auroc(scores[own], test.anomalous[own]),
            "image_ap": average_precision(scores[own], test.anomalous[own]),
            "image_f1_max": f1_max(scores[own], test.anomalous[own]),
            "pixel_auroc": auroc(maps[own], test.masks[own]),
            "pixel_ap": average_precision(maps[own], test.masks[own]),
            "aupro": aupro(maps[own], test.masks[own]),
            "routing": None if routed is None else float(np.mean(np.asarray(routed)[own] == index)),
        }
    mean: dict[str, float | None] = {}
    for name in FIGURES:
        values = [value for own_figures in figures.values() if (value := own_figures[name]) is not None]
        mean[name] = statistics.fmean(values) if values else None
    if routed is not None:  # of pictures, as `loomwatch evaluate` counts it
        mean["routing"] = float(np.mean(np.asarray(routed) == test.labels))
    return figures | {"mean": mean}


def settings_of(names: Sequence[str], varied: Sequence[str], base: CrasConfig) -> list[Setting]:
    """The table's rows, by name: CRAS, an ablation, the baseline, and `NAME=VALUE[,VALUE]` for each of `varied`.

    Raises `ConfigError`.
    """
    rows = []
    for name in names:
        if name not in (FULL, BASELINE, *ABLATIONS):
            raise ConfigError(f"a setting must be one of {', '.join((FULL, *ABLATIONS, BASELINE))}, got {name!r}")
        config = base.ablated(name) if name in ABLATIONS else base
        rows.append(Setting(name=name, config=config, trained=name != BASELINE))
    for text in varied:
        name, equals, values = text.partition("=")
        texts = [f"{name}{equals}{value}" for value in values.split(",")]
        rows += [Setting(name=each, config=change(base, each)) for each in texts]
    return rows


def change(config: CrasConfig, text: str) -> CrasConfig:
    """The configuration with one setting changed, by `NAME=VALUE`. Raises `ConfigError`."""
    name, equals, value = text.partition("=")
    key = SHORT.get(name, name)
    if not equals or key not in config.to_dict():
        raise ConfigError(f"must be NAME=VALUE, NAME s, k or a setting of CrasConfig, got {text!r}")
    parts = value.split("+") if key == "levels" else []
    read = [int(part) for part in parts if part.isdigit()] if parts else read_value(value)
    return CrasConfig.from_dict(config.to_dict() | {key: read})


def read_value(text: str) -> Any:
    """A number, true, false or null, or the word as it stands."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@dataclass(slots=True)
class Runs:
    """runs.csv: what is done. A run is known by its data set, its setting's numbers and its seed."""

    path: Path
    rows: list[dict[str, str]] = field(default_factory=list)

    COLUMNS = ("run", "setting", "seed", "class", *FIGURES, "seconds")

    def read(self) -> None:
        if self.path.is_file():
            with self.path.open(newline="") as file:
                reader = csv.DictReader(file)
                if tuple(reader.fieldnames or ()) != self.COLUMNS:
                    raise ConfigError(f"{self.path} has other columns than this version writes: name another --out")
                self.rows = list(reader)

    def has(self, run: str) -> bool:
        return any(row["run"] == run for row in self.rows)

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        fresh = not self.path.is_file()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self.COLUMNS)
            if fresh:
                writer.writeheader()
            writer.writerows(rows)
        self.rows += [{name: str("" if value is None else value) for name, value in row.items()} for row in rows]


def run_key(data: Path, setting: Setting, *, memory_vectors: int) -> str:
    facts = [str(data.absolute()), asdict(setting.config), setting.trained or memory_vectors]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def summarize(runs: Runs, settings: Sequence[Setting], keys: dict[str, list[str]]) -> list[dict[str, Any]]:
    """A line for each setting, class and figure: mean and sample deviation over seeds."""
    lines = []
    for setting in settings:
        own = [row for row in runs.rows if row["run"] in keys[setting.name]]
        for style in dict.fromkeys(row["class"] for row in own):
            for figure in FIGURES:
                values = [float(row[figure]) for row in own if row["class"] == style and row[figure] != ""]
                if values:
                    lines.append(
                        {
                            "setting": setting.name,
                            "class": style,
                            "figure": figure,
                            "mean": statistics.fmean(values),
                            "deviation": statistics.stdev(values) if len(values) > 1 else "",
                            "seeds": len(values),
                        }
                    )
    return lines


def to_markdown(lines: Sequence[dict[str, Any]], settings: Sequence[Setting], speeds: dict[str, float]) -> str:
    """Means of the classes in per cent, ± the deviation over seeds, and the difference from the first row."""
    found = {(line["setting"], line["figure"]): line for line in lines if line["class"] == "mean"}
    shown = [figure for figure in FIGURES if any(figure == name for _, name in found)]
    first = settings[0].name
    rows = [["setting", *(HEADS[name] for name in shown), *(["tiles/s"] if speeds else [])]]
    for setting in settings:
        cells = [setting.name]
        for figure in shown:
            line, start = found.get((setting.name, figure)), found.get((first, figure))
            if line is None:
                cells.append("")
                continue
            deviation = "" if line["deviation"] == "" else f" ± {100 * line['deviation']:.1f}"
            gain = "" if start is None or setting.name == first else f" ({100 * (line['mean'] - start['mean']):+.1f})"
            cells.append(f"{100 * line['mean']:.1f}{deviation}{gain}")
        if speeds:
            speed = speeds.get(setting.name)
            cells.append("" if speed is None else f"{speed:.1f} ({speed / max(speeds.get(first, speed), 1e-9):.2f}x)")
        rows.append(cells)
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def time_all(
    graphs: dict[str, ScoringGraph], tiles: NDArray[np.uint8], runtime: str, device: torch.device
) -> dict[str, float]:
    """Tiles a second of every graph by `runtime`, medians, taken in turn. tiles: (N, T, T, 3), or resized to T."""
    works = {}
    for name, graph in graphs.items():
        own = tiles
        if graph.tile_px != tiles.shape[1]:
            own = np.stack([cv2.resize(tile, (graph.tile_px,) * 2) for tile in tiles])
        with tempfile.TemporaryDirectory() as place:
            made = build(runtime, graph, Path(place), device=device, tiles=own)
        works[name] = made, own, np.full(len(own), ROUTE, np.int64)
    spent: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(SPEED_ROUNDS + 1):
        for name, (scorer, own, styles) in works.items():
            started = time.perf_counter()
            scorer.score(own, styles)
            if turn:  # the first warms up
                spent[name].append(time.perf_counter() - started)
    return {name: len(tiles) / statistics.median(seconds) for name, seconds in spent.items()}


def main(
    data: Path = typer.Argument(help="A data set that `loomwatch dataset check` recognizes."),
    out: Path = typer.Option(..., help="Folder of the results; an interrupted table is continued."),
    settings: str = typer.Option(
        ",".join((FULL, "A", "B", "C", "D", "E", BASELINE)),
        help=f"Rows, with commas between: {FULL}, {', '.join(ABLATIONS)}, {BASELINE}; 'all' for all of them.",
    ),
    vary: list[str] = typer.Option(
        [],
        help="NAME=VALUE[,VALUE]: a row for each, CRAS with that setting: s, k, backbone, levels (2+3), "
        "neighbourhood, centers, or any of CrasConfig.",
    ),
    base: list[str] = typer.Option([], help="NAME=VALUE: a setting of every row."),
    recipe: str = typer.Option("loomwatch", help="loomwatch or paper."),
    seeds: int = typer.Option(3, min=1, help="Seeds 0, 1, ... of each row."),
    memory_vectors: int = typer.Option(10_000, min=1, help="How many vectors the baseline remembers."),
    speed: str = typer.Option("", help="Also tiles/s by this runtime, such as torch-float32 or openvino-bf16."),
    weights: Path = typer.Option(None, help="The backbone's weights, for one that no package carries."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or cuda:N."),
) -> None:
    """Ablations over seeds: Markdown and CSV, mean and deviation."""
    try:
        run(
            data,
            out,
            names=[FULL, *ABLATIONS, BASELINE] if settings == "all" else [name for name in settings.split(",") if name],
            vary=vary,
            base=base,
            recipe=recipe,
            seeds=seeds,
            memory_vectors=memory_vectors,
            speed=speed,
            weights=weights,
            device=device,
        )
    except (CrasError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def run(
    data: Path,
    out: Path,
    *,
    names: Sequence[str],
    vary: Sequence[str] = (),
    base: Sequence[str] = (),
    recipe: str = "loomwatch",
    seeds: int = 3,
    memory_vectors: int = 10_000,
    speed: str = "",
    weights: Path | None = None,
    device: str = "auto",
) -> str:
    """Runs what is not yet in `out`, writes the tables there, returns the Markdown. Raises `CrasError`, `OSError`."""
    if recipe not in ("loomwatch", "paper"):
        raise ConfigError(f"recipe must be loomwatch or paper, got {recipe!r}")
    start = CrasConfig.paper() if recipe == "paper" else CrasConfig()
    for text in base:
        start = change(start, text)
    rows = settings_of(names, vary, start)
    layout = read_layout(data)
    read_layout(data, need_test=True)  # refuses a class that has no test pictures
    chosen = pick_device(device)
    out.mkdir(parents=True, exist_ok=True)
    runs = Runs(out / "runs.csv")
    runs.read()
    cache = FeatureCache(layout, chosen, weights, lambda text: print(text, flush=True))
    keys: dict[str, list[str]] = {row.name: [] for row in rows}
    graphs: dict[str, ScoringGraph] = {}
    for row in sorted(rows, key=lambda each: str(feature_key(each.config))):
        for seed in range(seeds):
            seeded = replace(row, config=replace(row.config, seed=seed))
            keys[row.name].append(key := run_key(data, seeded, memory_vectors=memory_vectors))
            wanted = bool(speed) and row.trained and seed == 0
            if runs.has(key) and not wanted:
                continue
            extractor, learned, tested = cache.of(seeded.config)
            started = time.perf_counter()
            if row.trained:
                every = np.arange(len(learned))
                heads, _ = fit_heads(learned, every, seeded.config, report=lambda *_: None)
                maps, routed = score_cras(heads, extractor, tested)
                if wanted:
                    graphs[row.name] = ScoringGraph(
                        extractor.backbone, extractor.embedding, heads, grids_px=extractor.grids_px
                    ).eval()
            else:
                maps = score_nearest(learned, tested, seeded.config, memory_vectors=memory_vectors)
                routed = None
            seconds = round(time.perf_counter() - started, 1)
            if runs.has(key):
                continue
            figures = figures_of(maps, routed, tested, learned.styles)
            facts = {"run": key, "setting": row.name, "seed": seed, "seconds": seconds}
            runs.add([facts | {"class": name} | own for name, own in figures.items()])
            told = " ".join(f"{name} {value:.4f}" for name, value in figures["mean"].items() if value is not None)
            print(f"{row.name} seed {seed}: {told} ({seconds:.0f} s)", flush=True)
    speeds: dict[str, float] = {}
    if graphs:
        folder = next(iter(layout.classes.values()))
        tiles = [
            read_test(folder, place % len(folder.test), tile_px=start.tile_px, resize_px=start.resize_px)[0]
            for place in range(BATCH)
        ]
        speeds = time_all(graphs, np.stack(tiles), speed, chosen)
    lines = summarize(runs, rows, keys)
    with (out / "ablation.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("setting", "class", "figure", "mean", "deviation", "seeds"))
        writer.writeheader()
        writer.writerows(lines)
    table = to_markdown(lines, rows, speeds)
    (out / "ablation.md").write_text(table)
    return table


if __name__ == "__main__":
    typer.run(main)
