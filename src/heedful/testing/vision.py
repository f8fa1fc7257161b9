"""What must hold for every attention on images, as a pytest class: subclass it, state the claim.

```python
class TestMine(VisionContract):
    @pytest.fixture
    def claim(self):
        return VisionClaim(make=partial(Mine, channels=8), channels=8, oracle=my_loops)
```
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from heedful.errors import ConfigError, ShapeError
from heedful.testing.oracle import vision
from heedful.testing.tolerance import assert_close, roundings

SIZES = {"tall": (2, 5, 3), "wide": (3, 2, 7), "batch_of_one": (1, 4, 3)}  # batch, height, width
KINDS = ("none", "padded", "scattered", "empty")
NUDGE = 2.0**-20  # small enough for a slope, large enough for float64


@dataclass(frozen=True, kw_only=True)
class VisionClaim:
    """A module on images, and what it claims to be.

    Args:
        make: Makes the module, as a user does. Its parameters are then drawn at random.
        channels: What it takes.
        oracle: `oracle(x, exists, **parameters, **settings) -> (weights, output)`, in numpy; the
            parameters by their names, with `_` for `.`.
        settings: Further plain arguments of the oracle.
        order: What may change places, so that the answers change places with it: single pixels,
            whole rows and columns, or nothing.
        identity: Does it start as the identity?
    """

    make: Callable[[], nn.Module]
    channels: int
    oracle: Callable[..., vision.Result]
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    order: Literal["pixels", "lines", "nothing"] = "nothing"
    identity: bool = False

    def module(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        """The module with random numbers in it: the same ones in every dtype, up to rounding."""
        module = self.make().double()
        for seed, parameter in enumerate(module.parameters()):
            fan_in = max(1, parameter[0].numel())
            with torch.no_grad():
                parameter.copy_(draw(*parameter.shape, seed=seed + 10) * fan_in**-0.5)
        return module.to(dtype)

    def image(self, sizes: str, dtype: torch.dtype = torch.float64) -> Tensor:
        """A random image."""
        batch, height, width = SIZES[sizes]
        return draw(batch, self.channels, height, width).to(dtype)

    def expect(self, module: nn.Module, x: Tensor, mask: Tensor | None) -> list[Tensor]:
        """The output and the weights, by the oracle."""
        parameters = {
            name.replace(".", "_"): parameter.detach().double().numpy()
            for name, parameter in module.named_parameters()
        }

        def exists(b: int, i: int, j: int) -> bool:
            return mask is None or bool(mask[b, i, j])

        weights, output = self.oracle(
            x.detach().double().numpy(), exists, **parameters, **self.settings
        )
        return [torch.from_numpy(array) for array in (output, *weights)]

    def slope(self, module: nn.Module, x: Tensor, mask: Tensor | None) -> float:
        """How far results move when every number that goes in moves by a share of itself.

        So many times a rounding error on the way may be as large in the result.
        """
        want, largest = self.expect(module, x, mask), 1.0
        for seed in range(2):
            nudged = self.module()
            nudged.load_state_dict(module.state_dict())
            moved = x.double() * (1 + NUDGE * draw(*x.shape, seed=seed + 50).sign())
            with torch.no_grad():
                for parameter in nudged.parameters():
                    signs = draw(*parameter.shape, seed=seed + 60).sign()
                    parameter.mul_(1 + NUDGE * signs)
            for one, other in zip(self.expect(nudged, moved, mask), want, strict=True):
                largest = max(largest, ((one - other).abs().max() / NUDGE).item())
        return max(largest, *(array.abs().max().item() for array in want))

    def assert_same(
        self, actual: list[Tensor], want: list[Tensor], module: nn.Module, x: Tensor, mask: Any
    ) -> None:
        """Assert that results for these arguments are what they should be, up to rounding.

        Counted are the sums over channels and pixels, and what each parameter makes.
        """
        largest, maps = self.slope(module, x, mask), len(list(module.parameters()))
        for one, other in zip(actual, want, strict=True):
            limit = maps + roundings(one.dtype, *x.shape[1:], x.shape[2] * x.shape[3])
            assert_close(one, other, roundings=limit, largest=largest)


class VisionContract:
    """Subclass it with a fixture `claim` that returns a `VisionClaim`."""

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("sizes", SIZES)
    def test_matches_oracle(
        self, claim: VisionClaim, sizes: str, kind: str, dtype: torch.dtype
    ) -> None:
        module, x, mask = claim.module(dtype), claim.image(sizes, dtype), make_mask(kind, sizes)
        actual = run(module, x, mask)
        assert [one.dtype for one in actual] == [dtype] * len(actual)
        claim.assert_same(actual, claim.expect(module, x, mask), module, x, mask)

    @pytest.mark.parametrize("filler", [1e6, float("inf"), float("nan")])
    @pytest.mark.parametrize("kind", ["padded", "scattered", "empty"])
    def test_hidden_pixels_cannot_matter(
        self, claim: VisionClaim, kind: str, filler: float
    ) -> None:
        module, x, mask = claim.module(), claim.image("tall"), make_mask(kind, "tall")
        assert mask is not None
        hidden = ~mask[:, None].expand_as(x)
        changed = x.masked_fill(hidden, filler).requires_grad_()
        for one, other in zip(run(module, changed, mask), run(module, x, mask), strict=True):
            assert torch.equal(one, other)
        output = module(changed, mask=mask)
        assert (output[hidden] == 0).all()
        output.square().sum().backward()
        assert changed.grad is not None
        assert (changed.grad[hidden] == 0).all()
        numbers = [changed.grad, *(p.grad for p in module.parameters() if p.grad is not None)]
        assert all(gradient.isfinite().all() for gradient in numbers)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    def test_image_without_pixels_gives_zero(self, claim: VisionClaim, dtype: torch.dtype) -> None:
        module, x = claim.module(dtype), claim.image("tall", dtype)
        output, *weights = run(module, x, make_mask("empty", "tall"))
        assert (output[0] == 0).all()
        assert all((one[0] == 0).all() for one in weights)
        assert output[1].abs().max() > 0

    @pytest.mark.parametrize("sizes", SIZES)
    def test_padding_is_as_if_the_image_ended(self, claim: VisionClaim, sizes: str) -> None:
        module, x, mask = claim.module(), claim.image(sizes), make_mask("padded", sizes)
        assert mask is not None
        output = module(x, mask=mask)
        for b, shown in enumerate(mask):
            height, width = int(shown.any(1).sum()), int(shown.any(0).sum())
            cut = x[b : b + 1, :, :height, :width]
            part = output[b : b + 1, :, :height, :width]
            claim.assert_same([part], [module(cut)], module, cut, None)

    @pytest.mark.parametrize("kind", ["none", "padded", "empty"])
    def test_gradients(self, claim: VisionClaim, kind: str) -> None:
        module, mask = claim.module(), make_mask(kind, "tall")
        x = claim.image("tall")[:, :, :3, :2].clone().requires_grad_()
        mask = None if mask is None else mask[:, :3, :2]
        names = [name for name, _ in module.named_parameters()]

        def call(x: Tensor, *parameters: Tensor) -> Any:
            given = dict(zip(names, parameters, strict=True))
            return functional_call(module, given, (x,), {"mask": mask})

        assert torch.autograd.gradcheck(call, (x, *module.parameters()))

    @pytest.mark.parametrize("kind", KINDS)
    def test_batch_rows_do_not_meet(self, claim: VisionClaim, kind: str) -> None:
        module, x, mask = claim.module(), claim.image("wide"), make_mask(kind, "wide")
        order = torch.tensor([2, 0])
        chosen = run(module, x[order], None if mask is None else mask[order])
        want = [one[order] for one in run(module, x, mask)]
        claim.assert_same(chosen, want, module, x, mask)

    @pytest.mark.parametrize("kind", KINDS)
    def test_order_of_places(self, claim: VisionClaim, kind: str) -> None:
        if claim.order == "nothing":
            pytest.skip("it knows where a pixel is")
        module, x, mask = claim.module(), claim.image("tall"), make_mask(kind, "tall")
        turn = TURNS[claim.order]
        actual = module(turn(x), mask=None if mask is None else turn(mask))
        claim.assert_same([actual], [turn(module(x, mask=mask))], module, x, mask)

    @pytest.mark.parametrize("kind", KINDS)
    def test_memory_layout_does_not_matter(self, claim: VisionClaim, kind: str) -> None:
        module, x, mask = claim.module(), claim.image("tall"), make_mask(kind, "tall")
        gaps = torch.full((*x.shape[:-1], 2 * x.shape[-1]), float("nan")).to(x)[..., ::2].copy_(x)
        for layout in (gaps, x.mT.contiguous().mT, x.contiguous(memory_format=torch.channels_last)):
            assert not layout.is_contiguous()
            claim.assert_same(run(module, layout, mask), run(module, x, mask), module, x, mask)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    @pytest.mark.parametrize("kind", KINDS)
    def test_starts_as_the_identity(
        self, claim: VisionClaim, kind: str, dtype: torch.dtype
    ) -> None:
        if not claim.identity:
            pytest.skip("it does not claim to")
        x, mask = claim.image("tall", dtype), make_mask(kind, "tall")
        want = x if mask is None else x.masked_fill(~mask[:, None], 0.0)
        assert torch.equal(claim.make().to(dtype)(x, mask=mask), want)

    @pytest.mark.parametrize("kind", KINDS)
    def test_deterministic_and_inputs_unchanged(self, claim: VisionClaim, kind: str) -> None:
        module, x, mask = claim.module(), claim.image("tall"), make_mask(kind, "tall")
        given = [x] if mask is None else [x, mask]
        copies = [tensor.clone() for tensor in given]
        for one, other in zip(run(module, x, mask), run(module, x, mask), strict=True):
            assert torch.equal(one, other)
        assert all(torch.equal(*pair) for pair in zip(given, copies, strict=True))

    @pytest.mark.parametrize("kind", KINDS)
    def test_exports(self, claim: VisionClaim, kind: str) -> None:
        module, x, mask = claim.module(), claim.image("tall"), make_mask(kind, "tall")
        try:
            program = torch.export.export(module, (x,), {"mask": mask}).module()
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}") from error
        other = None if mask is None else make_mask("scattered", "tall")
        for given in (mask, other):  # the mask is an input of the program, not a part of it
            actual, want = program(x, mask=given), module(x, mask=given)
            claim.assert_same([actual], [want], module, x, given)

    @pytest.mark.parametrize("call", ["forward", "weights"])
    @pytest.mark.parametrize("fault", ["axes", "channels", "dtype", "mask", "mask_dtype"])
    def test_rejects_what_does_not_fit(self, claim: VisionClaim, fault: str, call: str) -> None:
        x, mask, error, message = spoil(fault, claim.image("tall"))
        with pytest.raises(error, match=re.escape(message)):
            getattr(claim.module(), call)(x, mask=mask)


# ---- what the contract draws --------------------------------------------------------------------


def draw(*shape: int, seed: int = 1) -> Tensor:
    """Random numbers in float64, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_mask(kind: str, sizes: str) -> Tensor | None:
    """Which pixels exist: all, a corner of each image, some or one, or none of the first image."""
    batch, height, width = SIZES[sizes]
    if kind == "none":
        return None
    if kind == "scattered":
        mask = draw(batch, height, width, seed=2) > -0.3
        mask[1:][-1:] = False  # one pixel only in the last of several images
        mask[:, 1, 1] = True
        return mask
    mask = torch.zeros(batch, height, width, dtype=torch.bool)
    for b in range(batch):
        mask[b, : max(1, height - 1 - b), : max(1, width - b)] = True
    mask[0] &= kind != "empty"
    return mask


