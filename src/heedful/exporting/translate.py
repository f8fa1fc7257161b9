"""Write with an exported model, with ONNX Runtime, numpy and tokenizers alone.

`heedful export RUN --to onnx -o OUT` puts this file beside the graphs of a translator:

```sh
python OUT/translate.py "5 hours ago"             # as the run searches
python OUT/translate.py --beam 1 < texts.txt      # one translation a line
```

It knows neither torch nor heedful. `start.onnx` reads the source and says the first token;
`step.onnx` says each next one, from the token before it and what was remembered. `export.json`
tells what is passed on: outputs under `carried` become inputs of the next step, those under `kept`
are inputs of every step.
"""

import argparse
import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

Array = NDArray[Any]
PAD, BOS, EOS, UNKNOWN = range(4)


class Exported:
    """The two graphs of a model that writes.

    Args:
        folder: Written by `heedful export --to onnx`.
        threads: Of ONNX Runtime; 0 lets it choose.
    """

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        import onnxruntime

        about = json.loads((folder / "export.json").read_text(encoding="utf-8"))
        if "writing" not in about:
            raise SystemExit(f"{folder} must hold a model that writes, got none")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        sessions: list[Any] = [
            onnxruntime.InferenceSession(folder / f"{name}.onnx", settings)
            for name in ("start", "step")
        ]
        self._start, self._step = sessions
        self.writing: dict[str, Any] = about["writing"]
        self.carried: Mapping[str, str] = self.writing["carried"]
        self.batch_axis: Mapping[str, int] = self.writing["batch_axis"]
        self._needs_position = "position" in {each.name for each in self._step.get_inputs()}
        self._outputs = [each.name for each in self._step.get_outputs()]

    def start(self, inputs: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        """Read, and return the logits of the first token and what is remembered."""
        names = [each.name for each in self._start.get_outputs()]
        found = dict(zip(names, self._start.run(names, dict(inputs)), strict=True))
        logits = found.pop("logits")
        state = {self.carried.get(name, name): value for name, value in found.items()}
        state |= {name: inputs[name] for name in self.writing["kept"] if name in inputs}
        if self._needs_position:
            state["position"] = np.array(1)
        return logits, state

    def step(self, tokens: Array, state: dict[str, Array]) -> Array:
        """Return the logits of the next token, and advance `state`."""
        found = self._step.run(self._outputs, {"tokens": tokens, **state})
        for name, value in zip(self._outputs, found, strict=True):
            if name in self.carried:
                state[self.carried[name]] = value
        if self._needs_position:
            state["position"] = np.array(state["position"] + 1)
        return found[self._outputs.index("logits")]

    def select(self, state: dict[str, Array], rows: Array) -> None:
        """Keep these rows, in this order; a row may be taken more than once."""
        for name, axis in self.batch_axis.items():
            state[name] = state[name].take(rows, axis)


def greedy(model: Exported, inputs: Mapping[str, Array], *, max_length: int) -> list[list[int]]:
    """Take the likeliest token at every step; rows that are finished leave the batch."""
    logits, state = model.start(inputs)
    texts: list[list[int]] = [[] for _ in logits]
    active = np.arange(len(logits))
    for _ in range(max_length):
        logits[:, BOS] = -np.inf
        tokens = logits.argmax(-1)
        going = tokens != EOS
        for row, token in zip(active[going], tokens[going], strict=True):
            texts[row].append(int(token))
        if not going.all():
            rows = going.nonzero()[0]
            if not len(rows):
                break
            active, tokens = active[rows], tokens[rows]
            model.select(state, rows)
        if len(texts[active[0]]) < max_length:
            logits = model.step(tokens, state)
    return texts


def beam(
    model: Exported,
    inputs: Mapping[str, Array],
    *,
    width: int,
    length_penalty: float,
    max_length: int,
) -> list[int]:
    """Keep the `width` best beginnings of one text, and return the best text.

    A finished text scores `log P / ((5 + tokens) / 6) ** length_penalty`, its end counted. The
    search ends when `width` texts are finished and no beginning is likelier than the best of them.
    """
    logits, state = model.start(inputs)
    beginnings: list[list[int]] = [[]]
    scores = np.zeros(1)
    done: list[tuple[float, float, list[int]]] = []
    while True:
        total = scores[:, None] + _log_softmax(logits)
        total[:, BOS] = -np.inf
        order = np.argsort(-total, axis=None, kind="stable")[: 2 * width]
        old = beginnings
        kept: list[tuple[int, int, float]] = []
        for rank, place in enumerate(order):
            row, token = divmod(int(place), total.shape[1])
            value = float(total[row, token])
            if token == EOS:
                if rank < width and value > -np.inf:
                    norm = ((5 + len(old[row]) + 1) / 6) ** length_penalty
                    done.append((value / norm, value, old[row]))
            elif len(kept) < width:
                kept.append((row, token, value))
        rows = np.array([row for row, _, _ in kept])
        beginnings = [[*old[row], token] for row, token, _ in kept]
        scores = np.array([value for _, _, value in kept])
        best = max(done, key=lambda each: each[0], default=None)
        settled = best is not None and len(done) >= width and scores[0] <= best[1]
        if settled or len(beginnings[0]) > max_length or scores[0] == -np.inf:
            return old[0] if best is None else best[2]
        model.select(state, rows)
        logits = model.step(np.array([token for _, token, _ in kept]), state)


class Translator:
    """An exported translator with its tokenisers.

    Args:
        folder: Written by `heedful export --to onnx`.
        threads: Of ONNX Runtime; 0 lets it choose.
    """

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        self.model = Exported(folder, threads=threads)
        about = self.model.writing
        if "source" not in about or "target" not in about:
            raise SystemExit(f"{folder} must hold a translator, got a model of another task")
        self.source = Tokenizer.from_file(str(folder / about["source"]))
        target = Tokenizer.from_file(str(folder / about["target"])).get_vocab()
        self._pieces = sorted(target, key=target.__getitem__)
        self.longest: int | None = about["longest"]

    def translate(self, texts: Sequence[str], *, beam_width: int | None = None) -> list[str]:
        """Return the translation of each text."""
        about = self.model.writing
        width = about["beam"] if beam_width is None else beam_width
        most: int = about["max_length"]
        if width == 1:
            written = greedy(self.model, self.encode(texts), max_length=most)
        else:
            penalty = about["length_penalty"]
            search = {"width": width, "length_penalty": penalty, "max_length": most}
            written = [beam(self.model, self.encode([text]), **search) for text in texts]
        return [self.decode(row) for row in written]

    def encode(self, texts: Sequence[str]) -> dict[str, Array]:
        """Return the tokens of texts, padded, and their lengths."""
        composed = [unicodedata.normalize("NFC", text) for text in texts]
        rows = [each.ids[: self.longest] for each in self.source.encode_batch(composed)]
        lengths = np.array([len(row) for row in rows])
        source = np.full((len(rows), lengths.max()), PAD)
        for number, row in enumerate(rows):
            source[number, : len(row)] = row
        return {"source": source, "lengths": lengths}

    def decode(self, row: Sequence[int]) -> str:
        """Return the text of tokens."""
        return "".join(self._pieces[token] for token in row if token not in (PAD, BOS))


def _log_softmax(logits: Array) -> Array:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def main() -> None:
    """Translate the texts of the command line, or lines of stdin."""
    parser = argparse.ArgumentParser(description="Translate with an exported model.")
    parser.add_argument("texts", nargs="*", help="without, lines of stdin")
    parser.add_argument("--beam", type=int, help="unfinished texts kept; 1 is greedy")
    given = parser.parse_args()
    translator = Translator(Path(__file__).resolve().parent)
    lines = given.texts or (line.rstrip("\n") for line in sys.stdin)
    for text in lines:
        print(translator.translate([text], beam_width=given.beam)[0] if text.strip() else "")


if __name__ == "__main__":
    main()
