"""Search at train time: which settings keep a quality at the least cost?"""

from heedful.tuning.goal import Goal, Keep, parse_keep
from heedful.tuning.search import Tuned, tune
from heedful.tuning.space import Choice, Range, Space, default_space
from heedful.tuning.trial import Trial

__all__ = [
    "Choice",
    "Goal",
    "Keep",
    "Range",
    "Space",
    "Trial",
    "Tuned",
    "default_space",
    "parse_keep",
    "tune",
]