def run(module: nn.Module, x: Tensor, mask: Tensor | None) -> list[Tensor]:
    """The output and all weights."""
    with torch.no_grad():
        weigh: Any = module.weights
        weights = weigh(x, mask=mask)
        output = module(x, mask=mask)
    return [output, *(weights if isinstance(weights, tuple) else (weights,))]


def _turn_pixels(x: Tensor) -> Tensor:
    order = torch.randperm(x.shape[-2] * x.shape[-1], generator=torch.Generator().manual_seed(3))
    return x.flatten(-2)[..., order].unflatten(-1, x.shape[-2:])


def _turn_lines(x: Tensor) -> Tensor:
    return x.roll(2, -2).roll(1, -1)


TURNS = {"pixels": _turn_pixels, "lines": _turn_lines}


def spoil(fault: str, x: Tensor) -> tuple[Tensor, Tensor, type[Exception], str]:
    """A call that must be refused: with what, by which error, in which words."""
    channels, mask = x.shape[1], torch.ones(2, 5, 3, dtype=torch.bool)
    shape = "mask must have shape (batch=2, height=5, width=3), got (2, 3, 5)"
    boolean = "mask must be boolean (True = the pixel exists), got torch.int32"
    return {
        "axes": (x[0], mask, ShapeError, "x must be 4-D (batch, channels, height, width), got a"),
        "channels": (x[:, 1:], mask, ShapeError, f"x must have {channels=}, got {channels - 1}"),
        "dtype": (x.int(), mask, ConfigError, "x must be floating-point, got torch.int32"),
        "mask": (x, mask.mT, ShapeError, shape),
        "mask_dtype": (x, mask.int(), ConfigError, boolean),
    }[fault]
