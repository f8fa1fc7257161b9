"""The mechanism of `docs/write_a_mechanism.md` keeps every rule, and fits where the page says."""

import re

import pytest

PAGE = "write_a_mechanism.md"


@pytest.mark.slow
def test_every_rule_that_is_claimed_holds(tutorial):
    code, out, err = tutorial.type(*tutorial.commands)
    assert code == 0, err
    assert re.search(r"^2\d passed, 0 partly, 0 failed, 0 unsupported$", out, re.M)


@pytest.mark.slow
def test_what_the_page_says_of_earlier_versions_is_so(tutorial):
    text = tutorial.files["gaussian.py"]
    earlier = text.replace(
        "    return keep_out(attend, query, key, value, mask)",
        "    return attend(query, key, value)",
    )
    assert earlier != text
    (tutorial.folder / "earlier.py").write_text(earlier, encoding="utf-8")
    code, out, _ = tutorial.run("heedful", "verify", "earlier:claim")
    assert code == 4
    assert re.findall(r"^ *(\w+) +failed ", out, re.MULTILINE) == ["hidden_numbers"]


def test_its_class_of_tests_passes(tutorial):
    code, out, err = tutorial.run(
        "pytest", "-q", "-p", "no:cacheprovider", "-k", "output", "test_gaussian.py"
    )
    assert code == 0, out[-3000:] + err[-1000:]


def test_it_is_used_like_any_other(tutorial):
    code, out, err = tutorial.run("use")
    assert (code, err) == (0, "")
    assert out.startswith("torch.Size([4]) tensor([")
    assert "nan" not in out
