import json

import pytest

from heedful.errors import DataError


def test_one_translation_a_line_and_nothing_else(heedful, library):
    assert heedful("predict", "r", "a b", "三月", "--beam", "4") == (0, "译:a b\n译:三月\n", "")
    assert library.task.asked == [["a b", "三月"]]
    assert library.answering == [["decode.beam=4"]]
    assert [str(folder) for folder in library.load] == ["r"]


def test_lines_of_stdin_and_blank_ones_stay_in_place(heedful, library):
    stdin = "\ufeffone\r\n\n  \n\0\n三月".encode()
    assert heedful("predict", "r", stdin=stdin) == (0, "译:one\n\n\n\n译:三月\n", "")
    assert library.task.asked == [["one", "三月"]]
    assert library.answering == [[]]


def test_empty_stdin_is_fine(heedful, library):
    assert heedful("predict", "r", stdin=b"") == (0, "", "")


def test_long_input_is_translated_in_chunks_in_order(heedful, library):
    lines = [f"line {number}" for number in range(600)]
    _, out, _ = heedful("predict", "r", stdin="\n".join(lines).encode())
    assert out.splitlines() == [f"译:{line}" for line in lines]
    assert [len(texts) for texts in library.task.asked] == [256, 256, 88]


def test_a_translation_with_line_breaks_stays_one_line(heedful, library):
    assert heedful("predict", "r", "a\nb")[1] == "译:a b\n"


def test_stdin_that_is_not_utf8(heedful, library):
    code, out, err = heedful("predict", "r", stdin=b"a\nb\n\xff\nc\n")
    assert out == "译:a\n译:b\n"  # what came before is answered
    assert (code, err) == (2, "heedful: stdin must be UTF-8 text, got byte 0xff in line 3\n")


def test_attention_is_drawn_beside_stdout(heedful, library):
    code, out, err = heedful("predict", "r", "猫", "", "--attention")
    assert (code, out) == (0, "译:猫\n\n")
    assert "译:猫  [100]" in err


def test_a_model_without_attention_says_so(heedful, library, tmp_path):
    library.task.attends = False
    for words in (("--attention",), ("-o", "x.svg")):
        code, out, err = heedful("predict", "r", "猫", *words)
        assert (code, out) == (2, "译:猫\n")
        assert err == (
            "heedful: the model must have attention to show it, got none that tells of it\n"
        )
    assert not (tmp_path / "x.svg").exists()


def test_an_empty_answer_has_no_picture_and_ends_nothing(heedful, library, tmp_path):
    library.task.attends, library.task.show = False, lambda answer: ""
    said = "heedful: the answer is empty, so there is nothing to draw\n"
    assert heedful("predict", "r", "a", "b", "--attention") == (0, "\n\n", 2 * said)
    assert heedful("predict", "r", "a", "-o", "x.svg") == (0, "\n", said)
    assert not (tmp_path / "x.svg").exists()


@pytest.mark.parametrize("suffix", ["html", "svg"])
def test_a_picture_holds_the_command(heedful, library, tmp_path, suffix):
    code, out, err = heedful("predict", "r", "a cat", "-o", f"x.{suffix}")
    assert (code, out, err) == (0, "译:a cat\n", f"Wrote x.{suffix}\n")
    text = (tmp_path / f"x.{suffix}").read_text(encoding="utf-8")
    assert f"heedful predict r &#x27;a cat&#x27; -o x.{suffix}" in text


def test_a_picture_without_a_font_says_so(heedful, library, tmp_path, monkeypatch):
    from heedful.report import alignment_chart

    monkeypatch.setattr(alignment_chart, "has_chinese_font", lambda: False)
    code, _, err = heedful("predict", "r", "猫", "-o", "x.png")
    assert code == 0
    assert err.startswith("heedful: a PNG with Chinese characters needs a font")
    assert (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (("a", "-o", "x.pdf"), "output must end in .html, .svg, .png, got x.pdf"),
        (("a", "b", "-o", "x.svg"), "--output must come with one INPUT, got 2"),
        (("-o", "x.svg"), "--output must come with one INPUT, got 0"),
        ((" ", "-o", "x.svg"), "--output must come with an INPUT that is not blank, got ' '"),
        (
            ("\u200b", "-o", "x.svg"),
            r"--output must come with an INPUT that is not blank, got '\u200b'",
        ),
    ],
)
def test_rejects_before_the_run_is_loaded(heedful, library, words, message):
    assert heedful("predict", "r", *words) == (2, "", f"heedful: {message}\n")
    assert library.load == []


