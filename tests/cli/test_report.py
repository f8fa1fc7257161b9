"""`heedful report` on real runs, and what it refuses before any work."""

from pathlib import Path

import pytest

RUNS = Path(__file__).parents[1] / "training" / "fixtures" / "translation"


@pytest.mark.slow
def test_one_page_of_two_runs(heedful, tmp_path):
    words = (RUNS / "learned", RUNS / "optimised", "--examples", "1", "--lang", "zh")
    code, out, err = heedful("report", *words, "-o", "page.html")
    assert (code, out) == (0, "")
    assert err.endswith("Wrote page.html\n")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "decoder.0.cross_attention" in page
    assert "优化前后" in page
    assert page.count("<article>") == 1


@pytest.mark.parametrize(
    "words, message",
    [
        (("-o", "page.pdf"), "output must end in .html, got page.pdf"),
        (("-o", "there.html"), "output must be a new file, got there.html. --force replaces it."),
        (("-o", "no/page.html"), "--output must be in a folder that exists, got no/page.html"),
        ((), "run must be a folder written by heedful train, got nothing"),
    ],
)
def test_what_cannot_be_is_refused_early(heedful, tmp_path, words, message):
    (tmp_path / "there.html").write_text("dear", encoding="utf-8")
    code, out, err = heedful("report", "nothing", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert (tmp_path / "there.html").read_text(encoding="utf-8") == "dear"
