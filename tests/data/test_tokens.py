"""Tokenisers lose nothing that they know and cannot be tricked."""

import json
import os
import re
import subprocess
import sys
import time
import unicodedata
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.tokens import BOS, EOS, PAD, SPECIAL, UNKNOWN, Vocabulary, train_tokenizer
from heedful.errors import ConfigError, RunError

KINDS = ["words", "characters", "bpe"]
MIXED = [
    "Jun 14, 2039 at 1:00 AM",
    "2039年6月14日 上午1时",
    "two  spaces\tand\r\nlines ",
    "من 5 دقائق، می\u200cخواهم",
    "कि 2 मीटर",
    "コーヒーとラーメン",
    "caf\u00e9 o'clock <s> </s> <unk> <pad>",
    "🇫🇷 👩‍👩‍👧",
]
scraps = st.text(st.sampled_from("aé é\u0301\u0323 _1٣年々ーカ\u200d\r\n\t<s>🇫🇷क\u093fا'."))


@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.lists(st.one_of(st.text(), scraps), min_size=1, max_size=5))
def test_what_was_seen_comes_back_exactly(kind, texts):
    texts = [text for text in texts if text] or ["a"]
    vocabulary = train_tokenizer(kind, texts, vocabulary=1_000)
    composed = [unicodedata.normalize("NFC", text) for text in texts]
    assert vocabulary.decode(vocabulary.encode(texts)) == composed
    assert all(UNKNOWN not in row for row in vocabulary.encode(texts))


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.one_of(st.text(), scraps, scraps.map(partial(unicodedata.normalize, "NFD"))))
def test_pieces_show_the_text_as_written_even_if_unknown(kind, text):
    vocabulary = train_tokenizer(kind, MIXED, vocabulary=1_000)
    pieces = vocabulary.pieces(text)
    assert len(pieces) == len(vocabulary.encode([text])[0])
    assert (pieces[0], pieces[-1], "".join(pieces[1:-1])) == ("<s>", "</s>", text)


@pytest.mark.parametrize(
    "kind, text, want",
    [
        ("words", "in 25 minutes, ok", ["in", " ", "2", "5", " minutes", ",", " ok"]),
        ("words", "6月14日 周三", ["6", "月", "1", "4", "日", " ", "周", "三"]),
        ("words", " a  b\n", [" a", " ", " b", "\n"]),
        ("words", "2 मीटर کی", ["2", " मीटर", " کی"]),
        ("words", "می\u200cخواهم", ["می\u200cخواهم"]),
        ("words", "コーヒー", ["コ", "ー", "ヒ", "ー"]),
        ("words", "snake_case é", ["snake", "_", "case", " é"]),
        ("characters", "a 年\n", ["a", " ", "年", "\n"]),
        ("bpe", "ab ab ab", ["ab", " ab", " ab"]),
    ],
)
def test_what_a_piece_is(kind, text, want):
    assert train_tokenizer(kind, [text], vocabulary=1_000).pieces(text)[1:-1] == want


def test_numbers_of_the_special_pieces():
    vocabulary = train_tokenizer("words", ["a a b"], vocabulary=6)
    assert (PAD, BOS, EOS, UNKNOWN) == (0, 1, 2, 3)
    assert vocabulary.size == 6
    # " a" and " b" and "a" are seen once each; alphabetical order decides
    assert vocabulary.encode(["a b", ""]) == [[1, 3, 5, 2], [1, 2]]
    assert vocabulary.decode([[1, 5, 3, 4, 2, 4], [0, 0], []]) == [" b<unk> a", "", ""]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unknown", [(), (0,), (2,), (1, 4), (0, 1, 2, 3, 4, 5)])
def test_what_a_model_wrote_is_spelled_token_by_token(kind, unknown):
    vocabulary = train_tokenizer(kind, ["wxyz"], vocabulary=1_000)
    (letters,) = vocabulary.encode(["wxyz"])
    row = letters[1:-1]
    for place in unknown:
        row.insert(place, UNKNOWN)
    assert vocabulary.spelled(row) == [vocabulary.decode([[number]])[0] for number in row]
    assert vocabulary.spelled([BOS, *row, EOS, PAD])[-2:] == ["</s>", "<pad>"]


