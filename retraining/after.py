"""What follows a training: the gate, and what the mill's policy makes of it. The model is registered by then, and stays
so whatever happens here."""

import logging
from collections.abc import Callable

from cras_core.errors import CrasError
from inspection.errors import LoomwatchError, StorageError
from inspection.settings import StoreSettings, WorkerSettings, load
from retraining.gate import Tell, run_gate
from storage import registry
from storage.database import Database
from storage.gates import Gate
from storage.in_force import meant_for
from storage.model_policy import read_policy
from storage.pictures import PictureStore
from storage.shadow import BY_RULE, start_shadow

log = logging.getLogger(__name__)


def after_training(
    store: StoreSettings,
    database: Database,
    pictures: PictureStore,
    name: str,
    *,
    by: str,
    device: str,
    tell: Tell,
    stop: Callable[[], bool],
) -> str:
    """Judges a new model and does what the policy says; in one line what came out."""
    try:
        gate = run_gate(
            store,
            database,
            pictures,
            name,
            by=by,
            device=device,
            runtime=load(WorkerSettings).runtime,
            tell=tell,
            stop=stop,
        )
    except (LoomwatchError, CrasError) as error:
        log.error("the gate of %s: %s", name, error)
        return f"model {name} is trained, but the gate could not judge it: {error}"
    if gate is None:
        return f"model {name} is trained, the gate was called off"
    try:
        return apply_policy(database, gate)
    except StorageError as error:
        log.error("what the policy says of %s: %s", name, error)
        return f"model {name} passed the gate, but what the policy says could not be done: {error}"


def apply_policy(database: Database, gate: Gate) -> str:
    """Promotes a model, or starts its shadow, where the policy says so and the gate allows it. -> in one line what was
    done. By rule nothing takes over that any rule left open, and what was trained for one style takes over for that one
    alone. Raises `StorageError`."""
    if gate.failed:
        return outcome(gate)
    policy = read_policy(database)
    if policy.promotion == "gate" and gate.whole:
        style = meant_for(registry.get_model(database, gate.model).manifest)
        registry.promote(database, gate.model, by=BY_RULE, style=style, reason="every rule of the gate passed")
        return f"model {gate.model} passed the gate and is promoted by rule" + (f" for {style}" if style else "")
    if policy.promotion == "shadow" and gate.whole and gate.against:
        start_shadow(database, gate.model, policy.shadow, by=BY_RULE)
        return f"model {gate.model} passed the gate and runs as shadow"
    return outcome(gate)


def outcome(gate: Gate) -> str:
    """In one line what the gate found."""
    if gate.failed:
        return f"model {gate.model} failed the gate: {'; '.join(rule.words for rule in gate.failed)}"
    if not gate.against:
        return f"model {gate.model} is ready to be promoted, no model runs that the gate could compare it with"
    left = sum(rule.verdict == "unjudged" for rule in gate.rules)
    open_rules = f" ({left} rules could not be judged)" if left else ""
    return f"model {gate.model} passed the gate{open_rules} and is ready to be promoted"
