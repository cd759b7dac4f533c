"""Two processes take the steps that one would take alone."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from .fit_in_a_team import fit

SCRIPT = Path(__file__).with_name("fit_in_a_team.py")
pytestmark = pytest.mark.integration


def test_two_processes_have_the_loss_of_one_at_every_step_and_end_with_its_model(tmp_path: Path) -> None:
    out = tmp_path / "team.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", SCRIPT, out]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    together = json.loads(out.read_text())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = fit()
    finally:
        torch.set_num_threads(threads)
    assert len(alone["losses"]) == 4 * 3
    np.testing.assert_allclose(together["losses"], alone["losses"], rtol=2e-4)
    np.testing.assert_allclose(together["epochs"], alone["epochs"], rtol=2e-4)
    np.testing.assert_allclose(together["logits"], alone["logits"], atol=1e-3)
