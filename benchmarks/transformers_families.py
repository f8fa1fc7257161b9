"""Every model type of transformers that can be built small, through "heedful" against eager.

Each is built from its config with small sizes and random weights, and called with and without
padding: with eager attention, after `set_attn_implementation("heedful")`, and built with "heedful"
from the start. It must give the same, refuse by name, or say that it stays with eager. Run it with
each version of transformers that is to be supported:

    python benchmarks/transformers_families.py --write families.json
    python benchmarks/transformers_families.py llama bart --verbose
"""

import argparse
import collections
import importlib
import importlib.metadata
import inspect
import json
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from heedful.errors import HeedfulError
from heedful.kernels.transformers import NAME, NUMBERS, register

MOST = 12_000_000  # parameters: what stays larger is not tried
BAND = (
    2e-3  # of the largest answer: some families choose experts and keys by scores that nearly tie
)
LENGTH, PADDED, IMAGE = 9, 3, 32

# the sizes of all families by name; each takes those that its config knows
SMALL: dict[str, Any] = dict(
    vocab_size=61, bos_token_id=1, eos_token_id=2, pad_token_id=0, decoder_start_token_id=1,
    hidden_size=32, d_model=32, n_embd=32, dim=32, emb_dim=32, embed_dim=32, embedding_size=32,
    num_hidden_layers=2, num_layers=2, n_layer=2, n_layers=2, encoder_layers=2, decoder_layers=2,
    num_encoder_layers=2, num_decoder_layers=2, depth=2, num_hidden_groups=1, num_blocks=2,
    num_attention_heads=4, num_heads=4, n_head=4, n_heads=4, encoder_attention_heads=4,
    decoder_attention_heads=4, attention_heads=4, num_key_value_heads=2, num_kv_heads=2,
    head_dim=8, d_kv=8, kv_channels=8, attention_head_dim=8, d_head=8,
    intermediate_size=40, d_ff=40, n_inner=40, ffn_dim=40, encoder_ffn_dim=40, decoder_ffn_dim=40,
    ffn_hidden_size=40, hidden_dim=40, mlp_dim=40, moe_intermediate_size=24,
    shared_expert_intermediate_size=24, num_experts=4, num_local_experts=4, n_routed_experts=4,
    moe_num_experts=4, num_experts_per_tok=2, n_group=2, topk_group=1, n_shared_experts=1,
    first_k_dense_replace=1, kv_lora_rank=16, q_lora_rank=16, qk_nope_head_dim=8,
    qk_rope_head_dim=4, v_head_dim=12, index_topk=4, index_n_heads=2, index_head_dim=8,
    rotary_dim=4, max_position_embeddings=64, n_positions=64, max_seq_len=64, sliding_window=4,
    attention_window=4, block_size=4, local_attention=4, window_size=4, type_vocab_size=2,
    image_size=IMAGE, patch_size=8, num_channels=3, num_mel_bins=16, max_source_positions=64,
    max_target_positions=64, projection_dim=16, text_config_dict=None, layerdrop=0.0,
    encoder_layerdrop=0.0, decoder_layerdrop=0.0, vocab_size_per_layer_input=61,
    hidden_size_per_layer_input=8, global_head_dim=8, num_kv_shared_layers=0, mamba_n_heads=4,
    mamba_d_head=16, mamba_d_state=8, mamba_expand=2, state_size=8, linear_key_head_dim=8,
    linear_value_head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4, rel_extent=8,
    d_rel=4, unpadded_vocab_size=61, swa_num_attention_heads=4, swa_num_key_value_heads=2,
    swa_head_dim=8, conv_dim=(16, 16), conv_kernel=(4, 4), conv_stride=(2, 2),
    num_feat_extract_layers=2, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    forced_eos_token_id=None, use_cache=False, prediction_length=3, context_length=6,
    lags_sequence=[1, 2], num_time_features=1,
)  # fmt: skip
# what these need to be built, or to reach the attention that is to be tried
OWN: dict[str, dict[str, Any]] = {
    "bigbird_pegasus": {"attention_type": "original_full"},
    "ctrl": {"dff": 40},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "inkling2_text": {"layer_types": ["hybrid_sliding", "hybrid"]},
    "minimax_m3_vl_text": {"num_key_value_heads": 4},
    "qwen3_next": {"layer_types": ["linear_attention", "full_attention"]},
}


