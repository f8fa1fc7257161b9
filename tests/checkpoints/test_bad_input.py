"""What a user may get wrong about a checkpoint: one clear line, exit code 2, nothing written."""

import json

import pytest

from heedful.cli import main

pytest.importorskip("transformers")


def without_config(folder, data):
    (folder / "config.json").unlink()


def pickled(folder, data):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def of_class(name):
    def change(folder, data):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"architectures": [name]}))

    return change


def without_tokenizer(folder, data):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def holds(text):
    return lambda folder, data: data.write_text(text)


def table(text):
    def change(folder, data):
        data.unlink()
        data.with_suffix(".csv").write_text(text)

    return change


CASES = {
    "no config": (without_config, "or a checkpoint of Hugging Face (config.json), got neither in "),
    "pickled": (pickled, "weights must be safetensors, got pickled ones alone: pytorch_model.bin"),
    "unknown head": (of_class("BertForTokenClassification"), "must hold all weights of BertForTok"),
    "unknown class": (of_class("MineModel"), "must name a class of transformers "),
    "no tokeniser": (without_tokenizer, "must hold its tokeniser, got none of vocab.txt, "),
    "empty": (holds(""), "must have at least one line, got an empty file"),
    "one line": (holds("a b c\n"), "data must have about 300 examples, 30 for each split, got 1 "),
    "no column": (table("body,stars\na,1\n"), "must have a column 'text', got body, stars. Say "),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_said_in_one_line(encoder, lines, tmp_path, capsys, case):
    change, must = CASES[case]
    change(encoder, lines)
    data = lines if lines.exists() else lines.with_suffix(".csv")
    there = sorted(path.name for path in tmp_path.iterdir())
    words = ["optimize", str(encoder), "--data", str(data), "--lose", "cosine 0.1"]
    with pytest.raises(SystemExit) as left:
        main([*words, "-o", str(tmp_path / "out")])
    assert left.value.code == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("heedful: ")]
    assert len(said) == 1
    assert must in said[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == there


def test_a_head_that_nobody_knows(save, sizes, lines, capsys):
    import transformers

    folder = save("BertForTokenClassification", transformers.BertConfig(**sizes))
    with pytest.raises(SystemExit) as left:
        main(["profile", str(folder), "--data", str(lines)])
    assert left.value.code == 2
    assert "heedful: the class of a checkpoint must end in ForMaskedLM, " in capsys.readouterr().err


def test_what_reads_images_and_texts_together(save, sizes, lines, capsys):
    import transformers

    small = {"hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 1}
    small |= {"num_attention_heads": 3}
    config = transformers.CLIPConfig(
        text_config={**small, "vocab_size": sizes["vocab_size"], "max_position_embeddings": 40},
        vision_config={**small, "image_size": 8, "patch_size": 4},
    )
    folder = save("CLIPModel", config)
    with pytest.raises(SystemExit) as left:
        main(["profile", str(folder), "--data", str(lines)])
    assert left.value.code == 2
    must = "a checkpoint must read one of input_ids, pixel_values, input_values, input_features, "
    assert f"heedful: {must}got input_ids and pixel_values of CLIPModel" in capsys.readouterr().err
