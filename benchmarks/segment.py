"""Masks of nuclei: U-Nets with gates and without after equal time, beside simple baselines.

Those without gates are trained for more epochs, by as much as a step of theirs takes less time.
"""

from _nuclei import Comparison

MASKS = Comparison(
    task="segment",
    config="nuclei_dsb2018.toml",
    metrics=("iou", "dice", "image_iou"),
    models={
        "U-Net with gates": (1.0, ["model.attention_layers=0"]),
        "U-Net": (1.09, ["model.attention_layers=0", "model.gates=false"]),
        "U-Net with gates and self-attention": (1.0, []),
    },
    about=(
        "664 microscope images of 96 x 96 pixels; 10 % dev and 20 % test, by pixels of an image",
        "and the seed. Per cent with 95 % intervals: `iou` and `dice` of the pixels of all images",
        "together, `image_iou` a mean over images. Seconds are of the processor, with dev scores.",
    ),
)

if __name__ == "__main__":
    MASKS.run(__doc__)
