"""A policy with a memory: what it does now depends on the last few observations and actions."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.nn.constant import Constant

AGE = 0.5  # spread of the vectors that tell moments apart, before anything is learned
UNSURE = 0.01  # size of the weights of the actor, so that all actions are as likely at first

History = Float[Tensor, "batch memory inputs"]
Lengths = Int[Tensor, " batch"]


class MemoryPolicy(nn.Module):
    """Actor and critic: the newest observation attends to the last `memory` ones.

    `z = x_0 + attention(y_0, y)` with `y_i = norm(x_i + age_i)`, `x` being the embedded history,
    the newest moment first. Two layers make of `z` what both heads read: logits of actions, and
    the return that is still to come.

    Args:
        inputs: Numbers of each moment: its observation, and what was done before it.
        actions: How many there are to choose from.
        memory: Moments that are seen, the newest one included; 1 is no memory.
        width: Size of the vectors that flow through.
        heads: Of the attention; divides `width`.
        attention: Without it the moments are averaged, each weighing the same.

    Raises:
        ConfigError: A size is below 1, or `heads` does not divide `width`.

    Source:
        Mnih et al. 2016, arXiv:1602.01783, section 4 (actor and critic share a network).
    """

    def __init__(
        self,
        *,
        inputs: int,
        actions: int,
        memory: int = 8,
        width: int = 32,
        heads: int = 4,
        attention: bool = True,
    ) -> None:
        super().__init__()
        if min(inputs, actions, memory, width) < 1:
            sizes = f"{inputs=}, {actions=}, {memory=}, {width=}"
            raise ConfigError(f"inputs, actions, memory and width must be at least 1, got {sizes}")
        self.inputs, self.memory = inputs, memory
        self.embedding = nn.Linear(inputs, width)
        self.age = nn.Parameter(torch.randn(memory, width) * AGE)
        self.norm = nn.LayerNorm(width)
        self.attention: Attention | Constant | None = None
        if attention:
            self.attention = Attention(width=width, heads=heads)
        else:
            self.value = nn.Linear(width, width)
        self.body = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.Tanh(),
            nn.Linear(2 * width, 2 * width),
            nn.Tanh(),
        )
        self.actor, self.critic = nn.Linear(2 * width, actions), nn.Linear(2 * width, 1)
        nn.init.orthogonal_(self.actor.weight, UNSURE)
        nn.init.zeros_(self.actor.bias)

    def forward(
        self, history: History, lengths: Lengths
    ) -> tuple[Float[Tensor, "batch actions"], Float[Tensor, " batch"]]:
        """Return logits of the actions, and the expected return.

        Args:
            history: The newest moment first.
            lengths: How many of the moments there were.

        Raises:
            ShapeError: `history` is not `(batch, memory, inputs)`, or `lengths` does not fit it.
            ConfigError: A length is larger than the memory.
        """
        newest, moments = self._embed(history)
        if self.attention is not None:
            mixed = self.attention(moments[:, :1], moments, mask=Mask.lengths(lengths))[:, 0]
        else:
            known = torch.arange(self.memory, device=lengths.device) < lengths[:, None]
            mixed = (self.value(moments) * known[..., None]).sum(1) / lengths[:, None]
        hidden = self.body(newest + mixed)
        return self.actor(hidden), self.critic(hidden)[:, 0]

    def _embed(self, history: Tensor) -> tuple[Tensor, Tensor]:
        """What the newest moment holds, and all moments with how old they are."""
        if history.ndim != 3 or history.shape[1:] != (self.memory, self.inputs):
            raise ShapeError(
                f"history must be (batch, memory={self.memory}, inputs={self.inputs}), "
                f"got shape {tuple(history.shape)}"
            )
        x = self.embedding(history)
        return x[:, 0], self.norm(x + self.age)
