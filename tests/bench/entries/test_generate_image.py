"""Images are compared by the distance that their task measures, with attention and without."""

from heedful.bench.entries.generate_image import ENTRY


def test_attention_is_compared_with_none():
    assert [tables.get("model", {}) for tables in ENTRY.models.values()] == [
        {},
        {"attention": False},
    ]
