"""The mechanisms of `heedful.ops` as modules with their parameters, for `heedful.nn.Attention`."""

from heedful.nn.mechanisms.base import Mechanism

__all__ = ["Mechanism"]
