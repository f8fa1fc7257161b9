"""CartPole without its velocities: attention over moments, their mean, and no memory."""

from heedful.bench.baselines import untrained
from heedful.bench.entry import Entry

ENTRY = Entry(
    metric="return",
    models={
        "attention over 8 moments": {},
        "mean over 8 moments": {"model": {"attention": False}},
        "no memory": {"model": {"memory": 1}},
    },
    baselines={"untrained": untrained},
    data="CartPole, velocities hidden",
    budget="return 10",
)
