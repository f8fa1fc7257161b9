"""`heedful explain`: one thing is asked, and what is shown has its badge."""

import json
from types import SimpleNamespace

import pytest

import heedful as package
from heedful.cli.explain import _as_typed
from heedful.errors import UnsupportedError
from heedful.tasks.catalog import parse_config
from heedful.tasks.fuse.config import DigitsData
from heedful.tasks.fuse.observations import parse


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    tables = {
        "task": "classify-text",
        "data": {"languages": ["de", "fr", "el"], "examples": 60, "dev": 20, "test": 20},
        "model": {"width": 8, "heads": 2},
        "train": {"steps": 20, "learning_rate": 0.02},
    }
    folder = tmp_path_factory.mktemp("asked") / "run"
    return package.train(parse_config(tables | {"output": str(folder)})).folder


def test_a_text_is_drawn_with_its_badge(heedful, run):
    code, out, _ = heedful("explain", run, "--text", "am 3. Januar")
    assert code == 0
    assert "[– not tested] by integrated-gradients" in out
    assert "␣Januar" in out


def test_what_predict_warns_of_is_said_here_too(heedful, run):
    words = ("explain", run, "--input", "am 3. 三月")
    said = "'am 3. 三月' has pieces that this model has never seen: '三', '月'"
    code, out, err = heedful(*words)
    assert (code, err.splitlines()[-1]) == (0, f"heedful: {said}")
    assert "never seen" not in out
    code, out, err = heedful(*words, "--json")
    assert json.loads(out)["warnings"] == [said]
    assert "never seen" not in err


PARTS = ["image", "sound", "text"]


@pytest.mark.parametrize("given", [["text"], ["image", "text"], PARTS], ids=" ".join)
def test_what_reads_several_things_is_given_several(given):
    task = SimpleNamespace(takes=PARTS, config=SimpleNamespace(task="fuse"))
    values = {"image": "a.png", "sound": "b.wav", "text": "se;ven"}
    asked = _as_typed(task, {f"--{name}": values[name] for name in given})
    found = parse(asked.replace("a.png", "digit:3").replace("b.wav", "tones:3"), DigitsData())
    assert found.text == "se;ven"
    assert [bool(getattr(found, name)) for name in PARTS] == [name in given for name in PARTS]
    assert _as_typed(task, {"--input": "text=a"}) == "text=a"


def test_what_reads_one_thing_is_not_given_two():
    task = SimpleNamespace(takes=("text", "image"), config=SimpleNamespace(task="t"))
    assert _as_typed(task, {"--text": "a"}) == '{"text": "a"}'
    task.takes = ("sequence",)
    assert _as_typed(task, {"--text": "ACGT"}) == "ACGT"


def test_a_picture_has_its_badge_in_the_file(heedful, run, tmp_path):
    pytest.importorskip("vl_convert", reason="needs the extra `report`")
    path = tmp_path / "why.svg"
    code, _, _ = heedful("explain", run, "--text", "am 3. Januar", "-o", path)
    assert code == 0
    assert ">not tested, by integrated-gradients</text>" in path.read_text(encoding="utf-8")


def test_json_has_weights_and_verdict(heedful, run):
    words = ("--index", "1", "--method", "occlusion", "--test", "--draws", "20", "--json")
    code, out, _ = heedful("explain", run, *words)
    found = json.loads(out)
    assert code == 0
    assert len(found["weights"][0]) == len(found["pieces"])
    assert found["word"] == found["verdict"]["word"]
    assert found["verdict"]["draws"] == 20


def test_paths_are_cut_for_those_who_ask(heedful, run):
    words = ("--index", "1", "--paths", "2", "--json")
    paths = json.loads(heedful("explain", run, *words)[1])["paths"]
    assert len(paths) == 2
    assert paths[0]["strength"] >= paths[1]["strength"] > 0
    assert {site for path in paths for site, _ in path["heads"]} == {"pooling"}
    drawn = heedful("explain", run, *words[:-1])[1]
    assert f"cut: {paths[0]['drop']:.2f}" in drawn


def test_heads_are_drawn_for_those_who_ask(heedful, run):
    code, out, _ = heedful("explain", run, "--text", "am 3. Januar", "--heads")
    assert code == 0
    assert out.index("not tested") < out.index("heads, for am 3. Januar") < out.index("\npooling\n")


def test_examples_have_a_rate(heedful, run):
    code, out, _ = heedful("explain", run, "--examples", "3", "--draws", "20")
    assert code == 0
    assert "of 3 explanations (95 % interval" in out
    found = json.loads(heedful("explain", run, "--examples", "3", "--draws", "20", "--json")[1])
    assert found["tested"] == 3


