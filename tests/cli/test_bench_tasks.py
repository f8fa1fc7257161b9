"""`heedful bench tasks` prints what models learned, and what optimising them gave."""

import json

import pytest

from heedful.bench import tasks
from heedful.bench.tasks import TaskRow
from heedful.optimizing import of_tasks
from heedful.optimizing.of_tasks import OptimizedRow

ROW = TaskRow(
    task="translation",
    model="RNN",
    data="phrases",
    metric="chrf",
    value=39.87,
    interval=(38.0, 41.5),
    higher_is_better=True,
    dev=40.25,
    baselines={"the source": 19.93, "memory": 25.5},
    shift=("longer phrases", 20.5),
    seconds=61.2,
    peak_memory_mib=512.0,
    parameters=1_105_152,
)
FOUND = OptimizedRow(
    task="translation", budget="chrf 0.5", accepted=True, reason="kept", before=39.8, after=39.5
)


@pytest.fixture
def compared(monkeypatch):
    asked = {}

    def compare(*, minutes, tasks, on_progress, on_trained=None):
        asked.update(minutes=minutes, tasks=tasks)
        if on_trained:
            on_trained("translation", type("Entry", (), {"budget": "chrf 0.5"}), "a run")
        return [ROW]

    monkeypatch.setattr(tasks, "compare_tasks", compare)
    monkeypatch.setattr(of_tasks, "optimize_task", lambda run, budget, output, settings: FOUND)
    return asked


def test_people_get_a_table(heedful, compared):
    code, out, _ = heedful("bench", "tasks", "--only", "translation", "--minutes", "2")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert (code, compared) == (0, {"minutes": 2.0, "tasks": ["translation"]})
    assert lines[0] == "each model trained for 2 minutes"
    assert (
        "translation RNN phrases chrf 39.87 38 to 41.5 40.25 20.5 (longer phrases) "
        "19.93 (the source), 25.5 (memory) 61 512 1,105,152"
    ) in lines
    assert "optimised" not in out


def test_a_second_table_says_what_optimising_gave(heedful, compared):
    code, out, _ = heedful("bench", "tasks", "--optimize")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert "translation chrf 0.5 accepted 39.8 39.5 kept" in lines


def test_json_is_plain_data(heedful, compared):
    assert json.loads(heedful("bench", "tasks", "--json")[1])[0]["model"] == "RNN"
    both = json.loads(heedful("bench", "tasks", "--json", "--optimize")[1])
    assert both["tasks"][0]["peak_memory_mib"] == 512
    assert both["optimized"][0]["accepted"] is True


def test_only_tasks_are_optimised(heedful):
    code, _, err = heedful("bench", "attention", "--optimize")
    assert (code, "--optimize must go with `heedful bench tasks`, got attention" in err) == (
        2,
        True,
    )
