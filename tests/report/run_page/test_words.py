import ast
import re
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

import heedful.report.run_page
from heedful.errors import ConfigError
from heedful.explaining.explanation import Cause
from heedful.report.run_page.words import LANGUAGES, TABLE, Words

FOLDER = Path(heedful.report.run_page.__file__).parent
SOURCES = [*FOLDER.rglob("*.py"), *FOLDER.rglob("*.html")]
# names that are put together, by how they begin
COMPUTED = (
    *("split ", "sink ", "verdict ", "reason "),
    *("latency_ms", "attention_operations", "parameters"),
)


def fields(text):
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name)


@pytest.mark.parametrize("name", TABLE)
def test_both_languages_are_filled_in_alike(name):
    english, chinese = TABLE[name]
    assert fields(english) == fields(chinese)


def test_chinese_is_chinese():
    for name, (english, chinese) in TABLE.items():
        assert english
        if name not in ("lang", "between sentences", "path drop"):
            assert re.search("[\u4e00-\u9fff]", chinese), name


def test_no_name_is_asked_for_that_is_not_there_and_none_is_left():
    constants = set()
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if path.name.startswith("words"):
            continue
        if path.suffix == ".html":
            constants |= set(re.findall(r"'([^'\n]+)'", text))
            asked = re.findall(r"words\('([^']+)'", text)
        else:
            tree = ast.parse(text)
            constants |= {each.value for each in ast.walk(tree) if isinstance(each, ast.Constant)}
            asked = re.findall(r'words\("([^"]+)"', text)
        assert set(asked) <= TABLE.keys(), path.name
    unused = {name for name in TABLE if name not in constants and not name.startswith(COMPUTED)}
    assert unused <= {"lang"}


def test_words_are_filled_in():
    english, chinese = (Words(language) for language in LANGUAGES)
    assert english("heads gone", removed=2, heads=9) == "2 of 9 heads are gone."
    assert chinese("heads gone", removed=2, heads=9) == "9 个头中删除了 2 个。"


def test_every_cause_of_a_verdict_has_its_words():
    causes = set(get_args(Cause)) - {"", "failed"}  # which says no more than its numbers
    assert {f"reason {cause}" for cause in causes} <= TABLE.keys()


def test_other_languages_are_refused():
    with pytest.raises(ConfigError, match="lang must be one of en, zh, got 'de'"):
        Words("de")
