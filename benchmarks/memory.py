"""Peak memory of the forms that promise to be linear, at 16k tokens, against one score matrix."""

import torch
from _measure import write

from heedful.bench.mechanisms import Size, build, texts
from heedful.bench.memory import peak_bytes

LENGTH = 16_384
FORMS = ("blockwise", "linear", "hedgehog", "performer", "nystrom", "linformer", "window")
MEBIBYTE = 2**20


def main() -> None:
    size = Size(heads=8)
    tensors = texts(LENGTH, size)
    matrix = 4 * size.heads * LENGTH**2
    lines = [
        f"Batch 1, {size.heads} heads of {size.dim}, float32, {LENGTH:,} tokens. One matrix of "
        f"scores would take {matrix / MEBIBYTE:,.0f} MiB; a plain softmax holds two. What a call "
        "takes beyond its inputs, its result included, as the system counts it.",
        "",
        "| mechanism | forward, MiB | share of the matrix | forward + backward, MiB | share |",
        "|---|---|---|---|---|",
    ]
    for name in FORMS:
        mechanism = build(name, LENGTH, size)

        def forward(mechanism=mechanism) -> torch.Tensor:
            with torch.no_grad():
                return mechanism(*tensors)

        inputs = [x.clone().requires_grad_() for x in tensors]

        def both(mechanism=mechanism, inputs=inputs) -> object:
            return torch.autograd.grad(mechanism(*inputs).sum(), inputs)

        peaks = [peak_bytes(forward), peak_bytes(both)]
        cells = [
            cell
            for peak in peaks
            for cell in (
                ("?", "?")
                if peak is None
                else (f"{peak / MEBIBYTE:,.0f}", f"1/{matrix / max(peak, 1):,.0f}")
            )
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    write("memory", lines)


if __name__ == "__main__":
    main()
