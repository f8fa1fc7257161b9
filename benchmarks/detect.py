"""Boxes of nuclei: detectors with attention and without after equal time, beside simple baselines.

Those with less attention are trained for more epochs, by as much as a step of theirs takes less.
"""

from _nuclei import Comparison

BOXES = Comparison(
    task="detect",
    config="nuclei_boxes.toml",
    metrics=("ap50", "recall50"),
    models={
        "encoder and decoder": (1.0, []),
        "encoder": (3.0, ["model.decoder_layers=0"]),
        "no attention": (5.0, ["model.encoder_layers=0", "model.decoder_layers=0"]),
    },
    about=(
        "Boxes around the connected parts of the masks of 664 microscope images of 96 x 96 pixels;",
        "10 % dev and 20 % test, by the pixels of an image and the seed. Per cent, 95 % intervals.",
        "Seconds are of the processor, with dev scores.",
    ),
)

if __name__ == "__main__":
    BOXES.run(__doc__)
