import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from tests.report.run_page.made import EVIL, atlas, look, page_data

from heedful.errors import ConfigError, MissingExtraError
from heedful.report.run_page.page import SECTIONS, check_installed, render


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text outside of scripts."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text, self._inside = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.text.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def page():
    return render(page_data()).decode()


def test_what_was_typed_stays_text(page):
    elements = Elements(page)
    scripts = elements.named("script")
    assert len(scripts) == 3  # ours, and two blocks of data
    assert [each.get("type") for each in scripts].count("application/json") == 2
    assert "alert" not in page.replace(EVIL.replace("<", "&lt;"), "").partition("<h2>")[0].replace(
        "&lt;/script&gt;&lt;script&gt;alert(&#39;x&#39;)", ""
    )
    assert "alert('x')" in "".join(elements.text)
    assert not any(each.get("src", "").startswith("http") for each in elements.named("img"))


def test_why_there_are_no_paths_is_said_beside_the_verdict(page):
    articles = page.split("<article>")
    [noted] = [each for each in articles if "No paths &lt;" in each]
    assert "It was verified." in noted


def test_nothing_is_asked_of_anybody(page):
    asks = {"link", "iframe", "object", "embed", "base", "video", "audio", "source", "use"}
    for tag, attributes in Elements(page).found:
        assert tag not in asks
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:image/png;base64,", "#"))
        assert not any(name.startswith("on") or name == "style" for name in attributes)


def test_only_its_own_script_and_style_may_run(page):
    (policy,) = [each["content"] for each in Elements(page).named("meta") if "http-equiv" in each]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert len(re.findall("'sha256-[A-Za-z0-9+/]{43}='", policy)) == 2


def test_the_tab_names_all_runs():
    def tab(**changed):
        return re.findall("<title>(.*)</title>", render(page_data(**changed)).decode())

    assert tab(run="runs/a", smaller="runs/b", task="segment") == ["segment: a → b"]
    assert tab(run="runs/a", smaller="", task="segment") == ["segment: a"]


def test_sections_stand_in_their_order(page):
    titles = re.findall(r"<h2>([^<]+)</h2>", page)
    assert len(titles) == len(SECTIONS) - 1  # the summary needs none
    places = [page.index(f"<h2>{title}</h2>") for title in titles]
    assert all(one < other for one, other in pairwise(places))


def test_a_run_by_itself_has_fewer_sections():
    page = render(
        page_data(
            smaller="",
            judgement=None,
            search=None,
            scores=(),
            costs=(),
            shown=(),
            curves=(),
            watched=(),
        )
    ).decode()
    assert re.findall(r"<h2>([^<]+)</h2>", page) == ["Attention heads", "Method and limits"]
    assert "Nothing was optimised" in page


def test_a_distance_that_nobody_can_tell_is_a_dash():
    heads = [
        replace(head, before=look(distance=math.nan), after=head.after and look(distance=math.nan))
        for head in atlas(sites=1, heads=2).heads
    ]
    page = render(page_data(atlas=replace(atlas(), heads=tuple(heads)))).decode()
    rows = re.findall(r"self_attention · [01]</th>.*?</tr>", page)
    assert len(rows) == 2
    for row in rows:
        assert "<td>–</td>" in row
        assert "nan" not in row
        assert "– → –" not in row


GAINED = "might have gained from it too"


def test_the_original_fine_tuned_as_long_is_told():
    judgement = page_data().judgement
    page = render(page_data()).decode()
    assert (
        "Fine-tuned for as long (2,500 of 3,175 steps), the original has 61.25: against that the "
        "difference is +0.375, no worse than -0.0625 with 95 % confidence, also within the budget."
    ) in page
    assert "with 96 % confidence the difference is no worse than -0.25" in page
    assert GAINED not in page
    trained = replace(judgement.trained, steps=3175, accepted=False)
    page = render(page_data(judgement=replace(judgement, trained=trained))).decode()
    assert "(3,175 steps)" in page
    assert "which is not within the budget for certain." in page
    page = render(page_data(judgement=replace(judgement, trained=None))).decode()
    assert GAINED in page
    assert "for as long" not in page


def test_the_fair_comparison_is_told_in_chinese_too():
    page = render(page_data(), language="zh").decode()
    assert "原模型经过同样多的微调（3,175 步中的 2,500 步）后为 61.25" in page
    assert "以 96% 的置信度，差异不差于 -0.25" in page


def test_it_speaks_chinese():
    page = render(page_data(), language="zh").decode()
    assert '<html lang="zh-Hans">' in page
    for words in ("质量预算达标", "优化前后", "注意力头", "样本与解释", "方法与局限"):
        assert words in page
    assert "Before and after" not in page


def test_scores_of_a_refused_candidate_have_no_empty_columns():
    scores = tuple(replace(score, after=None) for score in page_data().scores)
    page = render(page_data(smaller="", scores=scores)).decode()
    table = re.search(r"<table>\s*<thead>.*?</table>", page, re.DOTALL)
    assert table
    assert "61.0 %" in table[0]
    assert "after" not in table[0]
    assert table[0].count("<td>") == len(scores)


def test_where_no_candidate_was_found_nothing_is_compared():
    judged = replace(page_data().judgement, accepted=False, before=None, after=None, bound=None)
    scores = tuple(replace(score, after=None) for score in page_data().scores)
    page = render(page_data(smaller="", judgement=judged, scores=scores)).decode()
    assert "<h2>Quality and cost</h2>" in page
    assert "in turns" not in page


def test_many_heads_and_long_texts_stay_small():
    page = render(page_data(atlas=atlas(12, 12, side=64, places=512)))
    assert 400_000 < len(page) < 2_000_000


def test_a_language_that_nobody_wrote_is_refused():
    with pytest.raises(ConfigError, match="lang must be one of en, zh, got 'fr'"):
        render(page_data(), language="fr")


def test_a_missing_library_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match="a page needs jinja2, got an installation without"):
        check_installed()
