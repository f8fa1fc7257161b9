"""TF-IDF tells languages apart that have letters of their own."""

from heedful.bench.entries.classify_text import ENTRY
from heedful.data.examples import Splits
from heedful.tasks.classify_text.texts import Labelled


def test_the_classical_baseline_learns():
    texts = [Labelled(f"{word} {n}", label) for n in range(4) for word, label in WORDS]
    splits = Splits(train=texts, dev=texts[:4], test=texts[:5])
    trivial, classical = (
        [each.label for each in answers(None, splits)] for answers in ENTRY.baselines.values()
    )
    assert len(set(trivial)) == 1
    assert classical == [each.label for each in splits.test]


WORDS = [("Häuser", "de"), ("maisons", "fr")]
