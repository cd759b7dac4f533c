"""Exports: what a runtime needs of one bundle, in a folder, with proof that it decides as the reference does.

`export.json` names the runtime, the bundle by the sha256 of its manifest, the parity found and on which processor, and
the sha256 of every file. It is written last: a folder without it is no export.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cras_core.device import machine
from cras_core.errors import EngineError
from cras_core.parity import compare, with_defects
from cras_core.runtimes.base import Runtime
from cras_core.runtimes.builders import REFERENCE, build, builder
from cras_core.scoring import Scorer

FORMAT_VERSION = 2
RECORD = "export.json"
EXACT = ("-float32", "-f32")  # runtimes that compute in float32


def export(scorer: Scorer, name: str, tiles: NDArray[np.uint8], folder: Path) -> Runtime:
    """Makes a runtime of the scorer's model, checks it, and writes it to `folder`, which must not exist.

    tiles: the bundle's normal ones. Not while another thread scores with `scorer`.
    Raises `EngineError` when the runtime is not here, does not agree with the reference, or cannot be written.
    """
    builder(name, scorer.device)
    if folder.exists():
        raise EngineError(f"{folder} exists already: name another folder, or remove it first")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            runtime = build(name, scorer.graph, aside, device=scorer.device, tiles=tiles)
            parity = compare(runtime, scorer.reference, with_defects(tiles), scorer.thresholds)
            if problem := parity.problem(exact=name.endswith(EXACT)):
                raise EngineError(f"runtime {name} does not agree with {REFERENCE} on model {scorer.name}: {problem}")
            record = {
                "format_version": FORMAT_VERSION,
                "runtime": name,
                "model": scorer.name,
                "manifest_sha256": scorer.manifest["manifest_sha256"],
                "styles": list(scorer.styles),
                "thresholds": [float(threshold) for threshold in scorer.thresholds],
                "parity": parity.to_dict(),
                "machine": machine(scorer.device),
                "files": {path.name: _sha256(path) for path in sorted(aside.iterdir())},
            }
            (aside / RECORD).write_text(json.dumps(record, indent=2) + "\n")
            aside.chmod(0o755)
            aside.rename(folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    except OSError as error:
        raise EngineError(f"cannot write the export {folder}: {error.strerror or error}") from error
    return runtime


def load_export(scorer: Scorer, folder: Path) -> Runtime:
    """The runtime in `folder`, made of the very bundle that `scorer` is, and checked on a machine like this: another
    processor rounds otherwise. Raises `EngineError` naming what is wrong."""
    record = read_export(folder)
    if record["manifest_sha256"] != scorer.manifest["manifest_sha256"]:
        raise EngineError(f"{folder} was exported of another model than {scorer.name}: export this one")
    if record["machine"] != (here := machine(scorer.device)):
        raise EngineError(f"{folder} was checked on {record['machine']}, this is {here}: export it here")
    return builder(record["runtime"], scorer.device).load(scorer.graph, folder, scorer.device)


def read_export(folder: Path) -> dict[str, Any]:
    """The verified record. Raises `EngineError`."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text())
        if record["format_version"] != FORMAT_VERSION:
            raise EngineError(f"{folder / RECORD} is of another version of loomwatch: export it again")
        for name, stated in record["files"].items():
            if Path(name).name != name or _sha256(folder / name) != stated:
                raise EngineError(f"{folder / name} is damaged: export it again")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{folder} is not a whole export: make it with loomwatch export") from error
    return record


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
