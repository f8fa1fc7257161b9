"""A checkpoint is profiled as a file would be read: in its order, with its padding."""

import pytest

from heedful.bench.timing import Ratio
from heedful.checkpoints import profile as file
from heedful.checkpoints.apply import apply_to_checkpoint
from heedful.checkpoints.examples import CheckpointData
from heedful.checkpoints.profile import profile_checkpoint
from heedful.errors import ConfigError
from heedful.profiling import _enough

T = pytest.importorskip("transformers")


def test_sites_costs_and_padding(encoder, lines, monkeypatch):
    monkeypatch.setattr(file, "ratio", lambda *_: Ratio(2.0, 1.9, 2.1))
    found = profile_checkpoint(encoder, CheckpointData(path=lines), leave_out=0)
    assert [site.name for site in found.sites] == [f"encoder.layer.{n}.attention" for n in (0, 1)]
    padding = next(each for each in found.findings if each.name == "padding")
    assert "in the order of the file" in padding.text
    assert padding.gain == 2
    assert found.to_json()["findings"]


def test_padding_that_costs_no_time_is_not_said(encoder, lines, monkeypatch):
    monkeypatch.setattr(file, "ratio", lambda *_: Ratio(0.99, 0.78, 1.2))
    found = profile_checkpoint(encoder, CheckpointData(path=lines), leave_out=0)
    assert "padding" not in [each.name for each in found.findings]


def test_what_was_optimised_is_profiled_too(encoder, lines, tmp_path):
    """Where a site is gone, a parameter goes into what comes behind it."""
    (tmp_path / "plan.toml").write_text(
        'version = 1\n[[site]]\nname = "encoder.layer.0.attention"\nwas = "3 x 4"\n'
        '[[site.move]]\nmove = "drop_site"\n'
    )
    data = CheckpointData(path=lines)
    apply_to_checkpoint(tmp_path / "plan.toml", encoder, data, output=tmp_path / "less")
    found = profile_checkpoint(tmp_path / "less", data, leave_out=0)
    assert [site.name for site in found.sites] == ["encoder.layer.1.attention"]


def test_padding_of_one_batch_is_said_without_a_gain(encoder, lines, monkeypatch):
    monkeypatch.setattr(_enough, "MULTIPLY_ADDS", 1)
    found = profile_checkpoint(encoder, CheckpointData(path=lines), leave_out=0)
    padding = next(each for each in found.findings if each.name == "padding")
    assert (found.batches, padding.gain) == (1, None)


def test_texts_need_no_data(encoder):
    assert profile_checkpoint(encoder, leave_out=0).whole.longest == 30  # the tokeniser's limit


def test_images_need_data(save):
    pytest.importorskip("PIL")
    config = T.ViTConfig(
        hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=8,
        image_size=8, patch_size=4,
    )  # fmt: skip
    folder = save("ViTModel", config, T.ViTImageProcessor(size={"height": 8, "width": 8}))
    with pytest.raises(ConfigError, match=r"--data must name a folder for a model that reads no"):
        profile_checkpoint(folder)


def test_so_many_examples_are_looked_at(encoder, lines, monkeypatch):
    monkeypatch.setattr(file, "LOOKED_AT", 40)
    seen = []
    monkeypatch.setattr(file, "profile", lambda model, batches, **_: seen.append(batches) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        profile_checkpoint(encoder, CheckpointData(path=lines))
    assert [len(batch["input_ids"]) for batch in seen[0]] == [32, 8]


def test_the_padding_of_what_writes_is_timed_with_what_its_decoder_reads(save, sizes):
    from heedful.checkpoints import profile as module
    from heedful.checkpoints.examples import CheckpointExample
    from heedful.checkpoints.folder import open_checkpoint
    from heedful.checkpoints.heads import head_of

    config = T.MarianConfig(
        vocab_size=sizes["vocab_size"], d_model=12, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=3, decoder_attention_heads=3, encoder_ffn_dim=16,
        decoder_ffn_dim=16, max_position_embeddings=40, pad_token_id=0, bos_token_id=2,
        eos_token_id=3, decoder_start_token_id=2, forced_eos_token_id=None,
    )  # fmt: skip
    checkpoint = open_checkpoint(save("MarianMTModel", config))
    head, model = head_of(checkpoint), checkpoint.model
    texts = ["a b c d e f g h i j k" if number % 4 == 0 else "a" for number in range(64)]
    examples = [CheckpointExample(text=text, target="b c") for text in texts]
    plain = module._batches(head, model, [examples[:32], examples[32:]])
    assert module._padding(head, model, examples, plain) is not None
