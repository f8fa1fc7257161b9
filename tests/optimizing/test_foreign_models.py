"""Models of other libraries, end to end: optimised, saved, and loaded in a new process."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import heedful
from heedful.allocation.moves import KeepHeads
from heedful.allocation.plan import Plan
from heedful.allocation.stored import save_model
from heedful.errors import BudgetError
from heedful.files import read_json
from heedful.optimizing.of_model import ModelSpec

T = pytest.importorskip("transformers")
# The seams of other libraries warn of things that are theirs to change.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

WORDS, LENGTH, CLASSES, ROWS = 30, 9, 3, 8
PAD, BEGIN, END, IGNORED = 0, 1, 2, -100
TOKENS = {"pad_token_id": PAD, "bos_token_id": BEGIN, "eos_token_id": END}
SIZES = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": 4}
TEXT = {"vocab_size": WORDS, "max_position_embeddings": 32}
PAIR = {"d_model": 24, "decoder_start_token_id": PAD, "forced_eos_token_id": None}
for part in ("encoder", "decoder"):
    PAIR |= {f"{part}_layers": 1, f"{part}_attention_heads": 4, f"{part}_ffn_dim": 40}
EXAMPLE = Path(__file__).parents[2] / "examples" / "optimise_any_model.py"
# all models are loaded by one new process, since importing transformers takes seconds
ANSWER = """
import importlib.util, sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
import heedful

def example():
    spec = importlib.util.spec_from_file_location("example", sys.argv[2])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Classifier()

torch.set_num_threads(int(sys.argv[3]))
for folder in sorted(Path(sys.argv[1]).iterdir()):
    plain = folder.name == "plain"
    model = heedful.load(folder, into=example() if plain else None, device="cpu")
    batch = load_file(folder / "batch")
    answers = {}
    with torch.inference_mode():
        answers["output"] = model(batch["tokens"]) if plain else model(**batch).logits
        if getattr(model, "generation_config", None) is not None:
            answers["written"] = model.generate(batch["input_ids"])
    save_file(answers, folder / "answers")