def test_says_what_is_too_long_or_cut_and_translates_it_all_the_same(heedful, library):
    seven, nine = "a " * 6 + "b", "c " * 8 + "d"
    code, out, err = heedful("predict", "runs/x", "short", seven, nine)
    assert code == 0
    assert out.splitlines() == ["译:short", f"译:{seven}", f"译:{nine}"]
    assert err.splitlines() == [
        f'heedful: "{seven}" has 7 tokens, more than the 6 that this model was trained with',
        f'heedful: "{nine}" has 9 tokens, more than the 6 that this model was trained with',
        f'heedful: the translation of "{nine}" is cut at 9 tokens (decode.max_length)',
    ]


def test_json_says_of_each_text_what_is_wrong_with_it(heedful, library):
    code, out, err = heedful("predict", "r", "a b", " ", "x? y? x?", "--json")
    assert (code, err) == (0, "")
    fine = {"too_long": False, "cut": False, "unknown": []}
    assert [json.loads(line) for line in out.splitlines()] == [
        {"text": "a b", "translation": "译:a b", "tokens": 2, **fine, "known": 2},
        {"text": " ", "translation": "", "tokens": 0, **fine, "known": 0},
        {"text": "x? y? x?", "translation": "译:x? y? x?", "tokens": 3, **fine, "known": 0}
        | {"unknown": ["x?", "y?"]},
    ]


@pytest.mark.parametrize(
    "text, words",
    [
        ("a x?", "heedful: \"a x?\" has pieces that this model has never seen: 'x?'\n"),
        (
            "x? y?",
            'heedful: "x? y?" has pieces that this model has never seen and nothing else, so its '
            "translation means nothing: 'x?', 'y?'\n",
        ),
    ],
)
def test_what_the_model_has_never_seen_is_said(heedful, library, text, words):
    assert heedful("predict", "r", text) == (0, f"译:{text}\n", words)


def test_settings_and_the_users_task_come_through(heedful, library):
    words = ("--set", "decode.batch=7", "--beam", "2", "--task-from", "mine:Task")
    assert heedful("predict", "r", "a", *words)[0] == 0
    assert library.answering == [["decode.batch=7", "decode.beam=2"]]
    assert library.task_from == "mine:Task"


@pytest.mark.parametrize("beam", ["0", "1001", str(10**30)])
def test_a_beam_that_no_memory_could_hold(heedful, library, beam):
    code, _, err = heedful("predict", "r", "a", "--beam", beam)
    assert (code, library.load) == (2, [])
    assert "--beam" in err


@pytest.fixture
def refusing(library, monkeypatch):
    """The task cannot read a text with a hash, and cannot encode one with a star."""
    task = library.task
    parse, encode = task.parse, task.encode

    def read(text):
        if "#" in text:
            raise DataError(f"a text must have no hash, got {text}")
        return parse(text)

    def ready(examples, *, training=False):
        if any("*" in example.source for example in examples):
            raise DataError("a text must have no star, got one")
        return encode(examples, training=training)

    monkeypatch.setattr(task, "parse", read)
    monkeypatch.setattr(task, "encode", ready)


@pytest.mark.parametrize(
    "wrong, said", [("#", "a text must have no hash, got #"), ("*", "a text must have no star, ")]
)
@pytest.mark.parametrize("before", [0, 2, 255, 256, 300])
def test_lines_before_a_wrong_one_are_answered_and_it_is_named(
    heedful, library, refusing, wrong, said, before
):
    lines = [f"line {number}" for number in range(before)]
    code, out, err = heedful("predict", "r", stdin="\n".join([*lines, wrong, "end"]).encode())
    assert code == 2
    assert out.splitlines() == [f"译:{line}" for line in lines]
    assert err.startswith(f"heedful: line {before + 1} of stdin: {said}")


def test_inputs_before_a_wrong_one_are_answered(heedful, library, refusing):
    assert heedful("predict", "r", "a", " ", "#", "b") == (
        2,
        "译:a\n\n",
        "heedful: a text must have no hash, got #\n",
    )
