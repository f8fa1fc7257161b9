"""Questions from files: JSON lines, folders of bAbI; stories stay on one side of a split."""

import json
import re

import pytest

from heedful.data.stories import Question
from heedful.errors import DataError
from heedful.tasks.answer.questions import parse_question, read_json_lines, read_splits
from heedful.tasks.answer.task import Answer
from heedful.tasks.catalog import parse_config

ROW = {"text": "Ann is in\nRome. It rains.", "question": "Where is Ann?", "answer": "Rome"}
READ = Question(("Ann is in", "Rome.", "It rains."), "Where is Ann?", "Rome")


def config(**tables):
    return parse_config({"task": "answer", **tables})


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_json_lines_become_sentences(tmp_path):
    path = lines(tmp_path / "a.jsonl", ROW, {**ROW, "answer": "nobody", "more": 1})
    found = read_json_lines(path, spans=False)
    assert found == [READ, Question(READ.story, READ.question, "nobody")]
    data = {"name": "jsonl", "train": path, "dev": path}
    splits = read_splits(config(data=data))
    assert (splits.train, splits.dev, splits.test) == (found, found, [])
    assert Answer.read_training(config(data=data)) == Answer.read_file(config(), path) == found


def test_an_answer_may_have_several_forms(tmp_path):
    several = ["in Italy", "Rome", "in\n Rome", "Rome"]
    path = lines(tmp_path / "a.jsonl", {**ROW, "answer": several}, {**ROW, "answer": ["Rome"]})
    first, second = read_json_lines(path, spans=False)
    assert (first.answer, first.others) == ("in Italy", ("Rome", "in Rome"))
    assert second == READ
    piece = read_json_lines(path, spans=True)[0]  # the first one that is a piece of the text
    assert (piece.answer, piece.others) == ("Rome", ("in Italy", "in Rome"))
    assert piece.right == first.right == {"in italy", "rome", "in rome"}


def test_accents_are_the_same_however_they_are_typed(tmp_path):
    rows = {"text": "Zoe\u0301 sat.", "question": "Who sat?", "answer": "Zo\u00e9"}
    (tmp_path / "a.jsonl").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    (found,) = read_json_lines(tmp_path / "a.jsonl", spans=True)
    assert found == Question(("Zo\u00e9 sat.",), "Who sat?", "Zo\u00e9")


@pytest.mark.parametrize(
    "row, message",
    [
        (
            {**ROW, "answer": "Oslo"},
            ":2 must have an answer that is a piece of its text, got 'Oslo'",
        ),
        (
            {**ROW, "answer": ["Oslo", "Bonn"]},
            ":2 must have an answer that is a piece of its text, got ['Oslo', 'Bonn']",
        ),
        ({**ROW, "answer": []}, ":2 must have a text as its 'answer', got []"),
        ({**ROW, "answer": ["Rome", 7]}, ":2 must have a text as its 'answer', got 7"),
        ({**ROW, "text": " "}, ":2 must have a text as its 'text', got ' '"),
        ({"text": "A."}, ":2 must have a text as its 'question', got None"),
        ([1], ":2 must be a JSON object, got '[1]"),
        ({**ROW, "text": "a \ud800 b"}, ":2 must have UTF-8 as its 'text', got 'a \\ud800 b'"),
    ],
)
def test_bad_rows_are_refused(tmp_path, row, message):
    path = lines(tmp_path / "a.jsonl", ROW, row)
    with pytest.raises(DataError, match=re.escape(f"a.jsonl{message}")):
        read_json_lines(path, spans=True)


def test_a_line_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text("Where?\n")
    with pytest.raises(DataError, match=r"a.jsonl:1 must be a JSON object, got 'Where\?'"):
        read_json_lines(tmp_path / "a.jsonl", spans=True)


def babi(folder, number, split, stories):
    text = "".join(
        f"1 Ann went to {place}.\n2 Where is Ann?\t{place}\t1\n3 Bob sat.\n4 Who sat?\tBob\t3\n"
        for place in stories
    )
    (folder / f"qa{number}_some-name_{split}.txt").write_text(text)


def test_stories_of_babi_stay_on_one_side(tmp_path):
    for number in (1, 2, 12):
        babi(tmp_path, number, "train", [f"place{n}" for n in range(20)])
        babi(tmp_path, number, "test", ["x", "y"])
    data = {"name": "babi", "folder": str(tmp_path), "tasks": [12, 2], "dev_share": 0.25}
    splits = read_splits(config(data=data))
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [60, 20, 8]
    assert {each.kind for each in splits.dev} == {"qa2", "qa12"}
    sides = [{(e.kind, e.story[0]) for e in part} for part in (splits.train, splits.dev)]
    assert not sides[0] & sides[1]
    whole = read_splits(config(data={**data, "tasks": []}))
    assert {each.kind for each in whole.test} == {"qa1", "qa2", "qa12"}
    found = Answer.read_file(config(), tmp_path / "qa1_some-name_test.txt")
    assert [each.answer for each in found] == ["x", "Bob", "y", "Bob"]
    assert Answer.read_training(config(data=data)) == splits.train


def test_what_babi_lacks_is_named(tmp_path):
    babi(tmp_path, 1, "train", ["x"])
    data = {"name": "babi", "folder": str(tmp_path)}
    for tasks, message in (([3], r"a file qa3_\*_train.txt"), ([], r"a file qa1_\*_test.txt")):
        with pytest.raises(DataError, match=message):
            read_splits(config(data={**data, "tasks": tasks}))
    (tmp_path / "qa1_some-name_test.txt").write_text("1 Ann sat.\n2 Did Ann sit?\tyes\t1\n")
    with pytest.raises(DataError, match="pieces of their texts for the model bidaf, got 'yes'"):
        read_splits(config(data=data, model={"name": "bidaf"}))


def test_what_a_user_types_is_a_text_and_a_question():
    story = ("Ann sat.", "Bob | Al left.")
    asked = Question(story, "Who sat?")
    assert parse_question("Ann sat. Bob | Al left. | Who sat?") == asked
    assert (
        parse_question(json.dumps({"text": "Ann sat. Bob | Al left.", "question": "Who sat?"}))
        == asked
    )
    for text in ("Who sat?", " | Who sat?", "Ann sat. | "):
        with pytest.raises(DataError, match="a question must stand behind its text"):
            parse_question(text)
    with pytest.raises(DataError, match="must have a text as its 'question', got None"):
        parse_question('{"text": "a"}')
