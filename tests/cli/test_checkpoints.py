"""Where a verb takes a run or a checkpoint: which it is, what it needs, how it opens again."""

import re

import pytest

from heedful.cli import _checkpoints
from heedful.cli._checkpoints import how_to_open, takes_checkpoint

NOTHING = "got neither in "


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def asked(monkeypatch):
    """What the library is asked for, which then refuses."""
    from heedful.checkpoints import apply, optimize, profile
    from heedful.errors import UnsupportedError

    calls = []

    def ask(*given, **named):
        calls.append((*given, named))
        raise UnsupportedError("it must be asked only, got a call")

    monkeypatch.setattr(optimize, "optimize_checkpoint", ask)
    monkeypatch.setattr(profile, "profile_checkpoint", ask)
    monkeypatch.setattr(apply, "apply_to_checkpoint", ask)
    return calls


def test_which_folder_is_what(tmp_path, checkpoint):
    assert takes_checkpoint(checkpoint)
    (checkpoint / "run.json").touch()
    assert not takes_checkpoint(checkpoint)
    assert not takes_checkpoint(tmp_path / "none")
    (tmp_path / "model.json").touch()
    assert takes_checkpoint(tmp_path)


@pytest.mark.parametrize("words", [("optimize", "--lose", "loss 1"), ("profile",)])
def test_a_folder_that_is_neither(heedful, tmp_path, words):
    (tmp_path / "empty").mkdir()
    verb, *rest = words
    code, _, err = heedful(verb, "empty", *rest)
    assert code == 2
    assert NOTHING in err.splitlines()[-1]


def test_all_that_is_said_is_handed_on(heedful, asked, checkpoint, tmp_path):
    (tmp_path / "mine_of_a_test.py").write_text("def score(model, batches):\n    return [1.0]\n")
    words = ("--data", "d.csv", "--column", "text=body", "--column", "label=stars", "--test", "t")
    more = ("--quality", "mine_of_a_test:score", "--minutes", "3", "-o", "out", "--lose", "score 1")
    assert heedful("optimize", "bert", *words, *more)[0] == 2
    ((folder, data, named),) = asked
    assert (str(folder), str(data.path), str(data.test)) == ("bert", "d.csv", "t")
    assert data.columns == {"text": "body", "label": "stars"}
    assert named["lose"] == "score 1"
    assert named["quality"](None, []) == [1.0]
    assert (named["settings"].minutes, named["settings"].final_steps) == (3, 300)
    asked.clear()
    assert heedful("optimize", "bert", "--data", "d.txt", "--keep", "cosine >= -0.02")[0] == 2
    assert str(asked[0][2]["lose"]) == "cosine 0.02"
    asked.clear()
    assert heedful("profile", "bert", "--leave-out", "3")[0] == 2
    ((_, data, named),) = asked
    assert data is None
    assert named["leave_out"] == 3
    asked.clear()
    words = ("--data", "d.txt", "-o", "out", "--distil-steps", "5", "--finetune-steps", "6")
    assert heedful("apply", "plan.toml", "bert", *words)[0] == 2
    ((plan, folder, data, named),) = asked
    assert (str(plan), str(folder), str(data.path)) == ("plan.toml", "bert", "d.txt")
    assert (named["steps"].distil, named["steps"].finetune) == (5, 6)


@pytest.mark.parametrize(
    "words, must",
    [
        (("--lose", "cosine 1"), "--data must name a file of examples for a checkpoint, got noth"),
        (("--data", "x.txt"), "--lose must say what may be lost, such as 'cosine 0.02', got noth"),
        (
            ("--data", "x.txt", "--lose", "a 1", "--column", "text"),
            "--column must read ROLE=NAME, such as text=review, got 'text'",
        ),
        (
            ("--data", "x.txt", "--lose", "a 1", "--column", "colour=x"),
            "columns must be of text, pair, label, target, file, got 'colour'",
        ),
        (
            ("--data", "x.txt", "--lose", "a 1", "--quality", "math:pi"),
            "math:pi must be a function, got float",
        ),
    ],
)
def test_bad_options_are_one_line(heedful, checkpoint, words, must):
    code, _, err = heedful("optimize", "bert", *words)
    assert code == 2
    assert re.search(re.escape(must), err.splitlines()[-1])


def test_a_run_takes_no_data(heedful, library, tmp_path):
    code, _, err = heedful("optimize", "runs/x", "--lose", "chrf 1", "--data", "x.txt")
    assert code == 2
    assert "--data must come with a checkpoint of Hugging Face, got nothing at runs/x" in err
    (tmp_path / "run.json").touch()
    code, _, err = heedful("optimize", tmp_path, "--lose", "chrf 1", "--data", "x.txt")
    assert code == 2
    assert "--data must come with a checkpoint of Hugging Face, got a run" in err


def test_what_the_user_s_function_raises_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "broken_of_a_test.py").write_text(
        "def score(model, batches):\n    raise KeyError('x')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    quality = _checkpoints.quality_of("broken_of_a_test:score")
    with pytest.raises(ValueError, match=r"must return one number for each example, got KeyError"):
        quality(None, [])
    assert _checkpoints.quality_of(None) is None


def test_how_to_open_it(tmp_path):
    assert how_to_open(tmp_path).splitlines() == [
        "Open it in Python with",
        f"    model = heedful.load('{tmp_path}')",
    ]
    (tmp_path / "tokenizer_config.json").touch()
    assert "transformers.AutoTokenizer.from_pretrained" in how_to_open(tmp_path)
    for name in ("processor_config.json", "preprocessor_config.json"):
        (tmp_path / name).touch()
        assert "transformers.AutoProcessor.from_pretrained" in how_to_open(tmp_path)
        (tmp_path / name).unlink()
    (tmp_path / "config.json").write_text('{"architectures": ["Qwen3Model"]}')
    assert f"model = transformers.Qwen3Model.from_pretrained('{tmp_path}')" in how_to_open(tmp_path)


def test_who_can_open_the_result_is_handed_on(heedful, asked, checkpoint, tmp_path):
    words = ("--data", "d.txt", "--lose", "loss 1", "--loadable", "transformers")
    heedful("optimize", checkpoint, *words)
    assert asked[-1][-1]["settings"].loadable == "transformers"
    code, _, err = heedful("optimize", "runs/x", "--lose", "loss 1", "--loadable", "transformers")
    assert code == 2
    assert "--loadable must come with a checkpoint of Hugging Face, got nothing at runs/x" in err
