"""`heedful.explain` on a run: what is asked is what was answered."""

import pytest

import heedful
from heedful.errors import ConfigError, DataError, UnsupportedError
from heedful.explanation import explain_examples
from heedful.tasks.catalog import parse_config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained") / "run"
    tables = {
        "task": "classify-text",
        "data": {"languages": ["de", "fr", "el"], "examples": 120, "dev": 30, "test": 30},
        "model": {"width": 16, "heads": 2},
        "train": {"steps": 60, "learning_rate": 0.02},
    }
    return heedful.train(parse_config(tables | {"output": str(folder)}))


def test_a_text_is_answered_and_explained(run):
    found = heedful.explain(run, "am 3. Januar um 4 Uhr", draws=50)
    assert found.pieces == ("am", " 3", ".", " Januar", " um", " 4", " Uhr")
    assert found.title.startswith("am 3. Januar um 4 Uhr → ")
    assert found.method == "integrated-gradients"  # by which more holds
    assert found.error < 1e-4
    assert found.word != "not tested"


def test_an_example_is_taken_by_its_number(run):
    example = run.examples("dev")[2]
    found = heedful.explain(run.folder, 2, split="dev", test=False)
    assert found.title.startswith(example.text)
    assert found.word == "not tested"


def test_a_data_set_has_a_rate(run):
    found = explain_examples(run, 5, draws=20, method="occlusion")
    assert found.tested == sum(found.words.values()) == 5
    assert found.interval[0] <= found.share <= found.interval[1]
    assert explain_examples(run, 5, draws=20, method="occlusion") == found


def test_the_order_of_occlusion_is_good_where_the_model_is(run):
    found = explain_examples(run, 12, method="occlusion")
    assert found.words["no better than random"] + found.words["misleading sign"] <= 2


@pytest.fixture
def deaf(run, monkeypatch):
    """A run that says to every third example that it has no answer to explain."""
    opened, real, count = heedful.load(run.folder), type(run.task).question, iter(range(99))

    def question(task, *asked):
        if next(count) % 3 == 0:
            raise UnsupportedError("a text must hold a token to be explained, got ''")
        return real(task, *asked)

    monkeypatch.setattr(type(run.task), "question", question)
    return opened


def test_an_example_without_an_explanation_does_not_lose_the_others(deaf):
    found = explain_examples(deaf, 5, draws=20, method="occlusion")
    assert found.tested == sum(found.words.values()) == 3
    assert found.not_explainable == {"a text must hold a token to be explained, got ''": 2}


def test_where_none_has_one_that_is_an_error(deaf):
    with pytest.raises(DataError, match="got none of 1: a text must hold a token to be explained"):
        explain_examples(deaf, 1, draws=20)


def test_a_method_that_is_none_is_refused_at_once(run):
    with pytest.raises(ConfigError, match="method must be one of"):
        explain_examples(run, 30, method="guessing")


@pytest.mark.parametrize("given, split", [(30, "test"), (-1, "test"), (99, "dev")])
def test_a_number_without_an_example_is_refused(run, given, split):
    with pytest.raises(ConfigError, match=f"index must be in 0 to 29 of the {split} split, got"):
        heedful.explain(run, given, split=split)


def test_an_empty_text_is_refused(run):
    with pytest.raises(DataError, match="must hold something to explain"):
        heedful.explain(run, "  ")


@pytest.mark.parametrize("method", ["gradient-attention", "integrated-gradients"])
def test_a_run_that_has_answered_is_explained(run, method):
    opened = heedful.load(run.folder)
    opened.answer(["am 3. Januar"])  # which loads the model, and wants no gradients
    assert not any(each.is_inference() for each in opened.model.parameters())
    found = heedful.explain(opened, "am 3. Januar", method=method, test=False)
    assert (found.weights != 0).any()
