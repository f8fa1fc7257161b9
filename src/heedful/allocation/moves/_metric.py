"""The metric of the data: how much a difference of two linear maps matters on what went through."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from heedful.allocation.projections import Projections
from heedful.allocation.refit import RIDGE


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is known of the vectors that went into a projection.

    Args:
        mean: Their mean.
        covariance: Their covariance, with a ridge: directions that never occurred count a little.
    """

    mean: Float[Tensor, " width"]
    covariance: Float[Tensor, "width width"]

    def means(
        self, weight: Float[Tensor, "heads dim width"], bias: Float[Tensor, "heads dim"] | None
    ) -> Float[Tensor, "heads dim"]:
        """Return the mean of what each head makes of them."""
        mean = weight.double() @ self.mean
        return mean if bias is None else mean + bias.double()

    def varying(self, weight: Float[Tensor, "heads dim width"]) -> Float[Tensor, "heads dim dim"]:
        """Return the covariance of what each head makes of them."""
        weight = weight.double()
        return weight @ self.covariance @ weight.mT

    def whole(
        self, weight: Float[Tensor, "heads dim width"], bias: Float[Tensor, "heads dim"] | None
    ) -> Float[Tensor, "heads dim dim"]:
        """Return the second moment of what each head makes of them."""
        mean = self.means(weight, bias)
        return self.varying(weight) + mean[:, :, None] * mean[:, None]


def inputs(gram: Tensor | None, weight: Float[Tensor, "heads dim width"]) -> Inputs:
    """Return what a sum of `Moments` says about the vectors that `weight` is for.

    Where nothing is known they count as centred and of unit variance in every direction, so that
    maps are compared by their weights.
    """
    if gram is None or not gram.numel():
        eye = torch.eye(weight.shape[2], dtype=torch.float64, device=weight.device)
        return Inputs(mean=torch.zeros_like(eye[0]), covariance=eye)
    gram = gram.to(dtype=torch.float64, device=weight.device)
    gram = gram / gram[-1, -1]
    mean = gram[-1, :-1]
    covariance = gram[:-1, :-1] - mean[:, None] * mean
    return Inputs(mean=mean, covariance=ridged(covariance, torch.eye(len(mean)).to(gram)))


def ridged(
    moment: Float[Tensor, "*batch width width"], directions: Float[Tensor, "*batch width width"]
) -> Float[Tensor, "*batch width width"]:
    """Return the moment with a little of its mean variance, spread as in `directions`."""
    variance, like = (x.diagonal(dim1=-2, dim2=-1).sum(-1) for x in (moment, directions))
    tiny = torch.finfo(moment.dtype).tiny
    return moment + (RIDGE * variance / like.clamp(min=tiny))[..., None, None] * directions


def factors(
    first: Float[Tensor, "dim dim"], second: Float[Tensor, "dim dim"], *, rank: int
) -> tuple[Float[Tensor, "rank dim"], Float[Tensor, "rank dim"]]:
    """Return the two maps `p`, `q` to `rank` for which `(p a) . (q b)` comes closest to `a . b`.

    Closest in the mean square over `a` and `b` that are drawn independently.

    Args:
        first: Second moment of `a`.
        second: Of `b`.
        rank: At most `dim`.

    Returns:
        `p` and `q`; the rows of `q` are orthonormal, so that what it makes keeps its size.
    """
    root, _ = _roots(first)
    other, inverse = _roots(second)
    main = torch.linalg.svd(root @ other).Vh[:rank]
    orthonormal, triangle = torch.linalg.qr((main @ inverse).mT)
    return triangle @ main @ other, orthonormal.mT


def strengths(
    first: Float[Tensor, "*batch dim dim"], second: Float[Tensor, "*batch dim dim"]
) -> Float[Tensor, "*batch dim"]:
    """Return the singular values of which `factors` keeps the largest, in descending order.

    Their squares add up to the mean square of `a . b`.

    Args:
        first: Second moment of `a`.
        second: Of `b`.
    """
    sizes, axes = torch.linalg.eigh(first)
    root = (axes * sizes.clamp(min=0).sqrt()[..., None, :]) @ axes.mT
    return torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().flip(-1)


def mapped(maps: Float[Tensor, "heads new dim"], x: Tensor) -> Tensor:
    """Apply a map to the weights or to the bias of each head, in the dtype of these."""
    if x.ndim == 2:
        return mapped(maps, x[:, :, None])[:, :, 0]
    return (maps @ x.double()).to(x.dtype)


def mean_output(site: Projections, context: Inputs) -> Float[Tensor, " out"]:
    """Return what the site gives on average, without its bias: as if all heads looked at random."""
    means = context.means(site.value, site.value_bias).repeat_interleave(site.groups, dim=0)
    return torch.einsum("hv,hvo->o", means, site.out.double()).to(site.out)


def _roots(moment: Tensor) -> tuple[Tensor, Tensor]:
    """Return the root of a symmetric matrix, and its inverse on what the matrix reaches."""
    sizes, axes = torch.linalg.eigh(moment)
    floor = len(sizes) * torch.finfo(sizes.dtype).eps * sizes[-1].clamp(min=0)
    roots = torch.where(sizes > floor, sizes, 0).sqrt()
    inverses = torch.where(sizes > floor, sizes, torch.inf).rsqrt()
    return (axes * roots) @ axes.mT, (axes * inverses) @ axes.mT
