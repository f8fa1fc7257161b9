"""Alarms: each planted wrong is told once by name, and what is right is not."""

from types import SimpleNamespace

import pytest

from heedful.config.base import TaskConfig, Train
from heedful.probing.dispersion import HeadDispersion
from heedful.training.alarms import alarms

CONFIG = TaskConfig(task="any", train=Train(steps=9, learning_rate=0.004))


def head(*, number=2, entropy=0.5, mass=0.2, kind=None, score=9.0):
    return HeadDispersion(
        site="encoder.1",
        head=number,
        entropy=1.0,
        normalised_entropy=entropy,
        effective_keys=3.0,
        sink_mass=mass,
        sink_key=4,
        sink_kind=kind,
        value_norm=1.0,
        output_rank=2.0,
        distance=1.0,
        top=(0.5, None, None),
        top_keys=(3.0, None, None),
        largest_score=score,
    )


def told(given, before=0.5, *, best=False, config=CONFIG):
    known = {} if before is None else {("encoder.1", 2): before}
    return [(each.kind, str(each)) for each in alarms([given], known, config, best=best)]


TRY = "; try --set train.learning_rate=0.002"


@pytest.mark.parametrize(
    "given, want",
    [
        (
            {"entropy": 0.04},
            ("collapse", "entropy 0.04, was 0.50, and the score is no better"),
        ),
        (
            {"mass": 0.995, "kind": "broadcast"},
            ("one key", "looks at key 4 only and says the same to all"),
        ),
        (
            {"mass": 1.0, "kind": "no-op"},
            ("one key", "looks at key 4 only and adds nothing there"),
        ),
        ({"mass": 1.0, "kind": "mixed"}, ("one key", "looks at key 4 only")),
        (
            {"score": 1234.5},
            ("scores", "a score of 1,234, which leaves the softmax no gradient"),
        ),
    ],
)
def test_what_goes_wrong_is_told_by_name(given, want):
    assert told(head(**given)) == [(want[0], f"encoder.1 head 2: {want[1]}{TRY}")]


@pytest.mark.parametrize(
    "given, before, best",
    [
        (head(), 0.5, False),
        (head(entropy=0.04), 0.5, True),  # sharp, and better for it
        (head(entropy=0.04), 0.05, False),  # sharp, as it was
        (head(entropy=0.04), None, False),  # nobody knows what it was
        (head(number=1, entropy=0.04), 0.5, False),  # that was another head
        (head(mass=0.98, kind="broadcast"), 0.5, False),
        (head(mass=1.0), 0.5, False),  # so few keys that equal weights would do it
        (head(score=100.0), 0.5, False),
        (head(entropy=None, mass=None, score=None), 0.5, False),
    ],
)
def test_what_is_right_is_not_told(given, before, best):
    assert told(given, before, best=best) == []


@pytest.mark.parametrize(
    "config, advice",
    [
        ({"model": SimpleNamespace(qk_norm=False)}, "; try --set model.qk_norm=true"),
        ({"model": SimpleNamespace(qk_norm=True)}, TRY),
        ({"model": SimpleNamespace()}, TRY),
        ({"train": SimpleNamespace()}, ""),
    ],
)
def test_only_settings_that_the_config_has_are_proposed(config, advice):
    ((_, text),) = told(
        head(score=200.0), config=SimpleNamespace(**({"train": CONFIG.train} | config))
    )
    assert text.endswith(f"no gradient{advice}")
