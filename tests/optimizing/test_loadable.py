"""Results that open without heedful: what is offered, what is refused, what is checked."""

import pytest

from heedful.allocation.moves import KeepHeads, LowPrecision
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.allocation.stock import drop_biases
from heedful.bench.timing import Ratio
from heedful.errors import UnsupportedError, VerificationError
from heedful.optimizing import loadable, proof
from heedful.optimizing.loadable import as_plain, check_loadable, loadable_only
from heedful.optimizing.of_model import ModelSpec, problem_of_batches
from heedful.optimizing.operations import record_usage
from heedful.optimizing.optimize import optimize
from heedful.optimizing.optimize_data import OptimizeData
from heedful.optimizing.problem import Reference
from heedful.optimizing.reconstruct import reconstruct
from heedful.optimizing.settings import OptimizeSettings
from heedful.optimizing.site_costs import SiteCosts
from heedful.optimizing.site_options import find_options

T = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

SIZES = {
    "vocab_size": 9, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 20, "max_position_embeddings": 64, "pad_token_id": 0,
    "initializer_range": 0.3,
}  # fmt: skip


def qwen():
    torch.manual_seed(0)
    return T.Qwen3Model(T.Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=6)).eval()


def problem_of(model):
    draw = torch.Generator().manual_seed(1)
    batches = [{"input_ids": torch.randint(1, 9, (5, 7), generator=draw)} for _ in range(3)]
    return problem_of_batches(model, batches, ModelSpec(), unsaid="values")


def options_of(model, *, plain=True):
    problem = problem_of(model)
    start = unfused(problem.model)
    sites = find_sites(start)[0]
    usage = record_usage(start, sites, problem.runs(start))
    return find_options(start, sites, problem, usage, seed=0, plain=plain), problem, usage


def test_all_sites_go_the_same_way_in_words_of_the_config():
    options, problem, usage = options_of(qwen())
    offered = loadable_only(options)
    labels = [[option.label for option in each] for each in offered.of.values()]
    assert labels[0] == labels[1]
    assert labels[0][0] == "as it is"
    assert {"2 heads", "4 heads on 1"} <= set(labels[0])
    assert not any(word in label for label in labels[0] for word in ("int8", "drop", "window"))
    costs = SiteCosts("macs", options.model, options.sites, usage, problem.work)
    (levels,) = table = offered.table(costs, Reference(problem), lambda done: None)
    assert [level.cost for level in levels[1:]] == sorted(level.cost for level in levels[1:])
    assert levels[0].cost > max(level.cost for level in levels[1:])
    best = max(range(len(levels)), key=lambda index: levels[index].divergence)
    moves = offered.moves_of((best,), table)
    assert moves.keys() == {site.name for site in options.sites}
    assert offered.moves_of((0,), table) == {}
    changed = offered.build(moves)
    assert all(site.read(changed).out_bias is None for site in options.sites)
    reconstruct(changed, options.model, list(options.sites), problem)
    assert all(site.read(changed).out_bias is None for site in options.sites)
    plain = as_plain(changed, problem)
    heads = options.sites[0].read(changed).geometry
    assert plain.config.num_attention_heads == heads.heads
    assert plain.config.num_key_value_heads == heads.kv_heads


def test_least_squares_without_a_constant_are_the_best_ones():
    model = qwen()
    problem = problem_of(model)
    sites = find_sites(model)[0][:1]
    changed = Plan(moves={sites[0].name: (KeepHeads(heads=(0, 1)),)}).apply(model)
    drop_biases(changed, {name for name, _ in model.named_parameters()})
    heard = {"x": [], "y": []}
    out = sites[0].adapter.hook_points(sites[0].of(changed)).out
    out.register_forward_hook(lambda module, args, _: heard["x"].append(args[0].flatten(0, -2)))
    whole = sites[0].adapter.hook_points(sites[0].of(model)).out
    whole.register_forward_hook(lambda module, args, y: heard["y"].append(y.flatten(0, -2)))
    with torch.no_grad():
        for batch in problem.calibration:
            model(**batch)
            changed(**batch)
    x, y = (torch.cat(heard[name]).double() for name in ("x", "y"))
    want = torch.linalg.lstsq(x, y).solution
    reconstruct(changed, model, sites, problem)
    found = out.weight.detach().double().T
    assert (x @ found - y).square().sum() <= 1.01 * (x @ want - y).square().sum()


