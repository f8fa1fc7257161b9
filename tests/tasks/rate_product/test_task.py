"""Rating of products: keeps to what every task keeps to, learns, and looks at what counts."""

import re
from typing import ClassVar

import numpy as np
import pytest

from heedful.errors import DataError
from heedful.evaluation import evaluate
from heedful.tasks.catalog import parse_config
from heedful.tasks.rate_product.evidence import attention_on_evidence
from heedful.tasks.rate_product.products import Product
from heedful.tasks.rate_product.task import RateProduct
from heedful.testing.tasks import ClassificationContract
from heedful.training.start import train

SMALL = {"languages": ["en"], "examples": 120, "dev": 30, "test": 30}


class TestRateProduct(ClassificationContract):
    task = RateProduct
    inputs = ("the screen is good | the parcel is awful", "新机的做工不错", "x")
    budget = "accuracy 60"
    learns = ("train.steps=60", "train.learning_rate=0.02")
    remembered = 0.2
    model: ClassVar = {"width": 8, "heads": 2, "dropout": 0.0}
    tables: ClassVar = {"data": SMALL, "model": model, "train": {"steps": 6}}

    def expected(self, answers, examples):
        errors = [(a.score - e.score) ** 2 for a, e in zip(answers, examples, strict=True)]
        return {**super().expected(answers, examples), "mse": np.mean(errors)}

    def test_the_picture_weighs_the_words_of_all_reviews(self, run):
        task, product = run.task, Product(("The screen is good", "bad"))
        answer = task.answer(run.model, task.encode([product]))[0]
        picture = task.picture(run.model, product, answer)
        assert picture.source == ("the", " screen", " is", " good", "bad")
        assert picture.target == (answer.label,)
        assert sum(picture.weights[0]) == pytest.approx(1)
        assert answer.score == pytest.approx(
            sum(share * task.scale.values[label] for label, share in answer.shares.items())
        )

    def test_many_reviews_and_long_ones_are_cut(self, run):
        config = run.config.model_copy(
            update={"tokens": run.config.tokens.model_copy(update={"max_reviews": 2})}
        )
        task = RateProduct(config, run.task.vocabulary, run.task.ngrams, run.task.scale)
        data = task.encode([Product(("a", "b", "c")), Product(("x " * 600,))])
        assert data.counts.tolist() == [2, 1]
        assert task.remark(data, []) == {"cut": 1}

    def test_a_text_without_a_review_is_refused(self, run):
        with pytest.raises(
            DataError, match=re.escape("must have a review to be rated by, got ' |  | '")
        ):
            run.task.parse(" |  | ")


def test_it_learns_what_counts_and_looks_there(tmp_path):
    data = {"languages": ["en"], "examples": 600, "dev": 40, "test": 80}
    model = {"width": 16, "heads": 1, "encoder": "cnn", "dropout": 0.0, "token_dropout": 0.0}
    settings = {"steps": 120, "learning_rate": 0.02, "tokens_per_batch": 2_048}
    tables = {"task": "rate-product", "data": data, "model": model, "train": settings}
    run = train({**tables, "output": str(tmp_path / "run")})
    test = run.examples("test")
    trivial = np.var([each.score for each in test])
    assert evaluate(run).scores["mse"].score < 0.4 * trivial
    weight, share = attention_on_evidence(run.task, run.model, test)
    assert weight > 1.5 * share


def test_single_reviews_are_parsed_as_they_were_learned(tmp_path):
    data = {"name": "table", "train": "a.csv", "dev": "a.csv"}
    config = parse_config({"task": "rate-product", "data": data})
    task = RateProduct.fit(config, [Product(("a",), "1", 1.0), Product(("b",), "0", 0.0)])
    assert task.parse("Good. Really!").reviews == ("Good. ", "Really!")
    assert task.parse("a | b").reviews == ("a | b",)
    assert task.identity(Product(("A b",))) == ("a b",)
