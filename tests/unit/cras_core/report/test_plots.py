"""The report's curves: which class is which can be seen, however many there are."""

import re

import numpy as np

from cras_core.metrics import curves
from cras_core.report.findings import ClassFindings
from cras_core.report.plots import look, roc_and_pr


def test_classes_beyond_the_colours_have_another_line_and_mark():
    random = np.random.default_rng(0)
    truth = np.arange(30) % 2 == 0
    classes = []
    for number in range(16):
        scores = random.random(30).astype(np.float32)
        curve = curves(scores, truth)
        classes.append(
            ClassFindings(
                name=f"cloth {number}", scores=scores, anomalous=truth, threshold=1.0, image=curve, pixel=curve
            )
        )
    drawn = re.findall(r'style="([^"]*stroke-width: 1\.6[^"]*)"', roc_and_pr(classes, lambda each: each.image, what=""))
    looks = {tuple(re.findall(r"(?:stroke|stroke-dasharray): ([^;\"]+)", style)) for style in drawn}
    assert len(looks) == 16
    assert len({look(number) for number in range(40)}) == 40
    assert len({(colour, mark) for colour, _, mark in map(look, range(40))}) == 40
