"""Run folders of every task but translation, as small as they can be, and how they are used."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _hostile_folders import Kind

import heedful
from heedful.tasks.catalog import parse_config
from heedful.training.metrics import read_metrics

SHORT = {"steps": 2, "precision": "fp32"}


def task_kinds(place: Path) -> list[Kind]:
    """Train each task once."""
    _write_texts(place)
    _write_images(place)
    tables = {split: str(place / f"{split}_labels.tsv") for split in ("train", "dev", "test")}
    images = [str(place / name) for name in ("images", "labels")]
    files = dict(zip(("train", "train_labels", "test", "test_labels"), images * 2, strict=True))
    configs = {
        "classify-text": {
            "data": {"name": "table", **tables},
            "model": {"name": "pooling", "width": 8, "heads": 2},
            "train": {**SHORT, "tokens_per_batch": 128},
        },
        "generate-image": {
            "data": {"name": "idx", **files, "dev_examples": 4},
            "model": {"width": 4, "latent": 4, "reduction": 2},
            "train": {**SHORT, "batch_size": 8, "classifier_steps": 2},
        },
        "control": {
            "data": {"limit": 20, "train": 8, "dev": 2, "test": 2},
            "model": {"width": 8, "heads": 2, "memory": 2},
            "train": {**SHORT, "batch_size": 2, "passes": 1},
        },
    }
    inputs = {
        "classify-text": ["one two", "five"],
        "generate-image": ["0", "1:7"],
        "control": ["5", "6"],
    }
    for task, sections in configs.items():
        output = {"task": task, "output": str(place / task)}
        heedful.train(parse_config({**output, **sections}))
    return [Kind(task, place / task, _use(inputs[task])) for task in configs]


def _use(inputs: list[str]) -> Any:
    def answers(folder: Path) -> Any:
        run = heedful.load(folder, device="cpu")
        task = run.task
        said: list[Any] = [run.about["precision"]]
        for split in ("dev", "test"):
            examples = run.examples(split)
            found = task.answer(run.model, task.encode(examples))
            said.append([str(task.to_json(*pair)) for pair in zip(examples, found, strict=True)])
        return [*said, [task.show(answer) for answer in run.answer(inputs)]]

    def use(folder: Path) -> Any:
        said = answers(folder)
        heedful.train(resume=folder)
        return [said, len(read_metrics(folder)), answers(folder)]

    return use


def _write_texts(place: Path) -> None:
    draw = random.Random(3)
    for split, count in (("train", 40), ("dev", 6), ("test", 6)):
        lines = [draw.choices(("one", "two", "five", "三"), k=3) for _ in range(count)]
        text = "".join(f"{' '.join(words)}\t{'one' in words}\n" for words in lines)
        text += "one five\tTrue\nfive two\tFalse\n"
        (place / f"{split}_labels.tsv").write_text(text, encoding="utf-8")


def _write_images(place: Path) -> None:
    generator = torch.Generator().manual_seed(4)
    pixels = torch.randint(0, 256, (16, 8, 8), generator=generator, dtype=torch.uint8).numpy()
    heads = np.array([16, 8, 8], ">u4").tobytes(), np.array([16], ">u4").tobytes()
    (place / "images").write_bytes(b"\0\0\x08\x03" + heads[0] + pixels.tobytes())
    labels = (np.arange(16) % 2).astype(np.uint8).tobytes()
    (place / "labels").write_bytes(b"\0\0\x08\x01" + heads[1] + labels)
