"""The task that all others were first: its batches, losses, scores and words for a user."""

import numpy as np
import pytest
import sacrebleu
import torch
import torch.nn.functional as F

from heedful.data.examples import Example
from heedful.data.tokens import PAD
from heedful.errors import DataError
from heedful.models import RnnSeq2Seq, Transformer
from heedful.tasks.translation.config import (
    Config,
    Decode,
    RnnModel,
    Tokens,
    Train,
    TransformerModel,
)
from heedful.tasks.translation.pairs import train_vocabularies
from heedful.tasks.translation.task import Translation

EXAMPLES = [
    Example("one two", "一二", "short"),
    Example("three", "三"),
    Example("four five six seven", "四五六七"),
]


@pytest.fixture
def vocabularies():
    return train_vocabularies(Tokens(), EXAMPLES)


def task(vocabularies, **settings):
    small = {"model": TransformerModel(width=16, heads=2), "decode": Decode(max_length=9)}
    return Translation(Config(**(small | settings)), vocabularies)


def network(subject):
    torch.manual_seed(2)
    return subject.build().eval()


def test_long_pairs_are_no_part_of_a_training_and_never_left_out_else(vocabularies):
    subject = task(vocabularies, data={"name": "cldr", "max_length": 3})
    assert len(subject.encode(EXAMPLES, training=True)) == 2
    assert len(subject.encode(EXAMPLES)) == 3


@pytest.mark.parametrize(
    "model, kind",
    [
        (TransformerModel(width=16, heads=2, kv_heads=1, positions="learned"), Transformer),
        (RnnModel(width=8, hidden=8, cell="lstm", attention="general"), RnnSeq2Seq),
    ],
)
def test_builds_what_the_config_says(vocabularies, model, kind):
    built = Translation(Config(model=model), vocabularies).build()
    assert isinstance(built, kind)
    if isinstance(built, Transformer):
        assert built.encoder[0].self_attention.kv_heads == 1


def test_learned_positions_reach_as_far_as_texts_are_read_or_written(vocabularies):
    model = TransformerModel(width=16, heads=2, positions="learned")
    for read, write in ((4, 9), (9, 4)):
        data = {"name": "cldr", "max_length": read}
        subject = task(vocabularies, model=model, data=data, decode=Decode(max_length=write))
        assert network(subject).longest == 11


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_is_summed_over_target_tokens(vocabularies, smoothing):
    subject = task(vocabularies, train=Train(steps=1, label_smoothing=smoothing))
    model = network(subject).double()
    batch = subject.encode(EXAMPLES).batch([0, 1, 2], "cpu")
    loss, count = subject.loss(model, batch)
    assert count == 3 + 2 + 5  # characters and </s>, no <s>
    source, lengths, target = batch
    want = F.cross_entropy(
        model(source, lengths, target[:, :-1]).flatten(0, 1),
        target[:, 1:].flatten(),
        ignore_index=PAD,
        label_smoothing=smoothing,
        reduction="sum",
    )
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, want.float())


def test_dev_scores_are_those_of_its_pairs_each_by_itself(vocabularies):
    subject = task(vocabularies, train=Train(steps=1, label_smoothing=0.3))
    model, dev = network(subject), subject.encode(EXAMPLES)
    total, right, tokens = 0.0, 0, 0
    with torch.inference_mode():
        found = subject.scores(model, dev)
        for row in range(3):
            source, lengths, target = dev.batch([row], "cpu")
            logits = model(source, lengths, target[:, :-1])[0].double()
            truth = target[0, 1:]
            here = int((truth != PAD).sum())
            total += F.cross_entropy(logits[:here], truth[:here], reduction="sum").item()
            right += int((logits[:here].argmax(-1) == truth[:here]).sum())
            tokens += here
    assert found["dev_loss"] == pytest.approx(total / tokens, rel=1e-5)
    assert found["token_accuracy"] == right / tokens
    assert subject.monitor == "dev_loss"
    assert not subject.monitor_is_better_higher()