@pytest.mark.parametrize("kind", KINDS)
def test_special_pieces_inside_text_are_only_text(kind):
    text = "<s>a</s><pad><unk>"
    vocabulary = train_tokenizer(kind, [text], vocabulary=1_000)
    (row,) = vocabulary.encode([text])
    assert not set(row[1:-1]) & {PAD, BOS, EOS, UNKNOWN}
    assert vocabulary.decode([row]) == [text]


def test_rare_pieces_are_unknown():
    vocabulary = train_tokenizer("characters", ["aab", "ac"], vocabulary=99, min_count=3)
    assert vocabulary.size == len(SPECIAL) + 1
    assert vocabulary.decode(vocabulary.encode(["abc"])) == ["a<unk><unk>"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_holds_and_frequent_pieces_stay(kind):
    vocabulary = train_tokenizer(kind, ["aäöüß漢字", "e e e e e e"], vocabulary=6)
    assert vocabulary.size == 6
    assert UNKNOWN not in vocabulary.encode(["e e"])[0][2:]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [20, 60, 150])  # below, about and above the letters of MIXED
def test_training_again_gives_the_same_pieces(kind, limit):
    first, *others = (train_tokenizer(kind, MIXED * 3, vocabulary=limit) for _ in range(4))
    for other in others:
        assert first.encode(MIXED) == other.encode(MIXED)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded(kind, tmp_path):
    vocabulary = train_tokenizer(kind, MIXED, vocabulary=80)
    vocabulary.save(tmp_path / "词表.json")
    loaded = Vocabulary.load(tmp_path / "词表.json")
    texts = [*MIXED, "e\u0301 new"]
    assert loaded.encode(texts) == vocabulary.encode(texts)
    assert loaded.decode(loaded.encode(texts)) == vocabulary.decode(vocabulary.encode(texts))
    assert [path.name for path in tmp_path.iterdir()] == ["词表.json"]  # no temporary file stays


def test_rejects_a_damaged_file(tmp_path):
    path = tmp_path / "source.json"
    train_tokenizer("words", MIXED, vocabulary=80).save(path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"\xff\xfe", b"[]"):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=re.escape(f"{path} must be a saved vocabulary, got ")):
            Vocabulary.load(path)
    path.write_bytes(whole.replace(b"<pad>", b"<pat>"))
    with pytest.raises(RunError, match=r"must begin with the pieces \('<pad>'.*got \('<pat>'"):
        Vocabulary.load(path)
    path.unlink()
    with pytest.raises(RunError, match=r"source\.json must be a saved vocabulary, got no such"):
        Vocabulary.load(path)


def changed(path, change):
    """A saved vocabulary in which something is another."""
    train_tokenizer("words", MIXED, vocabulary=80).save(path)
    plain = json.loads(path.read_bytes())
    change(plain)
    path.write_text(json.dumps(plain))
    return path


CUT = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
FILL = {
    **{"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None},
    **{"pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"},
}
ADDED = {
    **{"id": 500, "content": "zzz", "single_word": False, "lstrip": False, "rstrip": False},
    **{"normalized": False, "special": True},
}


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda plain: plain.update(post_processor=None), "one that does not write <s> and </s>"),
        (lambda plain: plain.update(truncation=CUT), "one that cuts or fills texts"),
        (lambda plain: plain.update(padding=FILL), "one that cuts or fills texts"),
        (lambda plain: plain["model"]["vocab"].update(x=10**6), "numbers of pieces that do not"),
        (lambda plain: plain["model"]["vocab"].update(x=9), "numbers of pieces that do not"),
        (lambda plain: plain.update(added_tokens=[ADDED]), "numbers of pieces that do not"),
        (lambda plain: plain["model"].update(unk_token="x"), "a model without <unk>"),
        (
            lambda plain: plain.update(model={**plain["model"], "type": "WordPiece"}),
            "must be a saved vocabulary, got",
        ),
        (
            lambda plain: plain.update(
                model={**plain["model"], "type": "BPE", "merges": [], "dropout": 0.5}
            ),
            "a model that leaves merges out by chance",
        ),
    ],
)
def test_a_tokeniser_that_is_none_of_ours_is_refused(tmp_path, change, message):
    with pytest.raises(RunError, match=message):
        Vocabulary.load(changed(tmp_path / "x.json", change))


