"""Images of digits from noise, with attention in the networks and without."""

from heedful.bench.baselines import untrained
from heedful.bench.entry import Entry

ENTRY = Entry(
    metric="frechet",
    models={"GAN with self-attention": {}, "GAN without": {"model": {"attention": False}}},
    baselines={"untrained": untrained},
    data="digits of scikit-learn",
    budget="frechet 10%",
)
