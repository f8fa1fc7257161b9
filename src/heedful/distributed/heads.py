"""Heads on several processes: each computes some heads of a module, and what they give is added."""

from torch.distributed import ProcessGroup

from heedful.distributed.zigzag import ring_of
from heedful.errors import UnsupportedError
from heedful.nn.attention import Attention
from heedful.nn.positions import RotaryPositions


def head_parallel(attention: Attention, *, group: ProcessGroup | None = None) -> Attention:
    """Spread the heads of an attention module over processes, in place.

    `out([head_1; ...; head_h]) = sum_p out_p(heads of process p)`: query, key and value are cut by
    their outputs, `out` by its inputs. All processes call the module with the same input and get
    the same output; gradients of inputs are whole. An optimizer must be made after this.

    Args:
        attention: The same in all processes; scaled dot-product attention, with no positions or
            rotary ones.
        group: The processes. `None` means: all.

    Returns:
        The module, whose parameters are spread (`DTensor`).

    Raises:
        ConfigError: There is no process group that this process is in.
        UnsupportedError: The processes do not divide the heads and the key/value heads, or the
            module has a mechanism, or positions that add to scores, whose parameters belong to
            heads.

    Source:
        Shoeybi et al. 2019, arXiv:1909.08053, section 3.

    Cost:
        Each process holds and computes its share; one sum over processes of the output, and in the
        backward pass one of the input's gradient for each projection.
    """
    ring = ring_of(group)
    heads, kv_heads, count = attention.heads, attention.kv_heads, ring.size
    if heads % count or kv_heads % count:
        raise UnsupportedError(
            f"the processes must divide heads and kv_heads, got {count}, {heads=}, {kv_heads=}"
        )
    if attention.mechanism is not None:
        raise UnsupportedError(
            "heads must be those of scaled dot-product attention, got the mechanism "
            f"{type(attention.mechanism).__name__}"
        )
    if attention.positions is not None and not isinstance(attention.positions, RotaryPositions):
        raise UnsupportedError(
            f"positions must be rotary ones or none, got {type(attention.positions).__name__}"
        )
    # it takes its time to load
    from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        ParallelStyle,
        RowwiseParallel,
        parallelize_module,
    )

    device = attention.query.weight.device.type
    whole = group is None
    mesh = init_device_mesh(device, (count,)) if whole else DeviceMesh.from_group(group, device)
    cuts: dict[str, ParallelStyle] = {name: ColwiseParallel() for name in ("query", "key", "value")}
    parallelize_module(attention, mesh, cuts | {"out": RowwiseParallel()})
    return attention