def test_a_pattern_without_end_is_an_error(tmp_path):
    """The tokeniser's own language ends in a panic, which is no `Exception` in Python."""

    def evil(plain):
        plain["pre_tokenizer"]["pattern"] = {"Regex": "(x+x+)+y"}

    vocabulary = Vocabulary.load(changed(tmp_path / "x.json", evil))
    for use in (lambda text: vocabulary.encode([text]), vocabulary.pieces):
        with pytest.raises(RunError, match=r"must be able to cut every text, got: .*retry-limit"):
            use("x" * 60)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: path.mkdir(), "must be readable, got: Is a directory"),
        (lambda path: path.symlink_to("nowhere"), "must be readable, got: a link to nothing"),
        (os.mkfifo, "must be readable, got: no ordinary file"),
        (lambda path: path.touch() or os.truncate(path, 1 << 28), "268,435,456 bytes, more than"),
        (lambda path: path.write_text("[" * 100_000), "must be a saved vocabulary, got"),
    ],
)
def test_only_a_file_of_a_sensible_size_is_read(tmp_path, make, message):
    make(tmp_path / "x.json")
    with pytest.raises(RunError, match=message):
        Vocabulary.load(tmp_path / "x.json")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"kind": "syllables"}, "kind must be one of words, characters, bpe, got 'syllables'"),
        ({"vocabulary": 4}, "vocabulary must be more than 4, got 4"),
        ({"min_count": 7}, "min_count must leave some piece of the texts, got 7"),
        ({"texts": []}, "min_count must leave some piece of the texts, got 1"),
    ],
)
def test_rejects(settings, message):
    whole = {"kind": "words", "texts": ["a b"], "vocabulary": 9} | settings
    kind, texts = whole.pop("kind"), whole.pop("texts")
    with pytest.raises(ConfigError, match=message):
        train_tokenizer(kind, texts, **whole)


def test_many_texts_are_encoded_like_one_and_fast():
    texts = [f"Tuesday, June {day}, {day * 7 % 2000} 年" for day in range(20_000)]
    vocabulary = train_tokenizer("words", texts, vocabulary=500)
    start = time.process_time()
    rows = vocabulary.encode(texts)
    assert time.process_time() - start < 3
    assert rows[::997] == [vocabulary.encode([text])[0] for text in texts[::997]]
    assert len(rows) == len(texts)


def test_the_backends_threads_stay_off_unless_asked_for(monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    train_tokenizer("words", ["a"], vocabulary=9)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    train_tokenizer("words", ["a"], vocabulary=9)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


FIRST = {
    "trained": 'train_tokenizer("words", ["a b"] * 20_000, vocabulary=9)',
    "loaded": "Vocabulary.load(sys.argv[1])",
}


@pytest.mark.parametrize("origin", FIRST)
def test_a_forked_process_does_not_warn(origin, tmp_path, monkeypatch):
    path = tmp_path / "source.json"
    train_tokenizer("words", ["a b"], vocabulary=9).save(path)
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    script = f"""
import os, sys
from heedful.data.tokens import Vocabulary, train_tokenizer
vocabulary = {FIRST[origin]}
vocabulary.encode(["a b"] * 20_000)
if os.fork() == 0:
    vocabulary.encode(["a b"] * 20_000)
    os._exit(0)
os.wait()
"""
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b""
