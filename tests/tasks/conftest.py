"""Data sets that are learned in no time, as files."""

import struct
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def square_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Sixty images of 8 x 8 pixels, bright in one of four corners: a `data` section."""
    folder, draw = tmp_path_factory.mktemp("squares"), np.random.default_rng(0)
    pixels, labels = draw.integers(0, 90, (60, 8, 8), np.uint8), np.arange(60, dtype=np.uint8) % 4
    for image, label in zip(pixels, labels.tolist(), strict=True):
        image[4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 150
    paths: dict[str, Path] = {"train": folder / "images", "train_labels": folder / "labels"}
    for path, array in zip(paths.values(), (pixels, labels), strict=True):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        path.write_bytes(head + array.tobytes())
    return {"name": "idx", **{name: str(path) for name, path in paths.items()}}
