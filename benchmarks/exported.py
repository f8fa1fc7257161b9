"""Phrases a second, one at a time: a translator in torch, in ONNX Runtime and in CTranslate2.

CTranslate2 has no words for the demo's positions. So it gets random weights of the same sizes with
sinusoidal ones, and is made to write as many tokens for each phrase as the original does.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _measure import write

import heedful
from heedful.bench.timing import in_turns, ratio
from heedful.data.tokens import BOS, EOS, Vocabulary
from heedful.exporting import ctranslate2 as format_of_ctranslate2
from heedful.exporting.translate import Translator
from heedful.models import Transformer


def by_onnx(run: Path, folder: Path) -> Translator:
    """A run in ONNX Runtime, exported unless it was."""
    if not folder.exists():
        heedful.export(run, to="onnx", output=folder)
    return Translator(folder, threads=torch.get_num_threads())


def by_ctranslate2(run: Any, folder: Path, kind: str, threads: int | None = None) -> Any:
    """Random weights of the run's sizes, with positions that CTranslate2 has."""
    import ctranslate2

    sizes = run.config.model.model_dump(exclude={"name", "positions"})
    known = run.task.vocabularies
    model = Transformer(
        source_size=known.source.size,
        target_size=known.target.size,
        positions="sinusoidal",
        **sizes,
    )
    format_of_ctranslate2.write_model(model.eval(), vocabularies(run), folder)
    return ctranslate2.Translator(
        str(folder),
        compute_type=kind,
        inter_threads=1,
        intra_threads=threads or torch.get_num_threads(),
    )


def vocabularies(run: Any) -> list[list[str]]:
    return [format_of_ctranslate2.words_of(run.folder / name) for name in run.kind.files]


def forced(translator: Any, rows: list[list[str]], lengths: list[int]) -> None:
    """Write so many tokens for each phrase, one phrase at a time."""
    for row, length in zip(rows, lengths, strict=True):
        translator.translate_batch(
            [row],
            beam_size=1,
            min_decoding_length=length,
            max_decoding_length=length,
            suppress_sequences=[["<s>"]],
        )


def one_by_one(translate: Callable[[list[str]], object], texts: list[str]) -> None:
    """Translate each text alone."""
    for text in texts:
        translate([text])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("optimised", type=Path)
    parser.add_argument("--exports", type=Path, help="where exports are kept and found again")
    parser.add_argument("--phrases", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="print, and write no file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as temporary:
        lines = measure(given, Path(temporary))
    print("\n".join(lines))
    if not given.dry:
        write("exported", lines)


def measure(given: argparse.Namespace, temporary: Path) -> list[str]:
    """The table."""
    exports = given.exports or temporary
    run, smaller = (
        heedful.load(given.run, device="cpu"),
        heedful.load(given.optimised, device="cpu"),
    )
    texts = [each.source for each in run.examples("test")[: given.phrases]]
    known: Vocabulary = run.task.vocabularies.source
    ours, faster = run.translator, smaller.translator
    words = vocabularies(run)[0]
    rows = [[words[token] for token in row] for row in known.encode(texts)]
    written = [
        sum(token not in (BOS, EOS) for token in row) + 1
        for row in run.task.vocabularies.target.encode(ours.translate(texts, beam=1))
    ]
    graphs, fewer = (
        by_onnx(folder, exports / f"{folder.name}-onnx") for folder in (given.run, given.optimised)
    )
    for name, a, b in (("the original", ours, graphs), ("the optimised one", faster, fewer)):
        same = sum(
            x == y
            for x, y in zip(
                a.translate(texts, beam=1), b.translate(texts, beam_width=1), strict=True
            )
        )
        print(f"{name}: {same} of {len(texts)} phrases the same")
    ways: dict[str, Callable[[], None]] = {
        "torch, original": partial(one_by_one, partial(ours.translate, beam=1), texts),
        "torch, optimised": partial(one_by_one, partial(faster.translate, beam=1), texts),
        "ONNX Runtime, original": partial(
            one_by_one, partial(graphs.translate, beam_width=1), texts
        ),
        "ONNX Runtime, optimised": partial(
            one_by_one, partial(fewer.translate, beam_width=1), texts
        ),
    }
    for kind in ("float32", "int8"):
        translator = by_ctranslate2(run, temporary / f"ct2-{kind}", kind)
        ways[f"CTranslate2 {kind}, original's sizes"] = partial(forced, translator, rows, written)
    times = in_turns(ways, rounds=given.rounds, warm_up=1)
    lines = [
        f"{len(texts)} phrases of the demo's test split, one at a time, greedy, {given.threads} "
        f"thread, {sum(written) / len(written):.1f} tokens written a phrase, in turns in one",
        "process. CTranslate2: random weights of the original's sizes with sinusoidal positions, "
        "made to write as many tokens.",
        "",
        "| way | phrases a second | against torch, optimised |",
        "|---|---|---|",
    ]
    for name, each in times.items():
        rate = len(texts) / each.median
        lines.append(f"| {name} | {rate:.0f} | {ratio(times['torch, optimised'], each)} |")
    return lines


if __name__ == "__main__":
    main()
