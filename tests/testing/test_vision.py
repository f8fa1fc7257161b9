"""The contract of vision modules sees the mistakes that it is for: each fault fails its test."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.autograd.gradcheck import GradcheckError

from heedful.nn.vision import NonLocal, Sagan, SqueezeExcitation
from heedful.testing.oracle import vision
from heedful.testing.vision import VisionClaim, VisionContract

GATE = VisionClaim(
    make=partial(SqueezeExcitation, channels=8, reduction=4),
    channels=8,
    oracle=vision.squeeze_excitation,
    order="pixels",
)
PAIRS = VisionClaim(
    make=partial(Sagan, channels=8, reduction=4),
    channels=8,
    oracle=vision.sagan,
    order="pixels",
    identity=True,
)


def hide(x, mask):
    return x if mask is None else x.masked_fill(~mask[:, None], 0.0)


class ForgetsMask(Sagan):
    def forward(self, x, *, mask=None):
        return super().forward(x)


class InvertsMask(SqueezeExcitation):
    def weights(self, x, *, mask=None):
        return super().weights(x, mask=None if mask is None else ~mask)


class CountsHiddenPixels(SqueezeExcitation):
    """Hides what stands there, but divides by all."""

    def weights(self, x, *, mask=None):
        return super().weights(hide(x, mask))


class SeesHiddenPixels(Sagan):
    """Hides what stands there, but zeros take part in the softmax."""

    def forward(self, x, *, mask=None):
        return hide(super().forward(hide(x, mask)), mask)


class MultipliesTheResult(SqueezeExcitation):
    def forward(self, x, *, mask=None):
        weights = self.weights(x, mask=mask)[:, :, None, None]
        return x * weights if mask is None else x * weights * mask[:, None]


class KeepsHiddenPixels(SqueezeExcitation):
    def forward(self, x, *, mask=None):
        output = super().forward(x, mask=mask)
        return output if mask is None else torch.where(mask[:, None], output, 1.0)


class DividesByZero(SqueezeExcitation):
    def weights(self, x, *, mask=None):
        weights = super().weights(x, mask=mask)
        return weights if mask is None else weights / mask.flatten(1).any(1)[:, None]


class WeighsTheEmptyImage(SqueezeExcitation):
    def weights(self, x, *, mask=None):
        weights = super().weights(x, mask=mask)
        return weights.where(weights > 0, 0.5)


class MixesRows(SqueezeExcitation):
    def forward(self, x, *, mask=None):
        return super().forward(x, mask=mask) * (1 + x.detach().nan_to_num().mean() ** 2)


class AnswersInFloat(SqueezeExcitation):
    def forward(self, x, *, mask=None):
        return super().forward(x, mask=mask).to(torch.promote_types(x.dtype, torch.float32))


class WeighsInFloat(SqueezeExcitation):
    def weights(self, x, *, mask=None):
        weights = super().weights(x, mask=mask)
        return weights.to(torch.promote_types(x.dtype, torch.float32))


class LosesPrecision(SqueezeExcitation):
    def weights(self, x, *, mask=None):
        return super().weights(x, mask=mask).half().to(x.dtype)


class KnowsPlaces(SqueezeExcitation):
    def forward(self, x, *, mask=None):
        place = torch.arange(x.shape[3], dtype=x.dtype)
        return super().forward(x, mask=mask) * (1 + place)


class IgnoresStrides(SqueezeExcitation):
    def forward(self, x, *, mask=None):
        return super().forward(x if x.is_contiguous() else x.flip(3), mask=mask)


class CutsTheGradient(SqueezeExcitation):
    def weights(self, x, *, mask=None):
        return super().weights(x.detach(), mask=mask)


class StartsElsewhere(Sagan):
    def __init__(self, **settings):
        super().__init__(**settings)
        nn.init.ones_(self.gamma)


class WritesToTheInput(SqueezeExcitation):
    def forward(self, x, *, mask=None):
        with torch.no_grad():
            x.mul_(1.5)
        return super().forward(x, mask=mask)


class IsRandom(SqueezeExcitation):
    def forward(self, x, *, mask=None):
        return super().forward(x, mask=mask) + 1e-12 * torch.rand_like(x)


class LooksAtValues(SqueezeExcitation):
    def forward(self, x, *, mask=None):
        if mask is not None and not bool(mask.any()):
            return torch.zeros_like(x)
        return super().forward(x, mask=mask)


class ChecksNothing(SqueezeExcitation):
    def forward(self, x, *, mask=None):
        return x

    def weights(self, x, *, mask=None):
        return x


FLOAT, HALF = torch.float64, torch.bfloat16
FAULTS = [
    (PAIRS, ForgetsMask, "matches_oracle", ("tall", "padded", FLOAT)),
    (PAIRS, ForgetsMask, "hidden_pixels_cannot_matter", ("scattered", 1e6)),
    (PAIRS, ForgetsMask, "padding_is_as_if_the_image_ended", ("wide",)),
    (GATE, InvertsMask, "matches_oracle", ("wide", "scattered", torch.float32)),
    (GATE, InvertsMask, "hidden_pixels_cannot_matter", ("padded", 1e6)),
    (GATE, CountsHiddenPixels, "matches_oracle", ("batch_of_one", "padded", FLOAT)),
    (GATE, CountsHiddenPixels, "padding_is_as_if_the_image_ended", ("tall",)),
    (PAIRS, SeesHiddenPixels, "matches_oracle", ("tall", "scattered", FLOAT)),
    (PAIRS, SeesHiddenPixels, "padding_is_as_if_the_image_ended", ("tall",)),
    (GATE, MultipliesTheResult, "hidden_pixels_cannot_matter", ("padded", float("nan"))),
    (GATE, MultipliesTheResult, "hidden_pixels_cannot_matter", ("empty", float("inf"))),
    (GATE, KeepsHiddenPixels, "hidden_pixels_cannot_matter", ("padded", 1e6)),
    (GATE, KeepsHiddenPixels, "image_without_pixels_gives_zero", (FLOAT,)),
    (GATE, DividesByZero, "image_without_pixels_gives_zero", (HALF,)),
    (GATE, WeighsTheEmptyImage, "image_without_pixels_gives_zero", (FLOAT,)),
    (GATE, MixesRows, "batch_rows_do_not_meet", ("none",)),
    (GATE, AnswersInFloat, "matches_oracle", ("tall", "none", HALF)),
    (GATE, WeighsInFloat, "matches_oracle", ("tall", "none", HALF)),
    (GATE, LosesPrecision, "matches_oracle", ("tall", "none", torch.float32)),
    (GATE, KnowsPlaces, "order_of_places", ("none",)),
    (GATE, KnowsPlaces, "matches_oracle", ("wide", "none", HALF)),
    (GATE, IgnoresStrides, "memory_layout_does_not_matter", ("none",)),
    (GATE, CutsTheGradient, "gradients", ("padded",)),
    (PAIRS, StartsElsewhere, "starts_as_the_identity", ("none", HALF)),
    (GATE, WritesToTheInput, "deterministic_and_inputs_unchanged", ("none",)),
    (GATE, IsRandom, "deterministic_and_inputs_unchanged", ("padded",)),
    (GATE, LooksAtValues, "exports", ("padded",)),
    *(
        (GATE, ChecksNothing, "rejects_what_does_not_fit", (fault, call))
        for fault in ("axes", "channels", "dtype", "mask", "mask_dtype")
        for call in ("forward", "weights")
    ),
]


@pytest.mark.parametrize(
    "claim, module, test, arguments",
    FAULTS,
    ids=lambda x: x.__name__ if isinstance(x, type) else x if isinstance(x, str) else None,
)
def test_contract_sees_the_fault(claim, module, test, arguments):
    check = getattr(VisionContract(), f"test_{test}")
    check(claim, *arguments)
    wrong = replace(claim, make=partial(module, channels=8, reduction=4))
    with pytest.raises((AssertionError, GradcheckError, pytest.fail.Exception)):
        check(wrong, *arguments)


def test_every_test_of_the_contract_has_a_fault():
    tests = {name for name in vars(VisionContract) if name.startswith("test_")}
    assert {f"test_{test}" for _, _, test, _ in FAULTS} == tests


def test_lines_may_change_places_where_pixels_may_not():
    module, check = partial(NonLocal, channels=4, window=2), VisionContract().test_order_of_places
    claim = VisionClaim(make=module, channels=4, oracle=partial(vision.non_local, window=2))
    for order in ("pixels", "lines"):
        with pytest.raises(AssertionError, match="not close"):
            check(replace(claim, order=order), "none")
    with pytest.raises(pytest.skip.Exception, match="it knows where a pixel is"):
        check(claim, "none")
