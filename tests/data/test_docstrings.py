"""Docstrings: signatures and doctests are no prose, and held-out modules are whole."""

import pytest

from heedful.data import docstrings as module
from heedful.data.docstrings import docstrings, parted
from heedful.errors import ConfigError

BODY = "It takes some more words to say what is done here."


@pytest.mark.parametrize(
    "text, found",
    [
        (f"Return it all.\n\n{BODY}", ("Return it all.", BODY)),
        (f"Return it\nall.\n\n{BODY}\n\nAnd\n  more.", ("Return it all.", f"{BODY} And more.")),
        (f"walk(top, down=True) -> names\n\nReturn it all.\n\n{BODY}", ("Return it all.", BODY)),
        (f"walk(top)\nReturn it all.\n\n{BODY}", ("Return it all.", BODY)),
        (f"Return it all.\n\n>>> f(1)\n2\n\n{BODY}", ("Return it all.", BODY)),
        (f"Return it all.\n==============\n\n{BODY}", ("Return it all.", BODY)),
        ("Return it all.", None),
        ("Return it all.\n\nToo little.", None),
        (f"Return.\n\n{BODY}", None),
        (f"{'Many words ' * 20}\n\n{BODY}", None),
        ("", None),
        (f">>> f(1)\n2\n\n{BODY}", None),
    ],
)
def test_a_docstring_falls_into_a_summary_and_the_rest(text, found):
    assert parted(text) == found


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Twenty modules of five functions, and what is no library."""
    for number in range(20):
        texts = [
            f'def f{n}():\n    """Return {number} and {n}.\n\n    {BODY} {number} {n}\n    """\n'
            for n in range(5)
        ]
        (tmp_path / f"m{number}.py").write_text("\n".join(texts))
    package = tmp_path / "package"
    (package / "test").mkdir(parents=True)
    (package / "one.py").write_text((tmp_path / "m3.py").read_text())  # all of it again
    (package / "two.py").write_text(f'"""Say what it is.\n\n{BODY}\n"""')
    (package / "test" / "three.py").write_text(f'"""Say what it tests.\n\n{BODY} Yes.\n"""')
    (tmp_path / "broken.py").write_text("def f(:\n")
    monkeypatch.setattr(module, "_library", lambda: tmp_path)
    return tmp_path


def test_held_out_modules_are_whole_and_nothing_stands_twice(library):
    splits = docstrings(dev=0.1, test=0.2, seed=4)
    parts = [splits.train, splits.dev, splits.test]
    assert [len(part) for part in parts] == [75, 6, 20]  # whole modules, and no more than that
    kinds = [{example.kind for example in part} for part in parts]
    assert kinds[0] | kinds[1] | kinds[2] == {*(f"m{n}" for n in range(20)), "package"}
    assert sum(map(len, kinds)) == 21
    assert len({example.source for part in parts for example in part}) == 101
    assert docstrings(dev=0.1, test=0.2, seed=4) == splits != docstrings(dev=0.1, test=0.2, seed=5)


def test_a_python_without_sources_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_library", lambda: tmp_path)
    with pytest.raises(ConfigError, match=r"the sources of Python must be in .*, got none"):
        docstrings(dev=0.1, test=0.1, seed=1)


def test_the_standard_library_is_there():
    files = {path.name for path in module._files()}
    assert {"argparse.py", "statistics.py"} <= files
    assert not {"topics.py", "test_support.py"} & files
