"""What a model makes for all heads of a module, such as a bias of scores: cut as it comes in."""

from typing import Any

import torch
from torch import Tensor, nn

NAMES = (
    *("attention_mask", "mask", "position_bias", "relative_position_bias", "attention_bias"),
    *("alibi", "attn_mask", "shared_rel_pos_bias", "shared_rel_pos", "rope"),
)


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
        cut = {name: self._cut(x, name) if name in NAMES else x for name, x in kwargs.items()}
        return (*args[:1], *map(self._cut, args[1:])), cut

    def _cut(self, x: Any, name: str = "") -> Any:
        if not isinstance(x, Tensor) or x.ndim not in (3, 4) or self.heads == 1:
            return x
        origin = torch.tensor(self.origin, device=x.device)
        if name == "rope" and x.ndim == 3:  # one for each head, or one for all
            return x.index_select(0, origin) if len(x) == self.heads else x
        if x.ndim == 4:
            return x.index_select(1, origin) if x.shape[1] == self.heads else x
        if 1 not in x.shape[1:] or x.shape[0] % self.heads:  # no biases of each head, side by side
            return x
        return x.unflatten(0, (-1, self.heads)).index_select(1, origin).flatten(0, 1)


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
