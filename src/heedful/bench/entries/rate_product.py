"""What is a phone worth by its reviews? Attention over words and reviews, means, and TF-IDF."""

from typing import Any

from heedful.bench.baselines import most_frequent, tfidf
from heedful.bench.entry import Entry
from heedful.data.reviews import review_corpus
from heedful.tasks.rate_product.config import PhoneData
from heedful.tasks.rate_product.products import Product, of_made

MANY = (12, 20)  # reviews of a product, where training has six at most


def joined(product: Product) -> str:
    """Return all reviews as one text."""
    return " ".join(product.reviews)


def many_reviews(config: Any) -> list[Product]:
    """Return products with more reviews than any of the training."""
    languages = config.data.languages if isinstance(config.data, PhoneData) else ("en", "zh")
    made = review_corpus(
        languages, examples=501, dev=0, test=500, seed=config.seed + 1, reviews=MANY
    )
    return [of_made(each) for each in made.test]


ENTRY = Entry(
    metric="accuracy",
    models={
        "LSTM, hierarchical attention": {},
        "LSTM, means": {"model": {"attention": False}},
        "CNN, hierarchical attention": {"model": {"encoder": "cnn"}},
        "CNN, means": {"model": {"encoder": "cnn", "attention": False}},
    },
    baselines={
        "most frequent class": most_frequent,
        "TF-IDF + logistic regression": tfidf(
            joined,
            ngram_range=(1, 3),
            sublinear_tf=True,
            token_pattern=r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]+",
        ),
    },
    data="made reviews of phones, English and Chinese",
    shift=("12 to 20 reviews", many_reviews),
    budget="accuracy 1",
)
