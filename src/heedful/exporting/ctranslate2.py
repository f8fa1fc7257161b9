"""CTranslate2: translators of one shape throughout, for its own fast inference."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from heedful.data.tokens import SPECIAL
from heedful.errors import UnsupportedError, VerificationError
from heedful.exporting.about import copy_task
from heedful.exporting.checkpoint_graphs import OpenedCheckpoint
from heedful.exporting.full_precision import in_full
from heedful.models import Transformer
from heedful.nn.attention import Attention
from heedful.nn.positions import LearnedPositions, RelativePositions, RotaryPositions
from heedful.tasks.translation.translator import Translator
from heedful.training.run import Run
from heedful.training.splits import shown_split

PACKAGES: tuple[str, ...] = ("ctranslate2",)
FEW = 40  # phrases whose translations are compared
POSITIONS = 2_048  # that are written down where there is no longest text
WORDS = {"unk_token": SPECIAL[3], "bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}


def write_run(run: Run, folder: Path) -> dict[str, Any]:
    """Write a translator in float32, and compare what it writes with what the run writes.

    `ctranslate2.Translator(OUT, compute_type="int8")` multiplies in few bits.

    Args:
        run: Opened on the CPU.
        folder: New.

    Returns:
        What `export.json` says of it.

    Raises:
        UnsupportedError: The model is none that CTranslate2 computes; with the site that is not.
        VerificationError: CTranslate2 writes something else.
    """
    if run.config.task != "translation":
        raise UnsupportedError(
            f"a model must translate to be one of CTranslate2, got the task {run.config.task}"
        )
    model, rounded = in_full(run.model)
    words = [words_of(run.folder / name) for name in run.kind.files]
    write_model(model, words, folder)
    copy_task(run, folder)
    return {"rounded": rounded, "checks": [_check(run, folder, model, words)]}


def write_checkpoint(opened: OpenedCheckpoint, folder: Path) -> dict[str, Any]:
    """Refuse a checkpoint: CTranslate2 converts those that it knows by itself.

    Raises:
        UnsupportedError: Always.
    """
    raise UnsupportedError(
        "a run must be written for CTranslate2, got a checkpoint of Hugging Face, "
        f"{opened.checkpoint.architecture}: ct2-transformers-converter reads what CTranslate2 knows"
    )


def write_model(model: nn.Module, words: Sequence[Sequence[str]], folder: Path) -> None:
    """Write a Transformer.

    Args:
        model: It.
        words: Of both sides, by their numbers.
        folder: New, or empty.

    Raises:
        UnsupportedError: The model is none that CTranslate2 computes; with the site that is not.
    """
    from ctranslate2.specs import TransformerSpec  # pyright: ignore[reportMissingTypeStubs]

    heads, kv_heads, dim = _shape(model)
    spec: Any = TransformerSpec(*_sides(model, heads, kv_heads, dim))  # type: ignore[no-untyped-call]
    spec.register_source_vocabulary(words[0])
    spec.register_target_vocabulary(words[1])
    for name, word in WORDS.items():
        setattr(spec.config, name, word)
    spec.config.decoder_start_token = SPECIAL[1]
    spec.validate()
    spec.optimize()
    folder.mkdir(exist_ok=True)
    spec.save(str(folder))


def written(
    translator: Any,
    words: Sequence[str],
    rows: Sequence[Sequence[int]],
    *,
    most: int,
    beam: int = 1,
) -> list[list[str]]:
    """Return the pieces that CTranslate2 writes, searching as heedful does.

    Args:
        translator: A `ctranslate2.Translator`.
        words: Of the source, by number.
        rows: Tokens of each source, with its beginning and end.
        most: Tokens of a translation.
        beam: Unfinished texts that are kept.
    """
    found = translator.translate_batch(
        [[words[token] for token in row] for row in rows],
        beam_size=beam,
        max_decoding_length=most,
        max_input_length=0,
        suppress_sequences=[[SPECIAL[1]]],
    )
    return [each.hypotheses[0] for each in found]


def _check(run: Run, folder: Path, model: Any, words: list[list[str]]) -> dict[str, Any]:
    import ctranslate2

    ours: Translator = run.task.translator(model)  # type: ignore[attr-defined]
    texts = [example.source for example in run.examples(shown_split(run))[:FEW]]
    rows = [row[: model.longest] for row in ours.vocabularies.source.encode(texts)]
    want = ours.translate(texts, beam=1)
    same: dict[str, int] = {}
    for kind in ("float32", "int8"):
        theirs = ctranslate2.Translator(str(folder), compute_type=kind)
        got = written(theirs, words[0], rows, most=ours.decode.max_length)
        same[kind] = sum("".join(a) == b for a, b in zip(got, want, strict=True))
    if same["float32"] != len(texts):
        raise VerificationError(
            "CTranslate2 must write what the run writes, got "
            f"{len(texts) - same['float32']} of {len(texts)} phrases otherwise"
        )
    return {"phrases": len(texts), "same": same}


def _shape(model: nn.Module) -> tuple[int, int, int]:
    """Heads, key/value heads and their size, which must be the same at every site."""
    if not isinstance(model, Transformer):
        kind = type(model).__name__
        raise UnsupportedError(f"a model of CTranslate2 must be a Transformer, got {kind}")
    first_layer: Any = model.encoder[0]
    positions = first_layer.self_attention.positions
    if isinstance(positions, RelativePositions) or (
        isinstance(positions, RotaryPositions) and model.source_positions is not None
    ):
        name = "relative" if isinstance(positions, RelativePositions) else "rotary+sinusoidal"
        raise UnsupportedError(
            f"positions must be one of sinusoidal, learned, rotary for CTranslate2, got {name}"
        )
    found: dict[str, tuple[int, int, int]] = {}
    for name, module in model.named_modules():
        if not name.endswith("_attention"):
            continue
        if not isinstance(module, Attention) or module.mechanism is not None:
            kind = type(getattr(module, "mechanism", None) or module).__name__
            raise UnsupportedError(f"{name} must be plain attention for CTranslate2, got {kind}")
        rotary = module.positions
        if module.value_dim != module.dim or (
            isinstance(rotary, RotaryPositions) and rotary.whole != rotary.dim
        ):
            sizes = f"{module.dim} of keys and {module.value_dim} of values"
            raise UnsupportedError(f"{name} must have one head size for CTranslate2, got {sizes}")
        found[name] = (module.heads, module.kv_heads, module.dim)
    first = next(iter(found.values()))
    for name, shape in found.items():
        if shape != first:
            raise UnsupportedError(
                f"{name} must have heads as all sites for CTranslate2, got "
                f"{shape[0]} x {shape[2]} on {shape[1]}, not {first[0]} x {first[2]} on {first[1]}"
            )
    return first


def _sides(model: Any, heads: int, kv_heads: int, dim: int) -> tuple[Any, Any]:
    from ctranslate2.specs import transformer_spec  # pyright: ignore[reportMissingTypeStubs]

    pre = model.encoder[0].self_residual.pre
    settings: dict[str, Any] = {"pre_norm": pre, "head_dim": dim}
    if kv_heads != heads:
        settings["num_heads_kv"] = kv_heads
    rotary = model.encoder[0].self_attention.positions
    if rotary is not None:
        settings |= {"rotary_dim": dim, "rotary_interleave": False, "rotary_base": rotary.base}
    encoder = transformer_spec.TransformerEncoderSpec(len(model.encoder), heads, **settings)
    decoder = transformer_spec.TransformerDecoderSpec(len(model.decoder), heads, **settings)
    encoder.embeddings[0].weight = _array(model.source_embedding.weight)
    decoder.embeddings.weight = _array(model.target_embedding.weight)
    decoder.projection.weight = _array(model.out.weight)
    for side, positions in (
        (encoder, model.source_positions),
        (decoder, model.target_positions),
    ):
        if rotary is None:
            side.position_encodings.encodings = _encodings(positions, model)
    for side, layers, norm in (
        (encoder, model.encoder, model.encoder_norm),
        (decoder, model.decoder, model.decoder_norm),
    ):
        if pre:
            _norm(side.layer_norm, norm)
        for to, layer in zip(side.layer, layers, strict=True):
            _layer(to, layer)
    return encoder, decoder


def _layer(to: Any, layer: Any) -> None:
    own = layer.self_attention
    _joined(to.self_attention.linear[0], (own.query, own.key, own.value))
    _joined(to.self_attention.linear[1], (own.out,))
    _norm(to.self_attention.layer_norm, layer.self_residual.norm)
    cross = getattr(layer, "cross_attention", None)
    if cross is not None:
        _joined(to.attention.linear[0], (cross.query,))
        _joined(to.attention.linear[1], (cross.key, cross.value))
        _joined(to.attention.linear[2], (cross.out,))
        _norm(to.attention.layer_norm, layer.cross_residual.norm)
    _joined(to.ffn.linear_0, (layer.feedforward.inner,))
    _joined(to.ffn.linear_1, (layer.feedforward.outer,))
    _norm(to.ffn.layer_norm, layer.feedforward_residual.norm)


def _joined(to: Any, layers: Sequence[nn.Linear]) -> None:
    to.weight = _array(torch.cat([layer.weight for layer in layers]))
    to.bias = _array(torch.cat([layer.bias for layer in layers]))


def _norm(to: Any, norm: nn.LayerNorm) -> None:
    to.gamma, to.beta = _array(norm.weight), _array(norm.bias)


def _encodings(positions: nn.Module, model: Any) -> Any:
    """What positions add to each place."""
    count = positions.max_length if isinstance(positions, LearnedPositions) else POSITIONS
    width = model.out.in_features
    with torch.no_grad():
        return _array(positions(torch.zeros(1, count, width))[0])


def _array(tensor: Tensor) -> Any:
    return np.ascontiguousarray(tensor.detach().float().numpy())


def words_of(path: Path) -> list[str]:
    """All pieces of a vocabulary, by their numbers."""
    found = Tokenizer.from_file(str(path)).get_vocab(with_added_tokens=False)
    return sorted(found, key=found.__getitem__)
