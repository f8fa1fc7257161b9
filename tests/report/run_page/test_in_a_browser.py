"""The page as Chromium shows it, without a network: drawn, usable by keyboard, quiet."""

import time

import pytest
from tests.report.run_page.made import atlas, page_data

from heedful.report.run_page.page import render

browser = pytest.importorskip("tests.report.browser", reason="websockets is not installed")
pytestmark = pytest.mark.skipif(browser.program() is None, reason="there is no Chromium here")

PATIENCE = 10  # seconds
TAB, ENTER, ESCAPE = ("Tab", 9), ("Enter", 13, "\r"), ("Escape", 27)
IN_SIGHT = "document.documentElement.scrollWidth <= innerWidth"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_bytes(render(page_data()))
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser.browsing(tmp_path_factory.mktemp("browser")) as page:
        yield page


def until(page, expression):
    """Wait for what a reader would see in a moment."""
    end = time.monotonic() + PATIENCE
    while not page.value(expression):
        assert time.monotonic() < end, f"{expression} must come true"
        time.sleep(0.02)


def quiet(page):
    assert page.requests == []
    assert page.complaints == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1100])
def test_it_is_drawn_and_asks_nobody(page, file, width, dark):
    page.open(file, width=width, dark=dark)
    charts = "[...document.querySelectorAll('.chart > svg')]"
    assert page.value(f"{charts}.length") == 5
    assert page.value(f"{charts}.every(svg => svg.getBoundingClientRect().height > 50)")
    drawn = "[...document.images].every(image => image.naturalWidth > 0)"
    assert page.value(drawn)
    assert page.value(IN_SIGHT)
    paper = page.value("getComputedStyle(document.documentElement).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is not dark
    quiet(page)


def test_a_script_of_somebody_elses_does_not_run(page, file):
    page.open(file)
    page.value(
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'window.broken = true'}))"
    )
    assert page.value("window.broken === undefined")
    (complaint,) = page.complaints
    page.complaints.clear()
    assert "Content Security Policy" in complaint


def test_a_head_opens_by_keyboard_with_its_words_and_closes_again(page, file):
    page.open(file)
    page.value("document.querySelector('.head').focus()")
    page.key(*ENTER)
    until(page, "document.getElementById('map').open")
    assert page.value("document.querySelectorAll('#map canvas').length") == 2
    words = page.value("[...document.querySelectorAll('#map text')].map(x => x.textContent)")
    assert "w0" in words
    assert any(word.startswith("</script>") for word in words)
    page.key(*ESCAPE)
    until(page, "!document.getElementById('map').open")
    assert page.value("document.activeElement.classList.contains('head')")
    quiet(page)


def test_every_head_is_reached_by_tab(page, file):
    page.open(file)
    reached = set()
    for _ in range(60):
        page.key(*TAB)
        reached.add(page.value("document.activeElement.dataset.name ?? ''"))
    assert len(reached - {""}) == len(atlas().heads)


def test_a_map_says_its_shares(page, file):
    page.open(file)
    page.value("document.querySelector('.head').click()")
    until(page, "document.getElementById('map').open")
    page.value(
        "((canvas, {left, top}) => canvas.dispatchEvent(new MouseEvent('mousemove',"
        " {clientX: left + 3, clientY: top + 3})))(...[document.querySelector('#map canvas')]"
        ".flatMap(canvas => [canvas, canvas.getBoundingClientRect()]))"
    )
    cell = page.value("document.getElementById('map-cell').textContent")
    assert cell.startswith("w0 → w0: ")
    assert cell.endswith(" %")


def test_a_row_points_at_its_dot(page, file):
    page.open(file)
    page.value("document.querySelector('tr.chosen').dispatchEvent(new MouseEvent('mouseenter'))")
    label = "document.querySelector('.chart path.pointed').getAttribute('aria-label')"
    assert "fine-tuned 1" in page.value(label) or "0.5" in page.value(label)


def test_it_reads_without_javascript(page, file):
    page.open(file, scripts=False)
    for selector in ("#search-rows td", ".chart > svg path", ".head img", "mark", "table.map td"):
        assert page.value(f"document.querySelectorAll('{selector}').length") > 0
    assert page.value("document.querySelector('.copy').hidden")
    quiet(page)


def test_no_box_of_commands_is_cut_off_on_paper(page, file):
    page.open(file, width=690)  # A4 within its margins
    page("Emulation.setEmulatedMedia", media="print")
    page.value("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.value("document.querySelector('pre code').textContent += ' --set a=1\\n'.repeat(200)")
    cut = "e.scrollHeight > e.clientHeight || e.getBoundingClientRect().right > innerWidth"
    assert page.value(f"[...document.querySelectorAll('pre')].filter(e => {cut}).length") == 0


def test_it_prints(page, file):
    page.open(file)
    pages = page.pdf()
    assert pages.startswith(b"%PDF")
    assert b"/MediaBox [0 0 594.95996 841.91998]" in pages  # A4


def test_many_heads_open(page, tmp_path):
    path = tmp_path / "many.html"
    path.write_bytes(render(page_data(atlas=atlas(12, 12, side=64, places=512))))
    page.open(path)
    assert page.value("document.querySelectorAll('.head').length") == 144
    quiet(page)
