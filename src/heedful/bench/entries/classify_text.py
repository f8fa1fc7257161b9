"""Which language is a phrase in? Encoders under attention pooling, and TF-IDF."""

from operator import attrgetter

from heedful.bench.baselines import most_frequent, tfidf
from heedful.bench.entry import Entry

ENTRY = Entry(
    metric="accuracy",
    models={
        "attention pooling": {"model": {"name": "pooling"}},
        "LSTM + attention pooling": {"model": {"name": "lstm"}},
        "LSTM + additive pooling": {"model": {"name": "lstm", "score": "additive"}},
        "CNN + attention pooling": {"model": {"name": "cnn"}},
        "Transformer + attention pooling": {"model": {"name": "transformer"}},
    },
    baselines={
        "most frequent label": most_frequent,
        "TF-IDF + logistic regression": tfidf(
            attrgetter("text"), analyzer="char", ngram_range=(1, 3), sublinear_tf=True
        ),
    },
    data="CLDR phrases, 40 languages",
    budget="accuracy 1",
)
