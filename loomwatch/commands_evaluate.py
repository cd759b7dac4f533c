"""`loomwatch evaluate`: a bundle on labelled pictures, clean and disturbed, as tables, JSON and a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from inspection.errors import SettingsError
from loomwatch.commands_export import RUNTIME, scoring_by
from loomwatch.terminal import JSON, console, folder, progress_bar, refuse_unwritable, write_json

if TYPE_CHECKING:
    from cras_core.evaluation import Evaluation

SHORT = {  # columns that fit a terminal of 80
    "image_auroc": "image\nAUROC",
    "image_ap": "image\nAP",
    "image_f1_max": "image\nF1",
    "pixel_auroc": "pixel\nAUROC",
    "pixel_ap": "pixel\nAP",
    "pixel_f1_max": "pixel\nF1",
    "aupro": "AUPRO\nat 0.3",
}


def evaluate(
    bundle: Path = typer.Option(..., "--bundle", help="Bundle folder."),
    data: Path = typer.Option(..., "--data", help="MVTec AD layout (CLASS/test, CLASS/ground_truth) or VisA."),
    setting: str = typer.Option("multi", help="multi: every tile finds its class; single: its class is known."),
    disturb: list[str] = typer.Option(
        None,
        help="noise, light, rotation, defocus, exposure, vibration, lamp, jpeg or attack; may be given several times.",
    ),
    strength: float = typer.Option(1.0, help="Of the disturbances: 1 is the usual one, at most 5."),
    report: Path = typer.Option(None, help="Folder to write a page of all figures, curves and examples to."),
    runtime: str = RUNTIME,
    weights: Path = typer.Option(None, help="The backbone's weights, for one that no package carries."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or cuda:N."),
    json_file: Path = JSON,
) -> None:
    """Measure a bundle on labelled pictures."""
    from cras_core.bundle import load_bundle
    from cras_core.dataset import read_layout
    from cras_core.device import pick_device
    from cras_core.disturbances import Disturbance
    from cras_core.evaluation import evaluate as measure
    from cras_core.evaluation import pick_setting
    from cras_core.report.findings import Findings

    chosen = pick_setting(setting)
    disturbances = [Disturbance(kind, strength) for kind in dict.fromkeys(disturb or [])]
    if report is not None and report.exists() and not report.is_dir():
        raise SettingsError(f"report {report} is not a folder: name another one with --report")
    on = pick_device(device)
    scorer = load_bundle(folder(bundle, what="bundle"), device=on, weights=weights)
    layout = read_layout(folder(data, what="data folder"), need_test=True)
    if report is not None:
        from cras_core.report.page import PAGE

        refuse_unwritable(report / PAGE, option="--report")
    disturbed: dict[Disturbance, Evaluation] = {}
    findings = Findings(scorer)
    with scoring_by(scorer, bundle, runtime), progress_bar("evaluating") as bar:
        parts = 1 + len(disturbances)
        clean = measure(
            scorer, layout, setting=chosen, progress=lambda done: bar.tell(done / parts, ""), observe=findings
        )
        for number, each in enumerate(disturbances, 1):

            def tell(done: float, number: int = number, kind: str = each.kind) -> None:
                bar.tell((number + done) / parts, kind)

            disturbed[each] = measure(scorer, layout, setting=chosen, disturbance=each, progress=tell)
    result = clean.to_dict() | {"runtime": scorer.runtime.name}
    if disturbed:
        result["disturbed"] = {
            each.kind: {"strength": each.strength, **other.to_dict(), "drop": clean.drop_to(other)}
            for each, other in disturbed.items()
        }
    _print(result)
    write_json(json_file, result)
    if report is not None:
        from cras_core.report.feature_map import FeatureMapper
        from cras_core.report.page import write_report

        mapper = FeatureMapper(bundle, device=on, weights=weights)
        page = write_report(
            report,
            scorer=scorer,
            layout=layout,
            evaluation=clean,
            findings=findings,
            disturbed=disturbed,
            features=mapper.lay_out(layout, setting=chosen),
        )
        console.print(f"report [bold]{escape(str(page))}[/]")


def _print(result: dict[str, Any]) -> None:
    console.print(_figures_table(result))
    console.print(_threshold_table(result))
    if result["setting"] == "single":
        console.print(f"every tile compared with its own class, {result['tiles_per_s']:.1f} tiles/s")
    else:
        console.print(f"routing accuracy {_cell(result['routing_accuracy'])}, {result['tiles_per_s']:.1f} tiles/s")
        if len(result["classes"]) > 1:
            console.print(_confusion_table(result["confusion"]))
    if "disturbed" in result:
        console.print(_drop_table(result))


def _figures_table(result: dict[str, Any]) -> Table:
    table = _table("class", *SHORT.values())
    for name, row in result["classes"].items():
        table.add_row(escape(name), *(_cell(row[column]) for column in SHORT))
    table.add_section()
    table.add_row("mean", *(_cell(result["mean"][column]) for column in SHORT), style="bold")
    mean = result["intervals"]["mean"]
    for end, word in enumerate(("95 %: from", "to")):
        table.add_row(word, *(_cell(mean[column] and mean[column][end]) for column in SHORT), style="dim")
    return table


def _threshold_table(result: dict[str, Any]) -> Table:
    """What lies above the bundle's thresholds of all pictures with defects, and of all without."""
    table = _table("class, at its threshold", "defects found", "false alarms")
    rows = {escape(name): [row] for name, row in result["classes"].items()}
    for name, own in (rows | {"[bold]all[/]": list(result["classes"].values())}).items():
        pairs = (("n_found", "n_anomalous"), ("n_false", "n_normal"))
        table.add_row(name, *(" of ".join(str(sum(row[count] for row in own)) for count in pair) for pair in pairs))
    return table


def _confusion_table(confusion: dict[str, dict[str, int]]) -> Table:
    styles = sorted({style for routed in confusion.values() for style in routed} | set(confusion))
    table = _table("class, routed to", *map(escape, styles))
    for name, routed in confusion.items():
        counts = (str(routed.get(style, 0)) for style in styles)
        table.add_row(escape(name), *(count if count != "0" else "" for count in counts))
    return table


def _drop_table(result: dict[str, Any]) -> Table:
    """The mean figures clean and disturbed, and how much lower the disturbed ones are."""
    columns = ("image_auroc", "pixel_auroc", "aupro")
    table = _table("mean", *(word for column in columns for word in (SHORT[column], "drop")), "routing\naccuracy")
    rows = {"clean": result, **result["disturbed"]}
    for kind, row in rows.items():
        cells: list[str] = []
        for column in columns:
            cells += [_cell(row["mean"][column]), _cell(row.get("drop", {}).get(column))]
        table.add_row(kind, *cells, _cell(row["routing_accuracy"]))
    return table


def _table(*columns: str) -> Table:
    table = Table(columns[0], box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
