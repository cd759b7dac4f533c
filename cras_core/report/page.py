"""One HTML page of its own, `index.html`: all pictures are in it, and it asks nothing of any other address."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from cras_core.dataset import Layout
from cras_core.disturbances import Disturbance
from cras_core.evaluation import FIGURES, ClassFigures, Evaluation
from cras_core.intervals import LEVEL, ROUNDS, Interval
from cras_core.metrics import PRO_LIMIT
from cras_core.report import overlays, plots
from cras_core.report.feature_map import FeatureMap
from cras_core.report.findings import Example, Findings
from cras_core.scoring import Scorer

PAGE = "index.html"
TEMPLATE = Path(__file__).with_name("page.html")
HEADINGS = {
    "image_auroc": ("Image", "AUROC"),
    "image_ap": ("Image", "AP"),
    "image_f1_max": ("Image", "F1-max"),
    "pixel_auroc": ("Pixel", "AUROC"),
    "pixel_ap": ("Pixel", "AP"),
    "pixel_f1_max": ("Pixel", "F1-max"),
    "aupro": ("Regions", f"AUPRO {PRO_LIMIT:g}"),
}


def write_report(
    folder: Path,
    *,
    scorer: Scorer,
    layout: Layout,
    evaluation: Evaluation,
    findings: Findings,
    disturbed: Mapping[Disturbance, Evaluation],
    features: FeatureMap | None,
) -> Path:
    """Writes the page into `folder`, which is made when missing, and gives its path. Raises `OSError`."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["figure"] = lambda value: "–" if value is None else f"{value:.3f}"
    environment.filters["change"] = lambda drop: f"{-drop:+z.3f}".replace("-", "−").replace("+0.000", "0.000")
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=scorer.name,
        facts=_facts(scorer, layout, evaluation),
        setting=evaluation.setting,
        headings=HEADINGS,
        rows=_rows(evaluation),
        confusion=evaluation.confusion if len(scorer.styles) > 1 else {},
        routed=sorted({style for row in evaluation.confusion.values() for style in row} | set(evaluation.confusion)),
        routing_accuracy=evaluation.routing_accuracy,
        disturbed=_disturbed(evaluation, disturbed),
        curves=_curves(findings),
        histograms=[_svg(plots.histogram(each)) for each in findings.classes],
        examples=_examples(findings),
        features=None if features is None else _svg(plots.feature_map(features)),
        vectors=0 if features is None else len(features.classes),
        level=f"{LEVEL:.0%}".replace("%", " %"),
        rounds=ROUNDS,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PAGE
    path.write_text(page, encoding="utf-8", errors="replace")  # file names need not be text
    return path


def _facts(scorer: Scorer, layout: Layout, evaluation: Evaluation) -> list[tuple[str, str]]:
    pictures = list(evaluation.classes.values())
    normal, anomalous = sum(each.n_normal for each in pictures), sum(each.n_anomalous for each in pictures)
    return [
        ("Data", str(layout.folder)),
        ("Pictures", f"{normal} normal, {anomalous} with defects"),
        ("Classes", str(len(pictures))),
        ("Setting", evaluation.setting),
        ("Backbone", scorer.config.backbone),
        ("Tile", f"{scorer.tile_px} px at {scorer.mm_per_px:g} mm/px"),
        ("Scored", f"{evaluation.tiles_per_s:.1f} tiles/s by {scorer.runtime_name}"),
    ]


def _rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """A row a class, and their mean: cells of (figure, interval)."""
    intervals = evaluation.intervals
    rows = [
        {
            "name": name,
            "cells": [(getattr(figures, figure), intervals[name][figure]) for figure in FIGURES],
            **_at_threshold([figures]),
        }
        for name, figures in evaluation.classes.items()
    ]
    mean, around = evaluation.mean, evaluation.mean_intervals
    cells: list[tuple[float | None, Interval | None]] = [(mean[figure], around[figure]) for figure in FIGURES]
    return [*rows, {"name": "mean", "cells": cells, **_at_threshold(list(evaluation.classes.values()))}]


def _at_threshold(classes: Sequence[ClassFigures]) -> dict[str, str]:
    """Pictures above their thresholds of all, with defects and without."""
    found, defects = sum(each.n_found for each in classes), sum(each.n_anomalous for each in classes)
    false, normal = sum(each.n_false for each in classes), sum(each.n_normal for each in classes)
    return {"found": f"{found} / {defects}", "false": f"{false} / {normal}"}


def _disturbed(clean: Evaluation, disturbed: Mapping[Disturbance, Evaluation]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for each, other in disturbed.items():
        drop = clean.drop_to(other)
        cells = [(other.mean[figure], drop[figure]) for figure in FIGURES]
        rows.append(
            {
                "kind": each.kind,
                "strength": f"{each.strength:g}",
                "cells": cells,
                "routing": other.routing_accuracy,
                **_at_threshold(list(other.classes.values())),
            }
        )
    return rows


def _curves(findings: Findings) -> list[str]:
    """None of images or pixels where no class has any."""
    classes = findings.classes
    drawn: list[str] = []
    if any(each.image for each in classes):
        drawn.append(plots.roc_and_pr(classes, lambda each: each.image, what="images"))
    if any(each.pixel for each in classes):
        drawn.append(plots.roc_and_pr(classes, lambda each: each.pixel, what="pixels"))
    return [_svg(each) for each in drawn]


def _examples(findings: Findings) -> list[dict[str, Any]]:
    groups = [
        ("Worst misses", "The defects that scored lowest against their threshold, found or not.", findings.misses),
        ("Worst false alarms", "The normal pictures that scored highest.", findings.false_alarms),
        ("Best hits", "The defects that scored highest.", findings.hits),
    ]
    return [
        {"title": title, "text": text, "pictures": [_pictures(each) for each in examples]}
        for title, text, examples in groups
        if examples
    ]


def _pictures(example: Example) -> dict[str, Any]:
    made = (overlays.original(example), overlays.heat(example), overlays.outlines(example))
    return {
        "name": example.name,
        "right": example.right,
        "verdict": example.verdict,
        "score": f"{example.score:.2f}",
        "threshold": f"{example.threshold:.2f}",
        "style": example.style,
        "uris": [_uri("image/jpeg", overlays.jpeg(pixels)) for pixels in made],
    }


def _svg(text: str) -> str:
    return _uri("image/svg+xml", text.encode())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
