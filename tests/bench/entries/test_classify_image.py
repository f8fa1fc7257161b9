"""Baselines tell digits apart."""

import pytest

from heedful.bench.entries.classify_image import ENTRY
from heedful.data.examples import Splits
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_image.task import ClassifyImage

pytest.importorskip("sklearn", reason="the extra images is not installed")


def test_the_classical_baselines_learn():
    config = parse_config({"task": "classify-image"})
    read = ClassifyImage.read(config)
    splits = Splits(train=read.train[:300], dev=read.dev[:50], test=read.test[:60])
    task = ClassifyImage.fit(config, splits.train)
    trivial, *classical = (
        [each.label for each in answers(task, splits)] for answers in ENTRY.baselines.values()
    )
    assert len(set(trivial)) == 1
    assert len(classical) == 2
    for labels in classical:
        assert sum(a == b.label for a, b in zip(labels, splits.test, strict=True)) >= 50