def test_examples_without_an_explanation_are_told_with_their_reason(heedful, run, monkeypatch):
    from heedful.tasks.classify_text.task import ClassifyText

    real, reason = ClassifyText.question, "a text must hold a token to be explained, got ''"

    def question(task, model, example, answer):
        if len(example.text) % 2:
            raise UnsupportedError(reason)
        return real(task, model, example, answer)

    monkeypatch.setattr(ClassifyText, "question", question)
    words = ("explain", run, "--examples", "9", "--draws", "9")
    code, out, _ = heedful(*words)
    found = json.loads(heedful(*words, "--json")[1])
    without = found["not_explainable"][reason]
    assert code == 0
    assert found["tested"] == 9 - without
    assert f"{without}  not explainable: {reason}" in out


def test_a_file_has_the_badge_and_the_command(heedful, run, tmp_path):
    code, _, err = heedful("explain", run, "--text", "le 3 janvier", "-o", "why.html")
    assert (code, err.splitlines()[-1]) == (0, "Wrote why.html")
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert "not tested" in page
    assert "heedful explain" in page
    words = ("explain", run, "--index", "0", "--test", "--paths", "1", "-o", "warum.HTML")
    assert heedful(*words, "--lang", "zh")[0] == 0
    page = (tmp_path / "warum.HTML").read_text(encoding="utf-8")
    assert "模型为何这样回答" in page
    assert "pooling · " in page


@pytest.mark.parametrize(
    "words, message",
    [
        ((), "must say what is explained, got none"),
        (("--text", "a", "--index", "1"), "got --text and --index"),
        (("--image", "missing.png"), "--image must be a file, got missing.png"),
        (("--text", "a", "--head", "1"), "must come with the method attention"),
        (("--text", "a", "--method", "attention", "--head", "9"), "head must be in 0 to 1"),
        (("--text", "a", "--method", "attention", "--site", "x"), "site must be one of pooling"),
        (("--text", "a", "--method", "guess"), "method must be one of"),
        (("--index", "20"), "index must be in 0 to 19 of the test split, got 20"),
        (("--examples", "2", "-o", "x.html"), "--output must come with one input"),
        (("--examples", "2", "--paths", "1"), "--paths must come with one input"),
        (("--examples", "2", "--heads"), "--heads must come with one input"),
        (("--text", "a", "--heads", "--json"), "--heads must be drawn on the terminal"),
        (("--text", "a", "--lang", "zh"), "--lang must come with an .html page, got no --output"),
        (("--text", "a", "-o", "x.pdf"), "must end in"),
        (("--text", " "), "must hold something"),
        (("--text", "a", "--sound", __file__), "--sound must come with a run that reads such"),
        (
            ("--image", __file__),
            "--image must come with a run that reads such, got classify-text, which reads text; "
            "--input takes what `heedful predict` does",
        ),
        (("--text", "a", "--input", "a"), "got --text and --input"),
        (("--image", __file__, "--index", "1"), "got --image and --index"),
    ],
)
def test_what_cannot_be_asked_is_one_line(heedful, run, words, message):
    code, out, err = heedful("explain", run, *words)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny classifier as transformers saves it; a word is a token."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("checkpoint")
    words = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[MASK]", *"abcdef"))}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, **names).save_pretrained(folder)
    sizes = {"hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 20}
    config = transformers.BertConfig(vocab_size=9, num_hidden_layers=1, pad_token_id=0, **sizes)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_a_checkpoint_is_explained_by_a_text(heedful, checkpoint):
    code, out, _ = heedful("explain", checkpoint, "--text", "a b c", "--test", "--draws", "20")
    assert code == 0
    assert "[? inconclusive] by gradient-attention" in out  # of three words nothing can be said
    found = json.loads(heedful("explain", checkpoint, "--text", "a b c", "--json")[1])
    assert found["pieces"] == ["a", "b", "c"]
    assert found["title"].startswith("a b c → LABEL_")


@pytest.mark.parametrize(
    "words, got",
    [
        (("--index", "1"), "got --index or --examples"),
        (("--input", "a"), "got --input"),
        (("--text", "a", "--heads"), "got --text and --heads"),
        (("--text", "a", "--task-from", "a:B"), "got --text and --task-from"),
    ],
)
def test_a_checkpoint_takes_a_text_alone(heedful, checkpoint, words, got):
    code, out, err = heedful("explain", checkpoint, *words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].endswith(f"must be explained by --text alone, {got}")