"""


def draw(*shape, seed, low=3, high=WORDS):
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))


def padded(tokens):
    """The second half of every other row is padding."""
    mask = torch.ones_like(tokens)
    mask[::2, tokens.shape[1] // 2 :] = 0
    return mask


def classified(seed):
    tokens = draw(ROWS, LENGTH, seed=seed)
    mask = padded(tokens)
    return {
        "input_ids": tokens.where(mask == 1, PAD),
        "attention_mask": mask,
        "labels": tokens[:, 0] % CLASSES,
    }


def continued(seed):
    tokens = draw(ROWS, 4, seed=seed).repeat(1, LENGTH)[:, :LENGTH]
    return {"input_ids": tokens, "labels": tokens.where(padded(tokens).flip(1) == 1, IGNORED)}


def pictures(seed):
    random = torch.Generator().manual_seed(seed)
    labels = draw(ROWS, seed=seed, low=0, high=CLASSES)
    pixels = torch.randn(ROWS, 1, 8, 8, generator=random) + labels[:, None, None, None]
    return {"pixel_values": pixels, "labels": labels}


def translated(seed):
    tokens = draw(ROWS, LENGTH, seed=seed)
    mask = padded(tokens)
    return {
        "input_ids": tokens.where(mask == 1, PAD),
        "attention_mask": mask,
        "labels": (WORDS + 2 - tokens).where(mask == 1, IGNORED),
    }


def bert():
    return T.BertForSequenceClassification(T.BertConfig(**SIZES, **TEXT, num_labels=CLASSES))


def gpt2():
    sizes = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 32, "vocab_size": WORDS}
    return T.GPT2LMHeadModel(T.GPT2Config(**sizes, **TOKENS))


def llama():
    return T.LlamaForCausalLM(T.LlamaConfig(**SIZES, **TEXT, **TOKENS, num_key_value_heads=2))


def vit():
    sizes = {"image_size": 8, "patch_size": 2, "num_channels": 1, "num_labels": CLASSES}
    return T.ViTForImageClassification(T.ViTConfig(**SIZES, **sizes))


def marian():
    return T.MarianMTModel(T.MarianConfig(**TEXT, **PAIR, **TOKENS))


def example():
    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ONCE = {"rounds": 1, "trials": 3, "finalists": 1, "final_steps": 5, "finals": 1}
# name -> (model, batch of a seed, how far its places are from the labels; None for one label each)
MODELS = {
    "bert": (bert, classified, None),
    "gpt2": (gpt2, continued, 1),
    "llama": (llama, continued, 1),
    "marian": (marian, translated, 0),
    "vit": (vit, pictures, None),
}


def batches(of, first, count):
    return [of(100 * first + number) for number in range(count)]


def taught(model, of):
    """Train for a few steps."""
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for batch in batches(of, 1, 8):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    return model.eval()


def losses(shift):
    """The mean loss of every example."""

    def quality(model, split):
        found = []
        for batch in split:
            logits, labels = model(**batch).logits, batch["labels"]
            if shift:
                logits, labels = logits[:, :-shift], labels[:, shift:]
            logits = logits if shift is None else logits.mT
            loss = torch.nn.functional.cross_entropy(
                logits, labels, reduction="none", ignore_index=IGNORED
            )
            found.append(loss if shift is None else loss.sum(1) / (labels != IGNORED).sum(1))
        return torch.cat(found)

    return quality


def optimised(name, kit, *, lose="loss 300%", **settings):
    build, of, shift = MODELS[name]
    torch.manual_seed(0)
    model = build()
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.max_new_tokens = 5
    data = heedful.OptimizeData(
        calibration=batches(of, 2, 2), dev=batches(of, 3, 5), test=batches(of, 4, 5)
    )
    return heedful.optimize(
        taught(model, of),
        data=data,
        quality=losses(shift),
        lose=lose,
        settings=kit.quick(**ONCE | settings),
    )


def optimised_example(kit):
    module = example()
    torch.manual_seed(0)
    data = heedful.OptimizeData(
        calibration=module.look_up(32, seed=2, rows=16),
        dev=module.look_up(40, seed=3),
        test=module.look_up(40, seed=4),
    )
    return heedful.optimize(
        module.Classifier().eval(),
        data=data,
        quality=module.accuracy,
        lose=0.9,
        settings=kit.quick(**ONCE),
        spec=ModelSpec(outputs="logits"),
    )


def said(model, batch, plain=False):
    answers = {}
    with torch.inference_mode():
        answers["output"] = model(batch["tokens"]) if plain else model(**batch).logits
        if getattr(model, "generation_config", None) is not None:
            answers["written"] = model.generate(batch["input_ids"])
    return answers


@pytest.mark.slow
def test_all_are_smaller_and_the_same_in_a_new_process(kit, timed, tmp_path):
    expected = {}
    for name in (*MODELS, "plain"):
        plain = name == "plain"
        outcome = optimised_example(kit) if plain else optimised(name, kit)
        assert outcome.accepted, outcome.reason
        for what in ("parameters", "attention_operations"):
            assert outcome.report[what]["after"] < outcome.report[what]["before"], name
        outcome.save(tmp_path / name)
        stored = load_file(tmp_path / name / "model.safetensors")
        learned = sum(stored[key].numel() for key, _ in outcome.model.named_parameters())
        assert learned == outcome.report["parameters"]["after"], name
        if plain:
            batch = {"tokens": example().look_up(7, seed=5)[0][0]}
        else:
            batch = MODELS[name][1](999)
            if name != "marian":  # whose decoder starts from its labels
                del batch["labels"]
        save_file({key: x.contiguous() for key, x in batch.items()}, tmp_path / name / "batch")
        expected[name] = said(outcome.model, batch, plain)
    assert expected["gpt2"]["written"].shape[1] == LENGTH + 5  # as its generation_config says
    assert set(expected["marian"]) == {"output", "written"}
    answer = [sys.executable, "-c", ANSWER, tmp_path, EXAMPLE, str(torch.get_num_threads())]
    subprocess.run([str(x) for x in answer], check=True)
    for name, answers in expected.items():
        found = load_file(tmp_path / name / "answers")
        assert found.keys() == answers.keys(), name
        for what, tensor in answers.items():
            assert torch.equal(found[what], tensor), (name, what)


def test_what_loses_too_much_is_refused_with_the_reason(kit, timed, tmp_path):
    # fine-tuning would make this little taught model better than it was
    untuned = {"finetune_steps": 0, "finalist_steps": 0, "finals": 0}
    outcome = optimised("bert", kit, lose="loss 0.000001%", **untuned)
    assert not outcome.accepted
    assert "got none that does; loosen the budget or fine-tune longer" in outcome.reason
    with pytest.raises(BudgetError, match="loosen the budget"):
        outcome.save(tmp_path / "refused")
    assert [path.name for path in (tmp_path / "refused").iterdir()] == ["report.json"]
    assert read_json(tmp_path / "refused" / "report.json")["reason"] == outcome.reason


def test_a_decoder_starts_from_the_labels_where_nothing_else_is_given(kit):
    model, batch = marian().eval(), translated(1)
    started = model.prepare_decoder_input_ids_from_labels(labels=batch["labels"])
    problem = kit.problem(
        model,
        data=heedful.OptimizeData(calibration=[batch], dev=[translated(2)], test=[translated(3)]),
        quality=losses(0),
        higher=False,
    )
    expected = model(**batch).logits[batch["labels"] != IGNORED]
    assert torch.equal(problem.outputs(model, batch), expected)
    given = {**batch, "decoder_input_ids": started.flip(0)}
    assert not torch.equal(problem.outputs(model, given), expected)


@pytest.mark.parametrize("build", [gpt2, llama])
def test_labels_of_the_next_token_stand_at_the_place_before(build, kit):
    model, batch = build().eval(), continued(1)
    problem = kit.problem(
        model,
        data=heedful.OptimizeData(calibration=[batch], dev=[continued(2)], test=[continued(3)]),
        quality=losses(1),
        higher=False,
        spec=ModelSpec(),
    )
    counts = batch["labels"][:, 1:] != IGNORED
    expected = model(**batch).logits[:, :-1][counts]
    assert 0 < counts.sum() < counts.numel()
    assert torch.equal(problem.outputs(model, batch), expected)


def test_half_precision_comes_back_as_it_was(tmp_path):
    half = T.LlamaConfig(**SIZES, **TEXT, **TOKENS, dtype="bfloat16")
    model = T.LlamaForCausalLM._from_config(half).eval()
    plan = Plan(moves={"model.layers.1.self_attn": (KeepHeads(heads=(1, 2)),)})
    smaller = plan.apply(model)
    smaller.config.dtype = None  # as `model.to(dtype)` leaves it: the config need not know
    save_model(tmp_path / "half", smaller, plan)
    loaded = heedful.load(tmp_path / "half", device="cpu")
    tokens = continued(1)["input_ids"]
    assert loaded.dtype == torch.bfloat16
    with torch.inference_mode():
        assert torch.equal(loaded(tokens).logits, smaller(tokens).logits)
