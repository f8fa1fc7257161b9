"""What a model makes for all heads of a module, such as a bias of scores: cut as it comes in."""

from typing import Any

import torch
from torch import Tensor, nn

NAMES = ("attention_mask", "mask", "position_bias", "relative_position_bias", "attention_bias")


class HeadsOfMask:
    """A hook before a module that lets of each mask with all heads only those go on that are left.

    Args:
        heads: How many the module had once.
        origin: Which of them are left.
    """

    def __init__(self, heads: int, origin: list[int]) -> None:
        self.heads, self.origin = heads, origin

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        cut = {name: self._cut(x) if name in NAMES else x for name, x in kwargs.items()}
        return (*args[:1], *map(self._cut, args[1:])), cut

    def _cut(self, x: Any) -> Any:
        if isinstance(x, Tensor) and x.ndim == 4 and x.shape[1] == self.heads > 1:
            return x.index_select(1, torch.tensor(self.origin, device=x.device))
        return x


def cut_masks(site: nn.Module, heads: int, origin: list[int]) -> None:
    """Let a site take masks for all the heads that it had when it was whole.

    Args:
        site: With fewer heads.
        heads: How many it had until now.
        origin: Which of these are left.
    """
    hooks = site._forward_pre_hooks  # pyright: ignore[reportPrivateUsage]
    for key, hook in hooks.items():
        if isinstance(hook, HeadsOfMask):
            hooks[key] = HeadsOfMask(hook.heads, [hook.origin[x] for x in origin])
            return
    if origin != list(range(heads)):
        site.register_forward_pre_hook(HeadsOfMask(heads, origin), with_kwargs=True)
