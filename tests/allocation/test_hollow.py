"""Models without numbers: built so, given some, and filled from a file."""

import threading

import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from heedful.allocation.hollow import give_numbers, replace_parameters, without_numbers
from heedful.allocation.moves import DropSite, KeepHeads, ShareKeyValue
from heedful.allocation.plan import Plan
from heedful.allocation.stored import load_model, save_model

WIDE = {"vocab_size": 400, "num_hidden_layers": 8, "num_attention_heads": 4}


class Allocated(TorchDispatchMode):
    """How many bytes the storages have at most that appear, of those that are there at a time."""

    def __init__(self):
        super().__init__()
        self.most, self.live = 0, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for x in found if isinstance(found, list | tuple) else [found]:
            if isinstance(x, torch.Tensor) and x.device.type == "cpu":
                storage = x.untyped_storage()
                self.live = {ref: size for ref, size in self.live.items() if not ref.expired()}
                self.live[StorageWeakRef(storage)] = storage.nbytes()
                self.most = max(self.most, sum(self.live.values()))
        return found


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 3)
        self.site = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        self.out = nn.Linear(3, 5)
        self.out.weight = self.words.weight
        self.register_buffer("places", torch.arange(4))


def test_parameters_have_shapes_alone_and_buffers_their_numbers():
    others = []
    with without_numbers():
        model = Tied()
        thread = threading.Thread(target=lambda: others.append(nn.Linear(2, 2)))
        thread.start()
        thread.join()
    assert all(parameter.is_meta for parameter in model.parameters())
    assert model.out.weight is model.words.weight
    assert model.places.tolist() == [0, 1, 2, 3]
    assert not others[0].weight.is_meta  # of another thread, which did not ask for that
    assert not nn.Linear(2, 2).weight.is_meta


def test_some_modules_get_numbers_and_what_is_shared_stays_so():
    with without_numbers():
        model = Tied()
    give_numbers(model, ["site.0", "out"])
    assert not model.site[0].weight.is_meta
    assert model.site[0].weight.isfinite().all()
    assert model.site[1].weight.is_meta
    assert model.out.weight is model.words.weight
    assert not model.out.weight.is_meta
    new = nn.Parameter(torch.zeros(5, 3))
    replace_parameters(model, {id(model.out.weight): new})
    assert model.words.weight is model.out.weight is new


def checkpoint(kind, transformers, **more):
    sizes = {**WIDE, "hidden_size": 64, "intermediate_size": 256, "max_position_embeddings": 32}
    config = getattr(transformers, f"{kind.split('For')[0].removesuffix('Model')}Config")
    torch.manual_seed(0)
    return getattr(transformers, kind)(config(**sizes, **more)).eval()


def activations(model):
    """Which of them a layer of 8 bits computes."""
    return [name for name, part in model.named_modules() if isinstance(part, nn.Identity)]


PLANS = {
    "bert": ("BertModel", {}, "encoder.layer.{}.attention", "encoder.layer.1"),
    "llama": (
        "LlamaForCausalLM",
        {"num_key_value_heads": 2, "tie_word_embeddings": True},
        "model.layers.{}.self_attn",
        "model.layers.1",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_a_saved_model_is_filled_without_its_original_being_there(tmp_path, name):
    transformers = pytest.importorskip("transformers")
    kind, more, site, layer = PLANS[name]
    whole = checkpoint(kind, transformers, **more)
    names = [site.format(0), site.format(2)]
    moves = {names[0]: (KeepHeads(heads=(0, 1)),), names[1]: (DropSite(),)}
    plan = Plan(moves=moves, dropped_layers=(layer,), linear="int8", narrowest=1)
    model = plan.apply(whole).eval()
    save_model(tmp_path / "saved", model, plan)
    text = {"input_ids": torch.arange(20).reshape(2, 10)}
    with torch.inference_mode():
        wanted = model(**text)[0]
    with Allocated() as seen:
        again = load_model(tmp_path / "saved")
    with torch.inference_mode():
        assert torch.equal(again(**text)[0], wanted)
    assert not any(x.is_meta for x in (*again.parameters(), *again.buffers()))
    assert activations(again) == activations(model)
    in_full = sum(x.numel() * 4 for x in whole.parameters())
    assert seen.most < in_full / 2  # some layers of it; before, twice all of it


def test_moves_that_choose_by_numbers_have_some_to_choose_by(tmp_path):
    transformers = pytest.importorskip("transformers")
    model = checkpoint("BertModel", transformers)
    site = "encoder.layer.1.attention"
    plan, changed = Plan(moves={site: (ShareKeyValue(kv_heads=2),)}).resolved(model)
    save_model(tmp_path / "saved", changed, plan)
    again, text = load_model(tmp_path / "saved"), torch.arange(20).reshape(2, 10)
    with torch.inference_mode():
        assert torch.equal(again(text)[0], changed.eval()(text)[0])
