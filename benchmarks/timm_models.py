"""Change the attention of timm's and torchvision's models, and hold each against its original.

Models whose attention is of the same classes with the same parts stand for each other: of each such
kind the smallest is built, with random numbers. At every site that can be changed some heads go.
What is left must give what the original gives when these heads are silenced where their weights or
answers are computed, which is known without a look at any layer. Then up to three whole sites go,
one at a time; then the changed model is saved, loaded in another process, and must be the same.

    pip install torch==2.14.1 torchvision==0.29.1 timm==1.0.31
    python benchmarks/timm_models.py --write changes.json
    python benchmarks/timm_models.py swin_tiny_patch4_window7_224 torchvision/maxvit_t
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
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import timm
import torch
import torchvision
from _changes import Wrong, outcome, said, wrong_again
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.plan import Plan
from heedful.allocation.sites import Site, find_sites
from heedful.allocation.stored import load_model, save_model
from heedful.errors import UnsupportedError
from heedful.probing.unsupported import why_unsupported

BAND = 2e-4  # of the largest answer, in 32 bits; what is wrong is off by far more
MOST = 40_000_000  # parameters: what is larger has a smaller one of its kind, or is not tried
OTHER = "torchvision/"
ATTENDING = ("vit", "swin", "maxvit", "mvit")  # words in the names of torchvision's that attend


def built(name: str) -> Any:
    """A model with random numbers, of which none is so small that heads could not be seen."""
    torch.manual_seed(0)
    if name.startswith(OTHER):
        model = torchvision.models.get_model(name.removeprefix(OTHER), weights=None)
    else:
        model = timm.create_model(name, pretrained=False)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            numbers = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                fan = parameter[0].numel() if parameter.shape[0] > 1 else 40
                parameter.copy_(numbers / fan**0.5)
            else:
                parameter.copy_(0.1 * numbers + (not path.endswith("bias")))
        for path, buffer in model.named_buffers():  # of batch norms, which are folded into layers
            if path.endswith(("running_mean", "running_var")):
                numbers = torch.rand(buffer.shape, generator=generator)
                buffer.copy_(0.1 * numbers if path.endswith("mean") else numbers + 0.5)
    return model.eval()


def given_to(name: str, model: Any) -> Tensor:
    """Two images, or one short video."""
    if name.startswith(OTHER):
        video = "3d" in name or name.startswith(f"{OTHER}mvit")
        shape = (1, 3, 16, 224, 224) if video else (2, 3, 224, 224)
    else:
        shape = (2, *model.default_cfg["input_size"])
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def kinds(names: list[str]) -> dict[str, list[str]]:
    """By the smallest model of each kind of attention, all models of that kind."""
    groups: dict[Any, list[tuple[int, str]]] = {}
    for name in names:
        try:
            with torch.device("meta"):
                if name.startswith(OTHER):
                    model = torchvision.models.get_model(name.removeprefix(OTHER), weights=None)
                else:
                    model = timm.create_model(name, pretrained=False)
        except Exception as error:  # whatever keeps a model from being built without numbers
            print(f"{name:48} not looked at: {type(error).__name__}: {str(error)[:80]}", flush=True)
            continue
        kind = frozenset(kind_of(x) for x in model.modules() if why_unsupported(x) is not None)
        if kind:
            size = sum(x.numel() for x in model.parameters())
            groups.setdefault(kind, []).append((size, name))
    found = {}
    for each in groups.values():
        each.sort()
        if each[0][0] <= MOST:
            found[each[0][1]] = [name for _, name in each]
        else:
            print(f"{each[0][1]:48} not tried: {each[0][0]:,} parameters", flush=True)
    return found


def grouped(path: Path | None) -> dict[str, list[str]]:
    """The kinds of all models, from a file where there is one."""
    if path is not None and path.is_file():
        return json.loads(path.read_text())
    others = [x for x in torchvision.models.list_models() if any(w in x for w in ATTENDING)]
    found = kinds([*timm.list_models(), *(f"{OTHER}{name}" for name in others)])
    if path is not None:
        path.write_text(json.dumps(found, indent=1) + "\n")
    return found


def kind_of(module: nn.Module) -> Any:
    """What tells one kind of attention from another: its class, its parts, and what it is told."""
    parts = [(path, type(x).__name__) for path, x in module.named_modules()]
    own = [name for name, _ in module.named_parameters(recurse=False)]
    told = [(key, x) for key, x in sorted(vars(module).items()) if isinstance(x, bool | str)]
    told = [pair for pair in told if pair[0] != "training"]
    return (type(module).__module__, type(module).__name__, *map(str, (parts, own, told)))


class Silence(TorchFunctionMode):
    """Lets heads that are not kept weigh nothing, or answer nothing where that is fused.

    Args:
        kept: By the module of each site, which heads stay.
        heads: By the module of each site, how many it has.
    """

    def __init__(self, kept: dict[nn.Module, tuple[int, ...]], heads: dict[nn.Module, int]) -> None:
        super().__init__()
        self.kept, self.heads = kept, heads
        self.running: list[nn.Module] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if self.running and name in ("softmax", "scaled_dot_product_attention"):
            return self.silenced(result, self.running[-1])
        return result

    def silenced(self, x: Tensor, site: nn.Module) -> Tensor:
        heads = self.heads[site]
        there = x.new_zeros(heads)
        there[list(self.kept[site])] = 1
        axis = x.ndim - 3
        if type(site).__module__.endswith("nest") or (x.shape[axis] != heads and x.ndim == 5):
            axis = 1
        if x.ndim == 3 and x.shape[0] != heads:
            x = x.unflatten(0, (-1, heads))
            return (x * there[:, None, None]).flatten(0, 1)
        if x.shape[axis] != heads:
            raise LookupError(f"nobody knows where the {heads} heads of {tuple(x.shape)} stand")
        return x * there.view(-1, *(1 for _ in range(x.ndim - axis - 1)))


@contextmanager
def silenced(model: nn.Module, kept: dict[str, tuple[int, ...]]) -> Generator[None]:
    """Let the heads of sites that are not kept give 0."""
    sites = [site for site in find_sites(model)[0] if site.name in kept]
    modules = {site.of(model): kept[site.name] for site in sites}
    heads = {site.of(model): site.read(model).geometry.heads for site in sites}
    mode, handles = Silence(modules, heads), []
    before: list[tuple[Tensor, Tensor]] = []
    for module, heads_left in modules.items():
        if isinstance(module, nn.MultiheadAttention):  # computed where no mode hears it
            weight = module.out_proj.weight.detach()
            before.append((weight, weight.clone()))
            columns = weight.unflatten(1, (module.num_heads, -1))
            columns[:, [x for x in range(module.num_heads) if x not in heads_left]] = 0
            continue
        handles.append(module.register_forward_pre_hook(lambda m, _: mode.running.append(m)))
        handles.append(module.register_forward_hook(lambda *_: mode.running.pop() and None))
    try:
        with mode:
            yield
    finally:
        for handle in handles:
            handle.remove()
        for weight, old in before:
            weight.copy_(old)


def same(what: str, one: Tensor, other: Tensor) -> None:
    distance = apart(one, other)
    if not distance <= BAND:
        raise Wrong(f"{what} is off by {distance:.1e}")


def apart(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape or not other.isfinite().all():
        return float("inf")
    return float((one - other).abs().max()) / (float(other.abs().max()) or 1.0)


def kept_at(heads: int, number: int) -> tuple[int, ...]:
    """Which heads stay at a site: other halves at each."""
    if heads == 1:
        return (0,)
    return tuple(x for x in range(heads) if (x + number) % 2) or (0,)


@torch.no_grad()
def check(model: nn.Module, sites: list[Site], given: Tensor, folder: Path) -> str:
    """Change a model, and raise where it is not what it should be."""
    heads = {site.name: site.read(model).geometry.heads for site in sites}
    kept = {name: kept_at(count, number) for number, (name, count) in enumerate(heads.items())}
    plan = Plan(moves={site: (KeepHeads(heads=stay),) for site, stay in kept.items()})
    changed = plan.apply(model)
    cut = sum(x.numel() for x in model.parameters()) - sum(x.numel() for x in changed.parameters())
    several = any(count > 1 for count in heads.values())
    if cut <= 0 and several:
        raise Wrong(f"{cut} parameters less")
    untouched, found = model(given), changed(given)
    with silenced(model, kept):
        want = model(given)
    same("what is left", found, want)
    if several and not apart(untouched, want) > BAND:
        raise Wrong("silenced heads cannot be seen in its answer")
    words = dropped(model, sites, given)
    save_model(folder, changed, plan)
    torch.save([given, found], folder.with_suffix(".pt"))
    return words


def dropped(model: nn.Module, sites: list[Site], given: Tensor) -> str:
    reasons: list[str] = []
    done = 0
    for site in sites[:: max(1, len(sites) // 3)][:3]:
        try:
            smaller = Plan(moves={site.name: (DropSite(),)}).apply(model)
        except UnsupportedError as error:
            reasons.append(str(error).partition(", ")[2] or str(error))
            continue
        with silenced(model, {site.name: ()}):
            want = model(given)
        same(f"{site.name} dropped", smaller(given), want)
        done += 1
    return "dropped" if done else f"not dropped ({reasons[0]})"


def tried(name: str, folder: Path) -> str:
    """What became of one model, in words."""
    try:
        model = built(name)
        given = given_to(name, model)
        with torch.no_grad():
            answer = model(given)
    except Exception as error:  # whatever keeps it from running
        return f"not built: {said(error, 100)}"
    if not isinstance(answer, Tensor):
        return f"not built: it gives a {type(answer).__name__}"
    return outcome(model, lambda sites: check(model, sites, given, folder))


@torch.no_grad()
def reload(folder: Path) -> None:
    """In a process of its own: load what was saved, and print what is not the same."""
    for each in sorted(folder.rglob("*.pt")):
        name = str(each.relative_to(folder).with_suffix("")).replace("__", "/")
        given, want = torch.load(each)
        try:
            distance = apart(load_model(each.with_suffix(""), into=built(name))(given), want)
        except Exception as error:  # whatever is raised
            print(json.dumps([name, said(error)]))
            continue
        words = "" if distance <= 1e-6 else f"loaded, it is off by {distance:.1e}"
        print(json.dumps([name, words]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=cast(str, __doc__).partition("\n")[0])
    parser.add_argument("names", nargs="*", help="models; the smallest of each kind without")
    parser.add_argument("--write", type=Path, help="write a JSON object")
    parser.add_argument("--kinds", type=Path, help="which model stands for which: read, or written")
    parser.add_argument("--reload", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if asked.reload is not None:
        reload(asked.reload)
        return
    begun = time.perf_counter()
    groups = {x: [x] for x in asked.names} or grouped(asked.kinds)
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in groups:
            found[name] = tried(name, Path(temporary) / name.replace("/", "__"))
            print(f"{name:48} {len(groups[name]):4} {found[name]}", flush=True)
        for name, found[name] in wrong_again(__file__, temporary):
            print(f"{name:48} {found[name]}")
    count, models = collections.Counter[str](), collections.Counter[str]()
    for name, words in found.items():
        count[words.partition(":")[0]] += 1
        models[words.partition(":")[0]] += len(groups[name])
    for words in count:
        print(f"{count[words]:5} kinds, {models[words]:5} models  {words}")
    about = {x: importlib.metadata.version(x) for x in ("torch", "torchvision")}
    about["timm"] = timm.__version__
    print(f"{about}, {time.perf_counter() - begun:.0f} s")
    if asked.write is not None:
        told = {name: [len(groups[name]), words] for name, words in found.items()}
        asked.write.write_text(json.dumps({"versions": about, "changed": told}, indent=1) + "\n")
    sys.exit(any("WRONG" in x for x in found.values()))


if __name__ == "__main__":
    main()
