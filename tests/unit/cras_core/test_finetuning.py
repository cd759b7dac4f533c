"""A short training that starts from a model's weights: all styles again, thresholds honest."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cras_core.errors import DataSetError
from cras_core.finetuning import finetune_style, shorten
from cras_core.scoring import Scorer

from .conftest import normal_samples, spoil, weave
from .test_added_style import twill, twill_samples

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tuned(small_model):
    model = replace(small_model, config=replace(small_model.config, steps=240, false_alarms_per_100m=100.0))
    return finetune_style(model, twill_samples(), normal_samples(), device=CPU)


def test_it_starts_from_the_models_weights_and_learns_all_styles(small_model, tuned):
    assert tuned.heads.styles == ("canvas", "denim", "twill")
    assert torch.equal(tuned.heads.centers[:2], small_model.heads.centers)
    then, now = small_model.heads.adapter.weight, tuned.heads.adapter.weight
    assert 0 < float((now - then).detach().norm()) < 0.3 * float(then.detach().norm())
    assert bool((tuned.heads.logit_gains == 1).all())
    assert not tuned.styles["twill"].provisional
    assert len(tuned.losses) == shorten(tuned.config).epochs_for(48)


def test_every_style_tells_a_stain_from_normal_fabric(tuned):
    styles = {name: {"threshold": facts.threshold.value} for name, facts in tuned.styles.items()}
    scorer = Scorer(name="", backbone=tuned.backbone, heads=tuned.heads, manifest={"styles": styles}, device=CPU)
    for style, cloth in (("canvas", lambda s: weave("canvas", s)), ("twill", twill)):
        normal = scorer.score(np.stack([cloth(seed) for seed in range(900, 915)]), style=style)
        stained = scorer.score(np.stack([spoil(cloth(seed))[0] for seed in range(900, 915)]), style=style)
        assert (normal.scores < normal.thresholds).mean() >= 0.8
        assert (stained.scores > stained.thresholds).mean() >= 0.8


def test_thresholds_say_how_they_came_about(small_model, tuned):
    new, old = tuned.styles["twill"].threshold, tuned.styles["denim"].threshold
    assert (new.calibration, new.held_out_tiles, new.held_out_groups) == ("crossfit of fine-tuning", 24, 6)
    assert (old.calibration, old.held_out_tiles) == ("crossfit of fine-tuning", 12)
    assert old.value != small_model.styles["denim"].threshold.value


def test_the_others_must_be_the_models_styles_and_no_more(small_model):
    with pytest.raises(DataSetError, match="no normal fabric of denim: fine-tuning would unlearn it"):
        finetune_style(small_model, twill_samples(), normal_samples()[:12], device=CPU)
    extra = [replace(each, style="felt") for each in normal_samples()[:1]]
    with pytest.raises(DataSetError, match="style felt is not in the bundle"):
        finetune_style(small_model, twill_samples(), [*normal_samples(), *extra], device=CPU)
    few = [*normal_samples()[:12], *normal_samples()[12:15]]
    with pytest.raises(DataSetError, match="has 3 tiles to replay, 8 at least"):
        finetune_style(small_model, twill_samples(), few, device=CPU)