def small(kind: type, name: str, own: dict[str, Any] | None = None) -> Any:
    """The config of a family with small sizes, and so those of its parts; `own` are others."""
    known = set(inspect.signature(kind.__init__).parameters)
    for owner in kind.__mro__:
        known |= set(vars(owner).get("__annotations__", {}))
    mapped = {
        own: SMALL[ours]
        for ours, own in getattr(kind, "attribute_map", {}).items()
        if ours in SMALL
    }
    mapped = {key: value for key, value in mapped.items() if key in known}
    settings = {key: value for key, value in SMALL.items() if key in known} | mapped
    if "kv_lora_rank" in settings and "num_key_value_heads" in settings:
        settings["num_key_value_heads"] = settings.get("num_attention_heads", 4)
    parts = getattr(kind, "sub_configs", {})
    for part, its in parts.items():
        if inspect.isclass(its) and its.__name__ != "AutoConfig":
            settings[part] = small(its, its.model_type).to_dict()
    return kind(**settings | (OWN.get(name, {}) if own is None or not own else own))


def model_kind(config: Any) -> type:
    """The plainest class that runs the config."""
    for table in ("MODEL_MAPPING", "MODEL_FOR_CAUSAL_LM_MAPPING", "MODEL_FOR_PRETRAINING_MAPPING"):
        kind = getattr(modeling_auto, table).get(type(config), None)
        if kind is not None:
            return kind[0] if isinstance(kind, tuple) else kind
    place = type(config).__module__.replace(".configuration_", ".modeling_")
    found = vars(importlib.import_module(place)).values()
    kinds = [x for x in found if inspect.isclass(x) and hasattr(x, "base_model_prefix")]
    kinds = [x for x in kinds if x.config_class is type(config) and "PreTrained" not in x.__name__]
    if not kinds:
        raise LookupError("no model of the config")
    return kinds[-1]  # in these files a model stands behind its parts


def built(kind: Any, config: Any, attention: str) -> Any:
    torch.manual_seed(0)
    model = kind._from_config(
        config.__class__.from_dict(config.to_dict()), attn_implementation=attention
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.15, generator=generator)
    return model.eval()


def inputs(model: Any, padding: str | None) -> tuple[dict[str, Any], torch.Tensor | None]:
    """What the model is called with, and which of its answers count."""
    generator = torch.Generator().manual_seed(1)
    names = inspect.signature(model.forward).parameters
    ids = torch.randint(3, 60, (2, LENGTH), generator=generator)
    given: dict[str, Any] = {}
    count = None
    if "input_ids" in names:
        given["input_ids"] = ids
        seen = torch.ones(2, LENGTH, dtype=torch.long)
        if padding and "attention_mask" in names:
            seen[1, slice(LENGTH - PADDED, None) if padding == "right" else slice(0, PADDED)] = 0
            given["attention_mask"] = seen
        count = seen.bool()
    if "decoder_input_ids" in names and model.config.is_encoder_decoder:
        given["decoder_input_ids"], count = ids[:, :7], None
    if "past_time_features" in names:
        for part, sizes in (("past", (2, 8)), ("future", (2, 3))):
            given[f"{part}_values"] = torch.randn(sizes, generator=generator)
            given[f"{part}_time_features"] = torch.randn(*sizes, 1, generator=generator)
        given["past_observed_mask"] = torch.ones(2, 8)
    vision = "pixel_values" in names and "input_ids" not in names
    if vision or ("pixel_values" in names and "image" in model.main_input_name):
        given["pixel_values"] = torch.randn(2, 3, IMAGE, IMAGE, generator=generator)
    if "pixel_values" in names and model.config.model_type in ("clip", "siglip", "blip", "altclip"):
        given["pixel_values"] = torch.randn(2, 3, IMAGE, IMAGE, generator=generator)
    if model.main_input_name == "input_values" and "input_ids" not in names:
        given["input_values"] = torch.randn(2, 400, generator=generator)
    if model.main_input_name == "input_features":
        given["input_features"] = torch.randn(2, 16, 128, generator=generator)
    return given, count


