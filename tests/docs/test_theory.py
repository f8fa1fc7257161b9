"""`docs/theory.md` prints what it shows, its example is right, and its sources are the code's."""

import contextlib
import io
import math
import re
from fractions import Fraction
from pathlib import Path

import pytest

from heedful.ops import OPS

ROOT = Path(__file__).parents[2]
THEORY = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
EXPLAINED = ("additive", "coverage", "dot", "general", "location", "scaled_dot")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def wrong_blocks(markdown: str) -> list[str]:
    """Run the Python blocks in order and compare each output with the text block that follows."""
    blocks = FENCE.findall(markdown)
    names: dict[str, object] = {}
    problems: list[str] = []
    for number, (language, code) in enumerate(blocks):
        if language != "python":
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, f"block {number}", "exec"), names)
        following, shown = blocks[number + 1] if number + 1 < len(blocks) else ("", "")
        if following != "text" or shown != out.getvalue():
            problems.append(f"block {number} prints\n{out.getvalue()}\nbut shows\n{shown}")
    return problems


def test_every_block_prints_what_it_shows():
    assert THEORY.count("```python\n") >= 12
    assert wrong_blocks(THEORY) == []


SMALL = "```python\nx = 1.5\nprint(x)\n```\n\n```text\n1.5\n```\n"


@pytest.mark.parametrize(
    "old, new",
    [
        ("text\n1.5", "text\n1.6"),
        ("```text\n1.5\n```\n", ""),
        ("```text", "```toml"),
        ("x = 1.5", "x = 2.5"),
        ("print(x)", "print(x); print()"),
    ],
    ids=["other number", "nothing shown", "other language", "other computation", "more printed"],
)
def test_a_planted_fault_is_found(old, new):
    assert wrong_blocks(SMALL) == []
    assert old in SMALL
    assert len(wrong_blocks(SMALL.replace(old, new))) == 1


def rows(numbers: list[list[Fraction]]) -> str:
    return "".join("  ".join(f"{float(x):.4f}" for x in row) + "\n" for row in numbers)


def softmax(scores: list[Fraction]) -> list[Fraction]:
    exponentials = [exponential(score) for score in scores]
    return [number / sum(exponentials) for number in exponentials]


def exponential(x: Fraction) -> Fraction:
    """The power series in exact fractions: for |x| <= 12 the rest behind 80 terms is nothing."""
    return sum((x**k / math.factorial(k) for k in range(80)), start=Fraction(0))


def tanh(x: Fraction) -> Fraction:
    return (exponential(2 * x) - 1) / (exponential(2 * x) + 1)


def outputs(weights: list[list[Fraction]]) -> list[list[Fraction]]:
    return [[sum(w * v for w, v in zip(row, X, strict=True))] for row in weights]


X = [Fraction(1), Fraction(2), Fraction(3)]


def test_dot_example_in_exact_fractions():
    scores = [[q * k for k in X] for q in X]
    weights = [softmax(row) for row in scores]
    assert scores == [[1, 2, 3], [2, 4, 6], [3, 6, 9]]
    assert all(sum(row) == 1 for row in weights)
    for numbers in (scores, weights, outputs(weights)):
        assert f"```text\n{rows(numbers)}```\n" in THEORY
    for x in (1, 2, 3):
        assert f"`exp({x}) = {math.exp(x):.4f}`" in THEORY
    assert f"in sum {sum(map(math.exp, (1, 2, 3))):.4f}" in THEORY


def test_additive_example_in_exact_fractions():
    scores = [[tanh(q + k) for k in X] for q in X]
    weights = [softmax(row) for row in scores]
    shown = "\n".join(map(rows, (scores, weights, outputs(weights))))
    assert f"```text\n{shown}```\n" in THEORY


def test_masked_examples_in_exact_fractions():
    causal = [softmax([q * k for k in X if k <= q]) for q in X]
    padded = [row + [Fraction(0)] * (3 - len(row)) for row in causal]
    assert f"```text\n{rows(padded)}```\n" in THEORY
    assert f"```text\n{rows(padded[2:])}```\n" in THEORY
    two = [softmax([q * k for k in X[:2] if k <= q]) for q in X]
    assert rows([row + [Fraction(0)] * (3 - len(row)) for row in two]) in THEORY


def test_exponential_is_exact_enough():
    for x in (-9, -1, 0, 2, 12):
        assert float(exponential(Fraction(x))) == pytest.approx(math.exp(x), rel=1e-13)


def test_table_names_what_the_text_explains():
    named = set(re.findall(r"\| `(\w+_attention)` \|", THEORY))
    assert named < {function.__name__ for function in OPS.values()}
    assert named == {f"{name}_attention" for name in EXPLAINED}


def sources(text: str) -> set[str]:
    return set(re.findall(r"\w+ et al\. \d{4}, arXiv:\d{4}\.\d{4,5}", text))


def test_sources_are_those_of_the_code():
    code = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "src" / "heedful").rglob("*.py")
    )
    table = THEORY.partition("## In heedful, and in the literature")[2]
    assert len(sources(table)) == 7
    assert sources(table) <= sources(code)
    for row in re.findall(r"\w+ et al\. \d{4}, arXiv:[^|]*, section [^|]*", table):
        assert row.strip() in code
