"""Where the attention modules of transformers keep their projections and sizes, as data."""

from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How some classes of attention are built. All paths are submodules of the site.

    Args:
        kinds: Names of the classes.
        query: The layer that makes queries.
        key: The one that makes keys; where it also makes others, these stand in it in the order
            query, key, value.
        value: The one that makes values.
        out: The output projection.
        core: The module with the `forward` that asks for the attention interface.
        dim: Attribute of the core, as all below: the size of a head.
        heads: What holds the number of query heads.
        kv_heads: What holds the number of key/value heads.
        widths: What holds the size of all query heads.
        parts: What holds the size of the parts of a layer that makes several.
        dropout: What holds the share of weights that is dropped.
        after: A dropout that follows the output projection inside the site.
        grouped: Does its eager function repeat key/value heads?
        rotary: Are queries and keys turned by cosines and sines that the model makes for all?
        biased: Does it pass a bias of the scores, with all heads, on to the next layer?
    """

    kinds: tuple[str, ...]
    query: str = "q_proj"
    key: str = "k_proj"
    value: str = "v_proj"
    out: str
    core: str = ""
    dim: str = "head_dim"
    heads: tuple[str, ...] = ()
    kv_heads: tuple[str, ...] = ()
    widths: tuple[str, ...] = ()
    parts: str = ""
    dropout: str
    after: str = ""
    grouped: bool = False
    rotary: bool = False
    biased: bool = False

    @property
    def makers(self) -> dict[str, list[str]]:
        """The layers that make queries, keys and values, and what each of them makes."""
        found: dict[str, list[str]] = {}
        for name in ("query", "key", "value"):
            found.setdefault(getattr(self, name), []).append(name)
        return found

    def core_of(self, site: nn.Module) -> Any:
        """Return the module whose attributes the forward reads."""
        return site.get_submodule(self.core)


BERT = Layout(
    kinds=(
        "BertAttention",
        "CamembertAttention",
        "ElectraAttention",
        "RobertaAttention",
        "XLMRobertaAttention",
    ),
    query="self.query",
    key="self.key",
    value="self.value",
    out="output.dense",
    core="self",
    dim="attention_head_size",
    heads=("num_attention_heads",),
    widths=("all_head_size",),
    dropout="dropout",
)
DISTILBERT = Layout(
    kinds=("DistilBertSelfAttention",),
    query="q_lin",
    key="k_lin",
    value="v_lin",
    out="out_lin",
    dim="attention_head_size",
    heads=("n_heads",),
    dropout="dropout",
)
VIT = Layout(
    kinds=("DeiTAttention", "ViTAttention"),
    out="o_proj",
    heads=("num_attention_heads",),
    dropout="attention_dropout",
)
GPT2 = Layout(
    kinds=("GPT2Attention",),
    query="c_attn",
    key="c_attn",
    value="c_attn",
    out="c_proj",
    heads=("num_heads",),
    parts="split_size",
    dropout="attn_dropout",
    after="resid_dropout",
)
GPT2_CROSS = replace(GPT2, query="q_attn")
LLAMA = Layout(
    kinds=(
        "GemmaAttention",
        "GraniteAttention",
        "LlamaAttention",
        "MistralAttention",
        "MixtralAttention",
        "Qwen2Attention",
        "Qwen2MoeAttention",
        "Qwen3Attention",
    ),
    out="o_proj",
    dropout="attention_dropout",
    grouped=True,
    rotary=True,
)
BART = Layout(
    kinds=(
        "BartAttention",
        "BlenderbotAttention",
        "M2M100Attention",
        "MBartAttention",
        "MarianAttention",
        "PLBartAttention",
        "PegasusAttention",
    ),
    out="out_proj",
    heads=("num_heads",),
    dropout="dropout",
)
WHISPER = Layout(
    kinds=("WhisperAttention",),
    out="out_proj",
    kv_heads=("num_heads",),  # its forward splits keys and values by this, and queries by what fits
    dropout="dropout",
)
T5 = Layout(
    kinds=("MT5Attention", "T5Attention"),
    query="q",
    key="k",
    value="v",
    out="o",
    dim="key_value_proj_dim",
    heads=("n_heads",),
    widths=("inner_dim",),
    dropout="dropout",
    biased=True,
)
# one class may have several forms: the first stands whose layers are all there
LAYOUTS = (BERT, DISTILBERT, VIT, GPT2_CROSS, GPT2, LLAMA, BART, WHISPER, T5)


def layout_of(module: nn.Module) -> Layout | None:
    """Return how this module is built, or `None` where no layout says it."""
    for layout in _named(module):
        if all(_has(module, path) for path in (*layout.makers, layout.out)):
            return layout
    return None


def core_in(module: nn.Module) -> nn.Module | None:
    """Return what stands in the core of a site that has one apart, whatever it is by now."""
    for layout in _named(module):
        if layout.core:
            return module.get_submodule(layout.core)
    return None


def _named(module: nn.Module) -> list[Layout]:
    kind = type(module)
    if not kind.__module__.startswith("transformers.models."):
        return []
    if kind.__name__ not in T5.kinds and _like_t5(module):
        return [T5]
    return [layout for layout in LAYOUTS if kind.__name__ in layout.kinds]


def _like_t5(module: nn.Module) -> bool:
    """Is this one of the many copies of T5's attention, which hands its bias on to other layers?"""
    parts = ("compute_bias", "key_value_proj_dim", "inner_dim", "scaling")
    takes = signature(module.forward).parameters
    return all(hasattr(module, part) for part in parts) and "position_bias" in takes


def _has(module: nn.Module, path: str) -> bool:
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True
