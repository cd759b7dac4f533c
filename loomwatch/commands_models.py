"""Models: what there is, the gate, shadow, promotion and roll back, the policy, a style added at once."""

import json
import time
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from inspection.errors import SettingsError, StorageError
from inspection.settings import StoreSettings, WorkerSettings, load
from loomwatch.terminal import console, example, folder, progress_bar
from storage.database import Database, open_database

DATA_DIR = typer.Option(None, "--data-dir", help="Folder of everything kept on this machine.")
BY = typer.Option("operator", "--by", help="Who does it, for the record.")
REASON = typer.Option("", "--reason", help="Why, for the record.")
NAME = typer.Argument(help="Name of the model.")
DEVICE = typer.Option("auto", help="auto, cpu, cuda or cuda:N.")
FOLLOW_S = 5.0  # that workers are waited for
SIGNS = {"passed": "[green]passed[/]", "failed": "[red]failed[/]", "unjudged": "[yellow]not judged[/]"}


def register(app: typer.Typer) -> None:
    models = typer.Typer(help="Models: gate, shadow, promotion, roll back.", no_args_is_help=True)
    models.command("list", epilog=example("loomwatch models list"))(list_models)
    models.command("import", epilog=example("loomwatch models import bundles/first --promote"))(import_model)
    models.command("gate", epilog=example("loomwatch models gate retrained-20260314-080000"))(gate)
    models.command("promote", epilog=example("loomwatch models promote first --reason 'new yarn'"))(promote)
    models.command("rollback", epilog=example("loomwatch models rollback --reason 'false alarms on twill'"))(rollback)
    models.command("policy", epilog=example("loomwatch models policy", "loomwatch models policy policy.json"))(policy)
    models.command("add-style", epilog=example("loomwatch models add-style denim --promote --train"))(add_style)
    shadow = typer.Typer(help="A candidate that scores live frames beside the running model.", no_args_is_help=True)
    shadow.command("start", epilog=example("loomwatch models shadow start NAME --metres 500"))(shadow_start)
    shadow.command("stop", epilog=example("loomwatch models shadow stop"))(shadow_stop)
    shadow.command("show", epilog=example("loomwatch models shadow show"))(shadow_show)
    models.add_typer(shadow, name="shadow")
    regression = typer.Typer(help="The regression set's defects of rolls that were pruned.", no_args_is_help=True)
    regression.command("list", epilog=example("loomwatch models regression list --style denim"))(regression_list)
    regression.command(
        "take-out", epilog=example("loomwatch models regression take-out 412 --reason 'a shadow, no defect'")
    )(regression_take_out)
    models.add_typer(regression, name="regression")
    app.add_typer(models, name="models")


def _open(data_dir: Path | None) -> tuple[StoreSettings, Database]:
    store = load(StoreSettings, data_dir=data_dir)
    return store, open_database(store.database)


def list_models(data_dir: Path = DATA_DIR) -> None:
    """List registered models: which runs, for which styles, and what the gate said."""
    from storage import registry
    from storage.gates import latest_gates

    _, database = _open(data_dir)
    gates = latest_gates(database)
    table = Table("", "model", "gate", "source", "by", "created", "styles", "tile px", "mm/px")
    for model in registry.list_models(database):
        styles = model.manifest["styles"]
        found = gates.get(model.name)
        table.add_row(
            "running" if model.running else f"for {', '.join(model.styles)}" if model.styles else "",
            model.name,
            SIGNS[found.verdict] if found else "",
            model.source,
            model.by,
            f"{model.created_at.astimezone():%Y-%m-%d %H:%M}",
            ", ".join(f"{name} (provisional)" if facts.get("provisional") else name for name, facts in styles.items()),
            str(model.manifest["tile_px"]),
            str(model.manifest["mm_per_px"]),
        )
    console.print(table)


