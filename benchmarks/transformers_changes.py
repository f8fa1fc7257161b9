"""Change the attention of 196 configurations of transformers, and hold each against its original.

At every site that can be changed some heads go. What is left must give what the original gives
when these heads are silenced where attention is asked for, which is known without a look at any
weight: with eager attention and with sdpa, with padding, in `generate` with a cache and without
one. Then one whole site goes, then keys are shared; then the changed model is saved, loaded in
another process, and must still give the same.

    python benchmarks/transformers_changes.py --write changes.json
    python benchmarks/transformers_changes.py llama swin

A line for each configuration: changed, refused with the reason, or WRONG; a total at the end.
"""

import argparse
import collections
import importlib.metadata
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from _changes import Wrong, outcome, said, wrong_again
from torch import nn
from transformers_configurations import KINDS, config_of, given_to
from transformers_families import built

from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.plan import Plan
from heedful.allocation.sites import Site, find_sites
from heedful.allocation.stored import load_model, save_model
from heedful.errors import UnsupportedError
from heedful.probing.replace import replaced
from heedful.probing.transformers import TransformersAttention

BAND = 2e-4  # of the largest answer, in 32 bits; what is wrong is off by far more
NEW = 5  # tokens that are written


def kept_at(site: Site, model: nn.Module, number: int) -> tuple[int, ...]:
    """Which heads stay: half of them, as many of each key/value head that stays; not the same."""
    read = site.read(model)
    heads, groups = read.geometry.heads, read.groups
    if heads == 1:
        return (0,)
    if len(read.key) == 1:
        kept = [x for x in range(heads) if (x + number) % 2]
    elif number % 3 == 2:  # of every key/value head, some of its queries
        most = max(1, groups // 2)
        kept = [kv * groups + i for kv in range(len(read.key)) for i in range(most)]
    else:
        kept = [x for x in range(heads) if (x // groups + number) % 2]
    return tuple(kept)


@contextmanager
def silenced(model: nn.Module, kept: dict[str, tuple[int, ...]]) -> Generator[None]:
    """Let the heads that are not kept give 0 where attention is asked for.

    Attention that is not asked for by the interface of transformers is silenced by the columns of
    its output projection, in which heads stand one behind the other.
    """
    inside: dict[nn.Module, tuple[int, ...]] = {}
    with ExitStack() as stack:
        for site in find_sites(model)[0]:
            module, heads = site.of(model), kept.get(site.name)
            if heads is None:
                continue
            if any(TransformersAttention().claims(x) for x in module.modules()):
                inside |= dict.fromkeys(module.modules(), heads)
            else:
                stack.enter_context(without_columns(site, model, heads))
        stack.enter_context(only_heads(inside))
        yield


@contextmanager
def without_columns(site: Site, model: nn.Module, heads: tuple[int, ...]) -> Generator[None]:
    module = cast(Any, site.of(model))
    torchs = isinstance(module, nn.MultiheadAttention)
    out = module.out_proj if torchs else site.adapter.hook_points(module).out
    weight, size = out.weight.detach(), site.read(model).geometry.value_dim
    before = weight.clone()
    inputs = weight if isinstance(out, nn.Linear) else weight.T
    for head in set(range(inputs.shape[1] // size)) - set(heads):
        inputs[:, head * size : (head + 1) * size] = 0
    try:
        yield
    finally:
        weight.copy_(before)


@contextmanager
def only_heads(inside: dict[nn.Module, tuple[int, ...]]) -> Generator[None]:
    plain = transformers.AttentionInterface.get_interface

    def get_interface(interface: Any, implementation: str, default: Any) -> Any:
        function = plain(interface, implementation, default)

        def attend(module: Any, query: Any, *rest: Any, **named: Any) -> Any:
            output, weights = function(module, query, *rest, **named)
            if module in inside:
                there = torch.zeros(output.shape[2])
                there[list(inside[module])] = 1
                output = output * there[:, None]
            return output, weights

        return attend

    with replaced(transformers.AttentionInterface, "get_interface", get_interface):
        yield


@torch.no_grad()
def answers(model: Any, given: dict[str, Any]) -> list[torch.Tensor]:
    """The floating-point tensors of an answer."""
    torch.manual_seed(0)
    flat: list[torch.Tensor] = []

    def take(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            if value.is_floating_point():
                flat.append(value)
        elif isinstance(value, dict | tuple | list):
            for each in value.values() if isinstance(value, dict) else value:
                take(each)

    take(dict(model(**given)))
    return flat


def apart(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    if len(one) != len(other) or any(a.shape != b.shape for a, b in zip(one, other, strict=True)):
        return float("inf")
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        there = a.isfinite() & b.isfinite()
        if not torch.equal(a.isfinite(), b.isfinite()):
            return float("inf")
        if there.any():
            largest = float(b[there].abs().max()) or 1.0
            worst = max(worst, float((a[there] - b[there]).abs().max()) / largest)
    return worst


def written(model: Any, given: dict[str, Any], *, cache: bool) -> list[torch.Tensor]:
    """The scores of the tokens that a model writes."""
    found = model.generate(
        **given, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, use_cache=cache,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    return list(found.logits)


def same(what: str, one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    """Raise where answers differ; weights that come along, of other numbers of heads, are none."""
    distance = apart(one, other)
    if not distance <= BAND:
        raise Wrong(f"{what} is off by {distance:.1e}")


def check(name: str, model: Any, sites: list[Site], folder: Path) -> str:
    """Change a model, and raise where it is not what it should be."""
    kept = {site.name: kept_at(site, model, number) for number, site in enumerate(sites)}
    plan = Plan(moves={site: (KeepHeads(heads=heads),) for site, heads in kept.items()})
    changed: Any = plan.apply(model)
    cut = sum(x.numel() for x in model.parameters()) - sum(x.numel() for x in changed.parameters())
    if cut <= 0 and any(site.read(model).geometry.heads > 1 for site in sites):
        raise Wrong(f"{cut} parameters less")
    plain = given_to(name, model, None)
    seen = 0.0
    did: list[str] = []
    for attention in ("eager", "sdpa"):
        try:
            model.set_attn_implementation(attention)
            changed.set_attn_implementation(attention)
        except (ValueError, ImportError):
            continue
        for padding in (None, "left", "right"):
            given = given_to(name, model, padding)
            if padding and "attention_mask" not in given:
                continue
            untouched = answers(model, given)
            with silenced(model, kept):
                want = answers(model, given)
            same(f"{attention}, {padding or 'no'} padding", answers(changed, given), want)
            seen = max(seen, apart(untouched, want))
        did.append(attention)
    model.set_attn_implementation("eager")
    changed.set_attn_implementation("eager")
    if not seen > BAND and any(
        len(h) < s.read(model).geometry.heads for s, h in zip(sites, kept.values(), strict=True)
    ):
        raise Wrong("silenced heads cannot be seen in its answer")
    if hasattr(model, "generate") and model.can_generate():
        did.append(check_written(model, changed, kept, plain))
    did.append(check_dropped(name, model, sites, plain))
    with torch.no_grad():
        want = answers(changed, plain)
    save_model(folder, changed, plan)
    torch.save([plain, want], folder.with_suffix(".pt"))
    return ", ".join(x for x in did if x)


def check_written(model: Any, changed: Any, kept: Any, given: dict[str, Any]) -> str:
    asked = {key: x for key, x in given.items() if not key.startswith("decoder_")}
    try:
        with silenced(model, kept):
            want = written(model, asked, cache=True)
            anew = written(model, asked, cache=False)
    except Exception as error:  # the original does not write with what it was given
        return f"no generate ({str(error)[:60]})"
    same("generate with a cache", written(changed, asked, cache=True), want)
    same("generate without a cache", written(changed, asked, cache=False), anew)
    return "generate"


def check_dropped(name: str, model: Any, sites: list[Site], given: dict[str, Any]) -> str:
    reasons = collections.Counter[str]()
    done = 0
    for site in sites[:: max(1, len(sites) // 3)]:
        try:
            dropped = Plan(moves={site.name: (DropSite(),)}).apply(model)
        except UnsupportedError as error:
            reasons[str(error).partition(", ")[2]] += 1
            continue
        with silenced(model, {site.name: ()}):
            want = answers(model, given)
        same(f"{site.name} dropped", answers(dropped, given), want)
        if hasattr(model, "generate") and model.can_generate():
            check_written(model, dropped, {site.name: ()}, given)
        done += 1
    return "dropped" if done else f"not dropped ({next(iter(reasons))})"


def tried(name: str, folder: Path) -> str:
    """What became of one configuration, in words."""
    kind = getattr(transformers, KINDS[name])
    try:
        model = built(kind, config_of(name), "eager").float()
        given = given_to(name, model, None)
        answers(model, given)
    except Exception as error:  # whatever keeps it from being built small
        return f"not built: {said(error, 100)}"
    return outcome(model, lambda sites: check(name, model, sites, folder))


def reload(folder: Path) -> None:
    """In a process of its own: load what was saved, and print what is not the same."""
    for each in sorted(folder.glob("*.pt")):
        given, want = torch.load(each)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                distance = apart(answers(load_model(each.with_suffix("")), given), want)
        except Exception as error:  # whatever is raised
            print(json.dumps([each.stem, said(error)]))
            continue
        words = "" if distance <= 1e-6 else f"loaded, it is off by {distance:.1e}"
        print(json.dumps([each.stem, words]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=cast(str, __doc__).partition("\n")[0])
    parser.add_argument("names", nargs="*", help="configurations; all without")
    parser.add_argument("--write", type=Path, help="write a JSON object")
    parser.add_argument("--reload", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    if asked.reload is not None:
        reload(asked.reload)
        return
    found: dict[str, str] = {}
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        for name in asked.names or KINDS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = tried(name, Path(temporary) / name)
            print(f"{name:24} {found[name]}", flush=True)
        for name, found[name] in wrong_again(__file__, temporary):
            print(f"{name:24} {found[name]}")
    for words, count in collections.Counter(x.partition(":")[0] for x in found.values()).items():
        print(f"{count:5}  {words}")
    about = {x: importlib.metadata.version(x) for x in ("transformers", "torch")}
    print(f"{about}, {time.perf_counter() - begun:.0f} s")
    if asked.write is not None:
        asked.write.write_text(json.dumps({"versions": about, "changed": found}, indent=1) + "\n")
    sys.exit(any("WRONG" in x for x in found.values()))


if __name__ == "__main__":
    main()
