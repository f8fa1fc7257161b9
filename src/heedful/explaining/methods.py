"""The methods by name."""

from collections.abc import Callable, Mapping

from torch import nn

from heedful.config.problems import unknown_choice
from heedful.errors import ConfigError
from heedful.explaining.attention import attention
from heedful.explaining.flow import flow
from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.explaining.maps import Maps
from heedful.explaining.occlusion import occlusion
from heedful.explaining.question import Question
from heedful.explaining.rollout import rollout

Method = Callable[[nn.Module, Question], Maps]

METHODS: Mapping[str, Method] = {
    "gradient-attention": gradient_attention,
    "attention": attention,
    "rollout": rollout,
    "flow": flow,
    "occlusion": occlusion,
    "integrated-gradients": integrated_gradients,
}


def find_method(name: str) -> Method:
    """Return a method.

    Raises:
        ConfigError: There is none of this name.
    """
    if name not in METHODS:
        raise ConfigError(unknown_choice("method", METHODS, name))
    return METHODS[name]
