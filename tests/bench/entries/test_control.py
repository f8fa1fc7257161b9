"""A memory with attention is compared with one without, and with none."""

from heedful.bench.entries.control import ENTRY


def test_attention_and_memory_are_compared_with_less():
    assert [tables.get("model", {}) for tables in ENTRY.models.values()] == [
        {},
        {"attention": False},
        {"memory": 1},
    ]