def answer(model: Any, padding: str | None) -> list[torch.Tensor]:
    """The floating-point tensors of an answer, padded places left out where they are known."""
    given, count = inputs(model, padding)
    torch.manual_seed(0)
    with torch.no_grad():
        output = model(**given)
    found = []
    for name, value in output.items() if isinstance(output, Mapping) else enumerate(output):
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            continue
        if count is not None and value.shape[:2] == count.shape:
            value = value[count]
        elif padding and (count is not None or name != "logits"):
            continue
        found.append(value)
    if not found:
        raise LookupError("no tensor in the answer")
    return found


def apart(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        there = a.isfinite()
        if not torch.equal(there, b.isfinite()):
            return float("nan")
        if there.any():
            largest = float(a[there].abs().max()) or 1.0
            worst = max(worst, float((a[there] - b[there]).abs().max()) / largest)
    return worst


def compared(model: Any, want: dict[str | None, list[torch.Tensor]]) -> str:
    """In words, what a model under "heedful" does against what eager attention gave."""
    worst = 0.0
    for padding, eager in want.items():
        try:
            ours = answer(model, padding)
        except HeedfulError as error:
            return f"refused: {error}"
        except Exception as error:  # the models of others raise what they like
            return f"CRASH: {type(error).__name__}: {str(error)[:100]}"
        distance = apart(eager, ours)
        if not distance <= BAND:
            return f"WRONG: {padding or 'no'} padding, off by {distance:.1e}"
        worst = max(worst, distance)
    return f"right: {worst:.0e}"


def tried(name: str) -> dict[str, str]:
    """What became of one family."""
    kind = CONFIG_MAPPING[name]
    try:
        config = small(kind, name)
        with torch.device("meta"):
            there = model_kind(config)._from_config(config)
        size = sum(x.numel() for x in there.parameters())
        if size > MOST:
            return {"skipped": f"{size:,} parameters"}
        model = built(model_kind(config), config, "eager")
        want = {None: answer(model, None)}
    except Exception as error:  # whatever keeps a family from being built small
        return {"skipped": f"{type(error).__name__}: {str(error)[:100]}"}
    for padding in ("left", "right"):
        if "attention_mask" in inputs(model, padding)[0]:
            try:
                want[padding] = answer(model, padding)
            except Exception:  # a family may not take padding
                continue
    found = {}
    # another class of attention that is right without it being asked for is none of ours
    model.set_attn_implementation(NAME)
    asked = model.config._attn_implementation in (NAME, NUMBERS)
    found["set"] = compared(model, want) if asked else "stays with eager, said by transformers"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            start = built(model_kind(config), config, NAME)
        except Exception as error:
            found["start"] = f"CRASH: {type(error).__name__}: {str(error)[:100]}"
            return found
    stays = [str(x.message) for x in said if "stays with attention" in str(x.message)]
    words = compared(start, want)
    asked = start.config._attn_implementation in (NAME, NUMBERS)
    silent = "" if asked or stays else "SILENT, "
    found["start"] = f"warned, {words}" if stays else silent + words
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=cast(str, __doc__).partition("\n")[0])
    parser.add_argument("families", nargs="*", help="model types; all without")
    parser.add_argument("--write", type=Path, help="write a JSON object")
    parser.add_argument("--verbose", action="store_true", help="print families that are right too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    register()
    found: dict[str, dict[str, str]] = {}
    begun = time.perf_counter()
    for name in given.families or sorted(CONFIG_MAPPING.keys()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[name] = tried(name)
        line = "; ".join(f"{key}: {value}" for key, value in found[name].items())
        loud = any(word in line for word in ("WRONG", "CRASH", "SILENT"))
        if loud or given.verbose:
            print(f"{name:32} {line}", flush=True)
    counts = collections.Counter(
        key if key == "skipped" else f"{key}: {value.partition(':')[0]}"
        for each in found.values()
        for key, value in each.items()
    )
    for words, count in sorted(counts.items()):
        print(f"{count:5}  {words}")
    about = {x: importlib.metadata.version(x) for x in ("transformers", "torch")}
    print(f"{about}, {time.perf_counter() - begun:.0f} s")
    if given.write is not None:
        given.write.write_text(json.dumps({"versions": about, "families": found}, indent=1) + "\n")
    bad = [x for x in found.values() if any("WRONG" in y or "SILENT" in y for y in x.values())]
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
