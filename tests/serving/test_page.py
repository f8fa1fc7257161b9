"""The live page as Chromium shows it, with nothing but its own server within reach."""

import time
from pathlib import Path

import pytest
from tests.serving.running import served

from heedful.errors import ConfigError
from heedful.serving.page import Page, command
from heedful.serving.service import Service
from heedful.training.run import Run

browser = pytest.importorskip("tests.report.browser", reason="websockets is not installed")
seen = pytest.mark.skipif(browser.program() is None, reason="there is no Chromium here")

RUN = Path(__file__).parents[1] / "training" / "fixtures" / "translation" / "transformer"
PATIENCE = 60
TAB, ENTER, CONTROL = ("Tab", 9), ("Enter", 13, "\r"), 2
ANSWERED = "!!document.querySelector('#answers article dl')"
STATUS = "document.getElementById('status')"


@pytest.fixture(scope="module")
def client():
    with served(Service(Run(RUN)), seconds=PATIENCE) as client:
        yield client


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser.browsing(tmp_path_factory.mktemp("browser")) as page:
        yield page


def until(page, expression):
    end = time.monotonic() + PATIENCE
    while not page.value(expression):
        assert time.monotonic() < end, f"{expression} must come true"
        time.sleep(0.02)


def quiet(page, client):
    """Nothing is complained of, and nobody but the server is asked."""
    assert page.complaints == []
    assert all(url.startswith(str(client.base_url)) for url in page.requests)


def write(page, text):
    page.value(f"document.getElementById('text').value = {text!r}")


@seen
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1100])
def test_it_is_drawn(page, client, width, dark):
    page.open(f"{client.base_url}/", width=width, dark=dark)
    assert page.value("document.documentElement.scrollWidth <= innerWidth")
    paper = page.value("getComputedStyle(document.documentElement).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is not dark
    quiet(page, client)


@seen
def test_by_keyboard_one_gets_an_answer_a_map_and_a_verdict(page, client):
    page.open(f"{client.base_url}/")
    until(page, "document.activeElement.id === 'text'")
    page("Input.insertText", text="one two three")
    for _ in range(5):  # number, method, test, paths, button
        page.key(*TAB)
    assert page.value("document.activeElement.type") == "submit"
    page.key(*ENTER)
    until(page, ANSWERED)
    assert page.value("!!document.querySelector('#answers .badge').textContent.trim()")
    assert page.value("document.querySelectorAll('#answers article table.map td').length") >= 3
    assert page.value("document.querySelectorAll('#answers .looked table.map td').length") >= 3
    assert page.value(f"{STATUS}.textContent") == ""
    quiet(page, client)


@seen
def test_what_was_typed_stays_text(page, client):
    page.open(f"{client.base_url}/")
    write(page, "<img src=x onerror=alert(1)> <b>one</b>")
    page.value("document.getElementById('text').focus()")
    for kind in ("keyDown", "keyUp"):
        page("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", modifiers=CONTROL)
    until(page, ANSWERED)
    assert page.value("document.querySelectorAll('#answers b').length") == 0
    assert "<b>one</b>" in page.value("document.getElementById('answers').textContent")
    quiet(page, client)


@seen
def test_nothing_and_a_number_that_is_none_are_said(page, client):
    page.open(f"{client.base_url}/")
    page.value("document.getElementById('ask').requestSubmit()")
    until(page, f"{STATUS}.textContent === 'An input must be given, got none.'")
    assert page.value(f"{STATUS}.className") == "bad"
    page.value("document.getElementById('index').value = '999'")
    page.value("document.getElementById('ask').requestSubmit()")
    until(page, f"{STATUS}.textContent.startsWith('inputs.0.index must be as')")
    page.complaints.clear()  # the browser itself notes that it was refused


@seen
def test_a_held_out_example_without_a_test_in_chinese(page, client):
    page.open(f"{client.base_url}/?lang=zh")
    page.value("document.getElementById('index').value = '2'")
    page.value("document.querySelector('[name=test]').checked = false")
    page.value("document.getElementById('ask').requestSubmit()")
    until(page, ANSWERED)
    assert "未经检验" in page.value("document.querySelector('#answers .badge').textContent")
    quiet(page, client)


@seen
def test_paths_are_shown_where_they_are_asked_for(page, client):
    page.open(f"{client.base_url}/")
    write(page, "one two three")
    page.value("document.querySelector('[name=test]').checked = false")
    page.value("document.querySelector('[name=paths]').click()")
    page.value("document.getElementById('ask').requestSubmit()")
    until(page, ANSWERED)
    ways = "[...document.querySelectorAll('#answers .paths li')].map(li => li.textContent)"
    assert page.value(f"{ways}.length") >= 2
    assert page.value(f"{ways}.every(way => / ← .*cross_attention · \\d.* ← /.test(way))")
    quiet(page, client)


def test_the_page_is_strict_about_what_runs(client):
    said = client.get("/", headers={"accept-language": "zh-CN,en"})
    assert 'lang="zh-Hans"' in said.text
    rules = said.headers["content-security-policy"]
    assert "default-src 'none'" in rules
    assert "connect-src 'self'" in rules
    assert "http" not in rules
    assert client.get("/?lang=xx").status_code == 422
    assert client.post("/page/explain", json={"input": " "}).status_code == 422


@pytest.mark.parametrize(
    "takes, shown, asked",
    [
        (("text",), "<textarea", '{"inputs": ["…"]}'),
        (("image",), 'accept="image/png,image/jpeg,.png,.jpg"', "image/png' --data-binary @file"),
        (("rows",), 'accept="text/csv,', "text/csv' --data-binary @file.csv"),
        (("image", "sound", "text"), 'id="sound"', "-d @inputs.json"),
    ],
)
def test_it_asks_for_what_the_run_takes(takes, shown, asked):
    page = Page("runs/<x>", "a-task", takes, 0)
    whole = page.whole("en", "http://here")
    assert shown in whole
    assert "runs/&lt;x&gt;" in whole
    assert 'id="index"' not in whole  # there are no held-out examples
    assert asked in command(takes, "http://here")


def test_the_task_is_named_in_the_language_of_the_page():
    page = Page("r", "classify-text", ("text",), 1)
    assert "classify-text" in page.whole("en", "")
    assert "classify-text" not in page.whole("zh", "")


def test_another_language():
    with pytest.raises(ConfigError, match="lang must be one of en, zh, got 'fr'"):
        Page("r", "t", ("text",), 1).whole("fr", "")
