"""How a trained translator reads and writes: order, batches, alignment, what it cannot take."""

import pytest
import torch

from heedful.data.examples import Example
from heedful.data.tokens import BOS
from heedful.errors import ConfigError, DataError
from heedful.tasks.translation.config import Config, Decode, RnnModel, Tokens, TransformerModel
from heedful.tasks.translation.pairs import train_vocabularies
from heedful.tasks.translation.task import Translation
from heedful.tasks.translation.translator import Translator, remarks_on

EXAMPLES = [
    Example("one two", "一二"),
    Example("three", "三"),
    Example("four five six seven", "四五六七"),
]


@pytest.fixture
def vocabularies():
    return train_vocabularies(Tokens(), EXAMPLES)


def translator(vocabularies, model=None, **decode):
    config = Config(model=model or TransformerModel(width=16, heads=2))
    torch.manual_seed(2)
    network = Translation(config, vocabularies).build()
    return Translator(network, vocabularies, Decode(**({"max_length": 9} | decode)))


def test_learned_positions_read_the_beginning_of_a_text_that_is_too_long(vocabularies):
    config = Config(
        model=TransformerModel(width=16, heads=2, positions="learned"),
        data={"name": "cldr", "max_length": 4},
        decode={"max_length": 5},
    )
    torch.manual_seed(2)
    network = Translation(config, vocabularies).build()
    assert network.longest == 7
    subject = Translator(network, vocabularies, config.decode, longest=4)
    long, same = "one two three four five six seven", "one two three four five"
    outcomes = subject.outcomes([long, "one", same])
    assert [outcome.unread for outcome in outcomes] == [2, 0, 0]
    assert [outcome.too_long for outcome in outcomes] == [True, False, True]
    assert [outcome.text for outcome in outcomes] == subject.translate([same, "one", same])
    [_, one, _] = vocabularies.target.encode(["一"])[0]
    assert "".join(subject.align(long, [one] * 9).source) == same
    assert len(subject.align(long, [one] * 9).target) == 5


def test_unknown_tokens_are_counted(vocabularies):
    known, unknown = translator(vocabularies).outcomes(["one two", "один one два"])
    assert (known.unknown, unknown.unknown, unknown.tokens) == (0, 3, 3)


@pytest.mark.parametrize("texts", ["one two", ""])
def test_a_text_is_not_taken_for_a_list_of_letters(vocabularies, texts):
    message = f"^texts must be a list of texts, got the single text '{texts}'$"
    with pytest.raises(DataError, match=message):
        translator(vocabularies).translate(texts)


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("beam", [1, 3])
def test_batches_cannot_matter(vocabularies, batch, beam):
    texts = ["four five six seven", "one", "two three", "one"]
    alone = [translator(vocabularies).translate([text], beam=beam)[0] for text in texts]
    assert translator(vocabularies, batch=batch).translate(texts, beam=beam) == alone


def test_no_texts_give_no_translations(vocabularies):
    assert translator(vocabularies).translate([]) == []


@pytest.mark.parametrize("text", ["", "  \t"])
def test_a_text_without_words_is_an_error(vocabularies, text):
    with pytest.raises(DataError, match="text 2 must hold a word to translate, got"):
        translator(vocabularies).translate(["one", text])


@pytest.mark.parametrize(
    "model", [TransformerModel(width=16, heads=2), RnnModel(width=8, hidden=8)]
)
def test_an_alignment_has_a_row_a_target_piece(vocabularies, model):
    aligned = translator(vocabularies, model).align(
        "one two", vocabularies.target.encode(["三四五"])[0][1:-1]
    )
    assert aligned.target == ("三", "四", "五")
    assert "".join(aligned.source) == "one two"
    assert len(aligned.weights) == 3
    for row in aligned.weights:
        assert len(row) == len(aligned.source)
        assert sum(row) == pytest.approx(1)


def test_a_row_of_the_alignment_is_the_step_that_wrote_the_piece(vocabularies):
    """The weights used while the piece is being chosen, not those after it was read back."""
    subject = translator(vocabularies)
    written = vocabularies.target.encode(["三四"])[0][1:-1]
    aligned = subject.align("one two", written)
    source = torch.tensor(vocabularies.source.encode(["one two"]))
    for row, target in enumerate([[BOS], vocabularies.target.encode(["三"])[0][:2]]):
        with torch.inference_mode():
            weights = subject.model.alignment(
                source, torch.tensor([source.shape[1]]), torch.tensor([target])
            )[0, -1, 1:-1]
        want = (weights / weights.sum()).tolist()
        assert aligned.weights[row] == pytest.approx(want)


def test_a_model_without_attention_has_no_alignment(vocabularies):
    with pytest.raises(ConfigError, match="must have attention to show it, got attention = none"):
        translator(vocabularies, RnnModel(width=8, hidden=8, attention="none")).align("one")


def test_an_outcome_says_what_is_too_long_and_what_is_cut(vocabularies):
    subject = translator(vocabularies, max_length=2)
    subject.longest = 3
    short, long = subject.outcomes(["one two", "four five six seven"])
    assert (short.tokens, short.too_long) == (2, False)
    assert (long.tokens, long.too_long) == (4, True)
    for outcome in (short, long):
        assert outcome.cut == (len(outcome.text) >= 2)
    assert subject.translate(["one two"]) == [short.text]


def test_what_is_wrong_with_a_translation_is_said_in_words(vocabularies):
    decode = Decode(max_length=5)
    subject = translator(vocabularies, max_length=5)
    subject.longest = 3
    source = "three один один два три четыре пять шесть"
    (told,) = subject.outcomes([source])

    def said(**changes):
        changed = type(told)(**{**vars(told), "cut": False, "too_long": False, **changes})
        return remarks_on(changed, source, vocabulary=vocabularies.source, decode=decode, longest=3)

    pieces = "' один', ' два', ' три', ' четыре', ' пять', …"
    seen = f'"{source[:39]}…" has pieces that this model has never seen: {pieces}'
    assert said() == [seen]
    nothing = said(unknown=told.tokens)
    assert nothing == [
        seen.replace(": ' ", " and nothing else, so its translation means nothing: ' ")
    ]
    assert said(unknown=0) == []
    assert said(unknown=0, unread=4) == [
        f'the last 4 tokens of "{source[:39]}…" are not read: the model has positions for no more'
    ]
    assert said(unknown=0, too_long=True) == [
        f'"{source[:39]}…" has 8 tokens, more than the 3 that this model was trained with'
    ]
    assert said(unknown=0, cut=True) == [
        f'the translation of "{source[:39]}…" is cut at 5 tokens (decode.max_length)'
    ]
