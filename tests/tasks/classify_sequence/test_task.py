"""Classification of sequences keeps to what every task keeps to, and finds planted motifs."""

import re
from typing import ClassVar

import numpy as np
import pytest

import heedful
from heedful.data.sequences import CODES, Sequence
from heedful.errors import DataError
from heedful.tasks.catalog import parse_config
from heedful.tasks.classify_sequence.task import ClassifySequence, code_shares
from heedful.testing.tasks import ClassificationContract
from heedful.training.splits import training_examples
from heedful.training.start import build, train

SMALL: dict[str, object] = {"examples": 80, "dev": 20, "test": 20, "length": 30}
MODEL: dict[str, object] = {"width": 8, "heads": 2, "feedforward": 8, "kernel": 5, "dropout": 0.0}


class TestClassifySequence(ClassificationContract):
    task = ClassifySequence
    inputs = ("TATAAAAGGC", "cag gtaagt", "NNNNACGT")
    learns = ("train.steps=80", "train.learning_rate=0.02")
    tables: ClassVar = {"data": SMALL, "model": MODEL, "train": {"steps": 6}}

    def test_the_picture_is_of_the_letters_around_the_heaviest(self, run):
        task, example = run.task, Sequence("ACGT" * 40)
        answer = task.answer(run.model, task.encode([example]))[0]
        picture = task.picture(run.model, example, answer)
        assert len(picture.source) == len(picture.weights[0]) == 60
        assert "".join(picture.source) in example.letters
        assert sum(picture.weights[0]) == pytest.approx(1)

    def test_a_file_of_one_sequence_is_an_input(self, run, tmp_path):
        path = tmp_path / "one.fa"
        path.write_text(">some name\nACGT\nTTTT\n")
        assert run.task.parse(str(path)) == Sequence("ACGTTTTT")
        path.write_text(">one\nACGT\n>two\nACGT\n")
        with pytest.raises(DataError, match="must hold one sequence to be an input, got 2"):
            run.task.parse(str(path))
        with pytest.raises(DataError, match=re.escape("an input must have letters of DNA")):
            run.task.parse("ACGE")

    def test_another_file_is_read_to_be_judged_with(self, run, tmp_path):
        path = tmp_path / "more.csv"
        path.write_text("sequence,label\nACGT,donor\n")
        assert run.task.read_file(run.config, path) == [Sequence("ACGT", "donor")]


def test_attention_of_both_strands_is_on_the_same_letters():
    config = parse_config(
        {"task": "classify-sequence", "data": SMALL, "model": {**MODEL, "strands": "both"}}
    )
    task = ClassifySequence.fit(config, ClassifySequence.read(config).train)
    model = build(task).eval()
    own, other = task.attention(model, [Sequence("AACGTTTACC"), Sequence("GGTAAACGTT")])
    assert np.allclose(own, other[::-1], atol=1e-6)
    assert own.sum() == pytest.approx(1)


def test_without_attention_pooling_there_is_no_picture():
    config = parse_config(
        {"task": "classify-sequence", "data": SMALL, "model": {**MODEL, "pooling": "max"}}
    )
    task = ClassifySequence.fit(config, ClassifySequence.read(config).train)
    model, example = build(task).eval(), Sequence("ACGTACGT")
    answer = task.answer(model, task.encode([example]))[0]
    assert task.picture(model, example, answer) is None


@pytest.mark.parametrize("alphabet", CODES)
def test_codes_are_shares_of_letters(alphabet):
    table = code_shares(alphabet)
    assert table.shape == (len(CODES[alphabet]) + 1, 4 if alphabet == "dna" else 22)
    assert table.sum(1) == pytest.approx([0, *[1] * len(CODES[alphabet])])


def files(tmp_path, **texts):
    data = {"name": "files"}
    for name, text in texts.items():
        (tmp_path / f"{name}.fa").write_text(text)
        data[name] = str(tmp_path / f"{name}.fa")
    return parse_config({"task": "classify-sequence", "data": data})


TRAIN = ">1 a\nACGT\n>2 b\nTTTT\n"


def test_what_is_held_out_stays_held_out_and_is_not_learned_from(tmp_path):
    config = files(
        tmp_path, train=TRAIN + ">6 a\nCCCC\n", dev=">3 a\nacgu\n>4 b\nGGGG\n", test=">5 a\nGGGG\n"
    )
    split = ClassifySequence.read(config)
    assert [len(part) for part in (split.train, split.dev, split.test)] == [3, 2, 1]
    assert ClassifySequence.read_training(config) == split.train
    settings = {"output": str(tmp_path / "run"), "train": {"steps": 1}, "model": MODEL}
    run = train(parse_config(config.model_dump(exclude_unset=True) | settings))
    assert [each.letters for each in training_examples(run)] == ["TTTT", "CCCC"]
    assert (run.about["left_out"], len(run.examples("dev")), len(run.examples("test"))) == (1, 2, 1)


def test_a_label_that_training_never_had_is_refused_with_its_line(tmp_path):
    config = files(tmp_path, train=TRAIN, dev=">3 c\nACGG\n")
    words = "dev.fa:1 must have a label of the training split, got 'c'"
    with pytest.raises(DataError, match=re.escape(words)):
        ClassifySequence.read(config)


def test_it_learns_to_find_motifs(tmp_path):
    data = {"examples": 1_400, "dev": 200, "test": 200, "length": 30}
    model = {"width": 16, "layers": 0, "dropout": 0.0}
    tables = {"task": "classify-sequence", "data": data, "model": model}
    train = {"steps": 150, "learning_rate": 0.01, "evaluate_every": 0.5}
    run = heedful.train(parse_config({**tables, "train": train, "output": str(tmp_path / "run")}))
    accuracy = run.task.metric("accuracy")
    test = run.examples("test")
    answers = run.task.answer(run.model, run.task.encode(test))
    score = accuracy.score(accuracy.statistics(answers, test))
    trivial = 100 * max(np.mean([e.label == name for e in test]) for name in run.task.labels)
    assert score > trivial + 15, (score, trivial)