def import_model(
    bundle: Path = typer.Argument(help="Bundle folder."),
    promote: bool = typer.Option(False, "--promote", help="Also make it the running model."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Copy a bundle into the registry."""
    from storage import registry

    store, database = _open(data_dir)
    model = registry.import_bundle(database, folder(bundle, what="bundle"), store.models_dir, source="imported", by=by)
    console.print(f"model {model.name} is registered")
    if promote:
        registry.promote(database, model.name, by=by)
        console.print(f"model {model.name} is promoted: workers take it over between two frames")


def gate(name: str = NAME, by: str = BY, device: str = DEVICE, data_dir: Path = DATA_DIR) -> None:
    """Compare a model with the running one, by the rules of the policy; what comes out is kept with it."""
    from retraining.gate import run_gate
    from storage.pictures import PictureStore

    store, database = _open(data_dir)
    with progress_bar(f"gate of {name}") as bar:
        found = run_gate(
            store,
            database,
            PictureStore(store.pictures),
            name,
            by=by,
            device=device,
            runtime=load(WorkerSettings).runtime,
            tell=bar.tell,
        )
    assert found is not None  # nobody stops it
    table = Table("rule", "style", "", "what was found")
    for rule in found.rules:
        table.add_row(rule.rule, rule.style, SIGNS[rule.verdict], rule.words)
    console.print(table)
    console.print(f"{name} beside {found.against or 'no running model'}: {SIGNS[found.verdict]}")
    pictures = [picture for rule in found.rules for picture in rule.pictures]
    for picture in pictures:
        console.print(f"  {picture.words}: {picture.picture}", soft_wrap=True, markup=False)


def promote(
    name: str = NAME,
    style: str = typer.Option("", help="Only for this style; the others stay with their model."),
    reason: str = REASON,
    override: bool = typer.Option(False, "--override", help="Though the gate objects; needs --reason, is audited."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Put a registered model in charge, thresholds and all. Workers take it over between two frames."""
    from storage import registry

    store, database = _open(data_dir)
    model = registry.promote(database, name, by=by, style=style, reason=reason, override=override)
    where = f" for {style}" if style else ""
    console.print(f"model {model.name} is promoted{where}: workers take it over between two frames")
    _follow(store, database)


def rollback(reason: str = REASON, by: str = BY, data_dir: Path = DATA_DIR) -> None:
    """Take the last promotion back: what ran before it runs again."""
    from storage import registry

    store, database = _open(data_dir)
    model = registry.rollback(database, by=by, reason=reason)
    console.print(f"model {model.name} runs again")
    _follow(store, database)


def _follow(store: StoreSettings, database: Database) -> None:
    """Says which workers follow, for a while; silent where Redis or workers are not there."""
    from storage import registry
    from storage.live import Live

    force = registry.in_force(database)
    act, live, started = force.act if force else 0, Live(store.redis), time.monotonic()
    told: set[str] = set()
    while True:
        try:
            workers = live.workers()
        except StorageError:
            return
        for worker in workers:
            if worker.act >= act and worker.name not in told:
                told.add(worker.name)
                console.print(f"  {worker.name} follows after {time.monotonic() - started:.1f} s")
        left = [worker for worker in workers if worker.name not in told]
        if not left:
            return
        if time.monotonic() - started > FOLLOW_S:
            for worker in left:
                console.print(f"  {worker.name} still runs {worker.model}: it loads the other aside (loomwatch status)")
            return
        time.sleep(0.1)


def policy(
    file: Path = typer.Argument(None, help="JSON file of a new policy; without one the policy is printed."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Show or set the gate's rules, and when a model is promoted by rule."""
    from storage.model_policy import parse_policy, read_policy, set_policy

    _, database = _open(data_dir)
    if file is not None:
        set_policy(database, parse_policy(file), by=by)
        console.print(f"the policy of {file} is in force")
        return
    console.print_json(json.dumps(read_policy(database).model_dump(mode="json")))


def add_style(
    style: str = typer.Argument(help="Name of the style; its samples are there (loomwatch samples add)."),
    false_alarms: float = typer.Option(None, "--false-alarms", help="Per 100 m of roll; by default the model's."),
    promote: bool = typer.Option(False, "--promote", help="Also put it in charge of this style."),
    train: bool = typer.Option(False, "--train", help="Also ask for a full training, which follows as a job."),
    by: str = BY,
    device: str = DEVICE,
    data_dir: Path = DATA_DIR,
) -> None:
    """Add a new style to the running model by its samples alone, in a minute or two: provisional until a training."""
    from retraining.provisional import add_provisional
    from storage import registry
    from storage.jobs import request_retraining
    from storage.pictures import PictureStore

    if false_alarms is not None and not false_alarms > 0:
        raise SettingsError(f"--false-alarms must be greater than 0, got {false_alarms:g}")
    store, database = _open(data_dir)
    started = time.monotonic()
    with progress_bar(f"adding {style}") as bar:
        model = add_provisional(
            store,
            database,
            PictureStore(store.pictures),
            style,
            by=by,
            device=device,
            false_alarms_per_100m=false_alarms,
            tell=bar.tell,
        )
    facts: dict[str, Any] = model.manifest["styles"][style]
    console.print(
        f"model {model.name} knows {style}, provisionally, from {facts['tiles']} tiles after "
        f"{time.monotonic() - started:.0f} s: threshold {facts['threshold']:.3f}"
    )
    if promote:
        registry.promote(database, model.name, by=by, style=style, reason="a new style, provisional")
        console.print(f"model {model.name} is promoted for {style}")
        _follow(store, database)
    if train:
        asked = request_retraining(database, store.redis, by=by, parameters={}, reason=f"new style {style}")
        console.print(f"{asked.words}. It takes the provisional style's place once it is promoted")


def shadow_start(
    name: str = NAME,
    share: float = typer.Option(None, help="Share of frames, 0 to 1; by default the policy's."),
    budget: float = typer.Option(None, help="Share of a worker's time, 0 to 1; by default the policy's."),
    metres: float = typer.Option(None, help="Metres after which it is done; by default the policy's."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Let a candidate that passed the gate score a share of live frames; results stay the running model's."""
    from pydantic import ValidationError

    from storage.model_policy import ShadowPlan, read_policy
    from storage.shadow import start_shadow

    _, database = _open(data_dir)
    given = {"share": share, "budget": budget, "metres": metres}
    plan = read_policy(database).shadow.model_dump() | {key: value for key, value in given.items() if value is not None}
    try:
        checked = ShadowPlan.model_validate(plan)
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(f"--{first['loc'][0]}: {first['msg']}, got {first['input']!r}") from error
    shadow = start_shadow(database, name, checked, by=by)
    console.print(
        f"model {name} scores {100 * shadow.share:g} % of frames beside {shadow.against}, in at most "
        f"{100 * shadow.budget:g} % of a worker's time, until {shadow.metres:g} m are compared"
    )


def shadow_stop(by: str = BY, data_dir: Path = DATA_DIR) -> None:
    """End the shadow that runs; what it saw stays."""
    from storage.shadow import stop_shadow

    _, database = _open(data_dir)
    console.print(f"model {stop_shadow(database, by=by).model} is no shadow any more")


def shadow_show(
    name: str = typer.Argument("", help="Of this model; by default the latest."), data_dir: Path = DATA_DIR
) -> None:
    """What both models raised on the same frames, and what each raised alone."""
    from storage.shadow import alarms_apart, list_shadows, shadow_figures

    _, database = _open(data_dir)
    shadow = next((each for each in list_shadows(database) if name in ("", each.model)), None)
    if shadow is None:
        raise StorageError("no model ran as shadow" if not name else f"model {name} ran never as shadow")
    table = Table("style", "frames", "metres", "both", f"only {shadow.against}", f"only {shadow.model}", "agreement")
    for figures in shadow_figures(database, shadow.id):
        table.add_row(
            figures.style or "all",
            str(figures.frames),
            f"{figures.metres:.1f}",
            str(figures.both),
            str(figures.only_running),
            str(figures.only_candidate),
            "no alarms" if figures.agreement is None else f"{100 * figures.agreement:.0f} %",
        )
    console.print(f"{shadow.model} beside {shadow.against}: {shadow.state} {shadow.message}".rstrip())
    console.print(table)
    for apart in alarms_apart(database, shadow.id):
        which = shadow.model if apart.side == "candidate" else shadow.against
        console.print(
            f"  only {which}: {apart.camera} at {apart.y_mm / 1000:.2f} m, {apart.x_mm:.0f} mm, "
            f"{apart.strength:.1f} times the threshold  {apart.crop}",
            soft_wrap=True,
            markup=False,
        )


def regression_list(
    style: str = typer.Option("", help="Only this style's."),
    limit: int = typer.Option(100, min=1, max=100_000, help="Lines at most, the latest first."),
    data_dir: Path = DATA_DIR,
) -> None:
    """Confirmed defects whose roll was pruned; those of other rolls are on the page Review."""
    from storage.confirmed_defects import list_kept

    _, database = _open(data_dir)
    found, total = list_kept(database, style=style, limit=limit)
    table = Table("defect", "style", "line", "camera", "position m", "across mm", "captured", "picture")
    for defect in found:
        table.add_row(
            str(defect.id),
            defect.style,
            defect.line,
            defect.camera,
            f"{defect.y0_mm / 1000:.2f}",
            f"{defect.x0_mm:.0f}",
            f"{defect.captured_at.astimezone():%Y-%m-%d %H:%M}",
            defect.crop,
        )
    console.print(table)
    if total > len(found):
        console.print(f"{total - len(found)} more: --limit shows them")


def regression_take_out(
    defects: list[int] = typer.Argument(help="Numbers of defects."),
    reason: str = typer.Option(..., "--reason", help="Why it was none, for the record."),
    by: str = BY,
    data_dir: Path = DATA_DIR,
) -> None:
    """Take out defects that were confirmed by mistake and whose roll was pruned."""
    from storage.confirmed_defects import take_out
    from storage.pictures import PictureStore

    store, database = _open(data_dir)
    take_out(database, PictureStore(store.pictures), defects, by=by, reason=reason)
    console.print(f"taken out of the regression set: {', '.join(f'defect {number}' for number in defects)}")