def test_rows_are_the_target_tokens_and_their_truth(vocabularies):
    subject = task(vocabularies)
    batch = subject.encode(EXAMPLES).batch([2, 0], "cpu")
    model = network(subject)
    with torch.inference_mode():
        said = subject.rows(model, batch)
        logits = model(batch[0], batch[1], batch[2][:, :-1])
    assert said.kind == "logits"
    assert said.example.tolist() == [0] * 5 + [1] * 3
    assert torch.equal(said.outputs, torch.cat([logits[0, :5], logits[1, :3]]))
    assert torch.equal(said.truth, subject.truth(batch))
    assert said.truth.tolist() == [*batch[2][0, 1:6].tolist(), *batch[2][1, 1:4].tolist()]


def test_rows_beyond_the_positions_of_a_model_are_zero(vocabularies):
    model = TransformerModel(width=16, heads=2, positions="learned")
    data = {"name": "cldr", "max_length": 1}
    subject = task(vocabularies, model=model, data=data, decode=Decode(max_length=1))
    batch = subject.encode(EXAMPLES[2:]).batch([0], "cpu")
    with torch.inference_mode():
        said = subject.rows(network(subject), batch)
    assert len(said.outputs) == len(said.truth) == 5
    zero = (said.outputs == 0).all(1).tolist()
    assert zero == [False, False, False, True, True]


def test_what_was_learned_is_saved_and_read(vocabularies, tmp_path):
    subject = task(vocabularies)
    for file in subject.files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
    subject.save(tmp_path)
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")}
    assert there == set(subject.files)
    again = Translation.load(subject.config, tmp_path)
    texts = [example.source for example in EXAMPLES]
    assert again.vocabularies.source.encode(texts) == vocabularies.source.encode(texts)
    assert again.encode(EXAMPLES).fingerprint() == subject.encode(EXAMPLES).fingerprint()


def test_an_answer_is_told_in_words_and_as_plain_data(vocabularies):
    subject = task(vocabularies, data={"name": "cldr", "max_length": 3})
    examples = [subject.parse("four one три five six"), subject.parse("one")]
    data = subject.encode(examples)
    answers = subject.answer(network(subject), data)
    told = subject.to_json(examples[0], answers[0])
    assert told == {
        "text": "four one три five six",
        "translation": subject.show(answers[0]),
        "tokens": 5,
        "too_long": True,
        "cut": answers[0].cut,
        "unknown": [" one", " три"],
        "known": 3,
    }
    assert told.keys() == subject.blank("").keys()
    assert subject.warnings(examples[1], answers[1]) == [
        *(
            ['the translation of "one" is cut at 9 tokens (decode.max_length)']
            if answers[1].cut
            else []
        )
    ]
    assert len(subject.warnings(examples[0], answers[0])) == 2 + answers[0].cut
    assert subject.remark(data, answers) == {"too_long": 1, "cut": sum(x.cut for x in answers)}
    assert subject.remark(data, answers).keys() == subject.remarks.keys()
    assert subject.amount(answers) == sum(len(x.written) for x in answers)
    with pytest.raises(DataError, match="a text must hold a word to translate, got ' '"):
        subject.parse(" ")


def test_a_report_says_how_bleu_was_computed(vocabularies):
    subject = task(vocabularies, decode=Decode(beam=3))
    details = subject.details(EXAMPLES)
    assert details["beam"] == 3
    assert f"version:{sacrebleu.__version__}" in details["bleu_signature"]
    assert "tok:zh" in details["bleu_signature"]


def test_two_pairs_are_the_same_however_their_letters_were_typed(vocabularies):
    subject = task(vocabularies)
    one, other = Example("caf\u00e9", "x"), Example("cafe\u0301", "x", "kind")
    assert subject.identity(one) == subject.identity(other)
    assert subject.identity(one) != subject.identity(Example("café", "y"))
    assert [subject.kind(each) for each in EXAMPLES] == ["short", "", ""]


def test_a_picture_shows_where_the_answer_looked(vocabularies):
    subject = task(vocabularies)
    model = network(subject)
    (answer,) = subject.answer(model, subject.encode(EXAMPLES[:1]))
    aligned = subject.picture(model, EXAMPLES[0], answer)
    assert "".join(aligned.source) == "one two"
    assert "".join(aligned.target) == answer.text
    assert np.allclose(np.sum(aligned.weights, axis=1), 1)
