"""Faults planted in what everything rests on: verdict and journal. Each one is seen."""

import importlib

import numpy as np
import pytest

from heedful.errors import HeedfulError
from heedful.metrics import metric
from heedful.optimizing import journal, verdict
from heedful.optimizing.budget import parse_lose


def verdict_holds(module, folder):
    """Accepts what loses nothing, refuses what loses too much or cannot be shown."""
    of = metric.mean_metric("m", span=1.0)
    down, up = parse_lose("m 0.1"), parse_lose("m +0.1")
    right = metric.per_example(np.ones(200))
    worse = metric.per_example(np.r_[np.zeros(19), np.ones(181)])
    assert module.judge(right, right, metric=of, budget=down).accepted
    bad = module.judge(right, worse, metric=of, budget=down)
    assert not bad.accepted  # 9.5 % are lost, and it may be more
    assert bad.difference == pytest.approx(-0.095)
    assert bad.bound < -0.11
    few = metric.per_example(np.ones(30))
    assert module.judge(few, few, metric=of, budget=down).accepted
    tight = parse_lose("m 0.05")
    assert not module.judge(few, few, metric=of, budget=tight).accepted  # the rule of three
    low = metric.mean_metric("m", higher_is_better=False, span=1.0)
    assert not module.judge(worse, right, metric=low, budget=up).accepted
    assert module.judge(right, worse, metric=low, budget=up).accepted
    assert module.examples_needed(-0.1, span=1.0) == 30
    assert module.examples_needed(-0.01, span=1.0) == 299


def journal_holds(module, folder):
    """Gives back what was put, to the same search only, and notices what was changed."""
    path = folder / "journal.jsonl"
    path.unlink(missing_ok=True)
    first = module.Journal(path, fingerprint={"model": 1})
    first.put("a", 1)
    first.put("b", [0.25])
    assert module.Journal(path, fingerprint={"model": 1}).get("b") == [0.25]
    with pytest.raises(HeedfulError, match="got a difference in model"):
        module.Journal(path, fingerprint={"model": 2})
    kept = path.read_bytes()
    path.write_bytes(kept.replace(b"0.25", b"0.75"))
    refused(lambda: module.Journal(path, fingerprint={"model": 1}))
    path.write_bytes(b"".join(kept.splitlines(keepends=True)[::2]))
    refused(lambda: module.Journal(path, fingerprint={"model": 1}))
    path.write_bytes(kept + b'{"key": "c"')
    assert module.Journal(path, fingerprint={"model": 1}).get("a") == 1
    assert path.read_bytes() == kept
    other = module.Journal(path, fingerprint={"model": 1})
    other.put("c", 3)
    longer = path.read_bytes()
    refused(lambda: first.put("d", 4))
    assert path.read_bytes() == longer


def refused(call):
    with pytest.raises(HeedfulError):
        call()


FAULTS = [
    (verdict, "accepted=bound >= allowed if", "accepted=bound <= allowed if"),
    (verdict, "np.quantile(sign * excess, 1 - confidence)", "np.quantile(sign * excess, 0.5)"),
    (verdict, "(1 - unseen) * (new - old) + unseen * loss", "(new - old)"),
    (verdict, "loss = -lost if metric.higher_is_better else lost", "loss = lost"),
    (verdict, "math.log1p(-share)", "math.log1p(-2 * share)"),
    (verdict, "difference=scores[1] - scores[0]", "difference=scores[0] - scores[1]"),
    (journal, 'if entry["check"] != self._sum:', "if False:"),
    (journal, "if different and not (empty and", "if different and empty and not (empty and"),
    (journal, 'or b"\\n" in file.read()', "and True"),
    (journal, "lines = lines[:-1]", "lines = lines[:]"),
    (journal, '"\\n".join([before, *texts])', '"\\n".join([*texts])'),
]
HOLDS = {verdict: verdict_holds, journal: journal_holds}


@pytest.mark.parametrize("module, right, wrong", FAULTS, ids=[right for _, right, _ in FAULTS])
def test_a_planted_fault_is_seen(planted_module, module, right, wrong, tmp_path):
    with pytest.raises((AssertionError, HeedfulError, ValueError, pytest.fail.Exception)):
        HOLDS[module](planted_module(module, right, wrong), tmp_path)


@pytest.mark.parametrize("module", HOLDS)
def test_without_a_fault_all_holds(planted_module, module, tmp_path):
    HOLDS[module](planted_module(module), tmp_path)
    HOLDS[module](importlib.import_module(module.__name__), tmp_path)
