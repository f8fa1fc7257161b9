"""Products of 8 bits in ONNX Runtime: the same numbers as in torch, and a smaller file."""

from collections import Counter

import pytest

import heedful
from heedful.allocation.moves import KeepHeads, LowPrecision
from heedful.errors import UnsupportedError

T = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

INT8 = LowPrecision(precision="int8")


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.cpu._is_vnni_supported(), reason="ONNX Runtime's sums of 8 bits need VNNI to be exact"
)
def test_it_multiplies_in_8_bits(checkpoint, smaller, sizes, texts, tmp_path):
    import onnx

    folder = checkpoint("BertModel", T.BertConfig(**sizes))
    moves = {
        "encoder.layer.0.attention": (KeepHeads(heads=(0, 2)), INT8),
        "encoder.layer.1.attention": (INT8,),
    }
    changed, out = smaller(folder, moves), tmp_path / "out"
    about = heedful.export(changed, to="onnx-int8", output=out, data=texts)
    assert about["rounded"] == []
    check = about["checks"][0]
    assert check["allowed"] < check["largest_value"] / 100
    graph = onnx.load(out / "model.onnx").graph
    assert Counter(node.op_type for node in graph.node)["MatMulInteger"] == 8
    kinds = {tuple(x.dims): x.data_type for x in graph.initializer if len(x.dims) == 2}
    assert kinds[12, 8] == onnx.TensorProto.INT8
    session = onnxruntime.InferenceSession(out / "model.onnx")
    rows = T.AutoTokenizer.from_pretrained(out)(["a b c", "d"], padding=True, return_tensors="pt")
    given = {each.name: rows[each.name].numpy() for each in session.get_inputs()}
    got = torch.from_numpy(session.run(None, given)[0])
    with torch.no_grad():
        want = heedful.load(changed)(**rows).last_hidden_state
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


def test_without_such_layers_it_is_refused(checkpoint, smaller, sizes, texts, tmp_path):
    folder = checkpoint("BertModel", T.BertConfig(**sizes))
    with pytest.raises(UnsupportedError, match="must have layers in int8 to be written with them"):
        heedful.export(folder, to="onnx-int8", output=tmp_path / "out", data=texts)
    assert not (tmp_path / "out").exists()


def test_so_it_is_for_runs(run, tmp_path):
    with pytest.raises(UnsupportedError, match="must have layers in int8 to be written with them"):
        heedful.export(run, to="onnx-int8", output=tmp_path / "out")
