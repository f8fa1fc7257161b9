"""The task of `docs/write_a_task.md` is short, and does all that the page says."""

import re

import pytest

PAGE = "write_a_task.md"


def test_a_task_is_less_than_sixty_lines(tutorial):
    assert set(tutorial.files) == {"vowels.py", "test_vowels.py"}
    task = tutorial.files["vowels.py"]
    assert task.strip().count("\n") + 2 < 60  # with the line of its name
    assert max(map(len, task.splitlines())) <= 100


@pytest.mark.slow
def test_the_commands_of_the_page_work(tutorial):
    assert tutorial.commands
    for line in tutorial.commands:
        code, out, err = tutorial.type(line)
        fine = {0} if "optimize" not in line else {0, 3}  # refused in words is an answer too
        assert code in fine, (line, err)
        if "predict" in line:
            assert out.split() == ["1", "0"], err
    words = ("--task-from", "vowels:Vowels", "Ünï 3!", "banana")
    assert tutorial.run("heedful", "predict", "runs/vowels", *words)[0] == 0


@pytest.mark.slow
def test_the_task_keeps_the_contract(tutorial):
    code, out, err = tutorial.run("pytest", "-q", "-p", "no:cacheprovider", "test_vowels.py")
    assert code == 0, out[-3000:] + err[-1000:]
    assert re.search(r"\b1\d passed", out)