def test_a_class_without_words_is_refused_before_the_work():
    one = {**SIZES, "num_hidden_layers": 1}
    bert = T.BertModel(T.BertConfig(**one)).eval()
    with pytest.raises(UnsupportedError, match=r"in words of its own config, got a plain .*Bert"):
        check_loadable(bert, find_sites(bert)[0])
    for enough in (qwen(), T.BertModel(T.BertConfig(**SIZES)).eval()):
        check_loadable(enough, find_sites(enough)[0])
    alone = T.LlamaModel(T.LlamaConfig(**{**one, "num_attention_heads": 1})).eval()
    with pytest.raises(UnsupportedError, match="must have heads to spend less, got one a site"):
        check_loadable(alone, find_sites(alone)[0])


def test_one_bit_is_too_much(monkeypatch):
    model = qwen()
    problem = problem_of(model)
    real = loadable.stock_model

    def other(changed):
        plain = real(changed)
        plain.norm.weight.data[0] *= 1.5
        return plain

    monkeypatch.setattr(loadable, "stock_model", other)
    with pytest.raises(VerificationError, match=r"bit for bit, got \S+ between them"):
        as_plain(unfused(model), problem)


def test_what_no_config_says_is_not_offered():
    options, *_ = options_of(T.BertModel(T.BertConfig(**SIZES)).eval(), plain=False)
    assert any(
        isinstance(move, LowPrecision) or option.label == "2 heads"
        for option in options.of["encoder.layer.0.attention"]
        for move in option.moves
    )
    assert not loadable_only(options).any


def splits_of(seed):
    """Batches of five texts for each split; no text is in two."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.unique(torch.randint(1, 9, (400, 7), generator=draw), dim=0)
    batches = [{"input_ids": rows[at : at + 10]} for at in range(0, 150, 10)]
    return OptimizeData(calibration=batches[:3], dev=batches[3:9], test=batches[9:])


def test_a_search_that_goes_on_and_a_result_that_opens_again(tmp_path, monkeypatch):
    model = qwen()
    latency = {"before": 2.0, "after": 1.0}
    monkeypatch.setattr(proof, "_timed", lambda *_: (Ratio(2, 1.9, 2.1), latency))

    @torch.no_grad()
    def quality(other, batches):
        pairs = [(model(**batch)[0].mean(1), other(**batch)[0].mean(1)) for batch in batches]
        return torch.cat([torch.cosine_similarity(a, b) for a, b in pairs])

    def found():
        return optimize(
            model, data=splits_of(0), quality=quality, lose=1.5, settings=settings,
            resume=tmp_path / "search",
        )  # fmt: skip

    settings = OptimizeSettings(
        goal="macs", rounds=1, trials=2, finalists=1, finalist_steps=0, finetune_steps=1,
        final_steps=2, loadable="transformers",
    )  # fmt: skip
    first, again = found(), found()
    assert first.accepted
    assert again.accepted
    assert first.plan == again.plan
    assert again.model.config.to_dict() == first.model.config.to_dict()
    inputs = splits_of(1).dev[0]
    first.save(tmp_path / "plain")
    opened = T.Qwen3Model.from_pretrained(tmp_path / "plain").eval()
    assert opened.config.num_attention_heads * opened.config.num_key_value_heads < 4 * 2
    with torch.no_grad():
        assert torch.equal(opened(**inputs)[0], first.model(**inputs)[0])
