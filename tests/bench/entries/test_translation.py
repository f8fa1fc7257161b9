"""The baselines of translation answer with what they have read."""

from heedful.bench.entries.translation import copied
from heedful.data.examples import Example, Splits

SPLITS = Splits(
    train=[Example("one house", "一座房子"), Example("two trees", "两棵树")],
    dev=[],
    test=[Example("three trees", "三棵树"), Example("houses", "房子")],
)


def test_the_source_is_an_answer():
    assert [each.text for each in copied(None, SPLITS)] == ["three trees", "houses"]
