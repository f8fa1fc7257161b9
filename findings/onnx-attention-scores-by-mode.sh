#!/usr/bin/env bash
# onnx 1.23.2 and onnxruntime 1.32.0, CPU: the scores that the Attention operator (opsets 23 and 24) gives on request.
#
# Expected: as the operator is specified, qk_matmul_output_mode=0 gives the scaled product before softcap, 1 that after
# softcap, 2 that with the mask as well, where a key that may not be seen has -inf, and 3 the weights. onnx holds the
# operator as words, as a graph of plain operators (below "body", run by onnx) and as a reference in Python: all agree.
# Seen: the reference's mode 0 is its mode 1. With softcap=0.5 a score of 7.97 is given as 0.50, and who tests a runtime
# against it takes the right one for wrong. onnxruntime is as specified at 0, 1 and 3, yet its mode 2 has the lowest
# finite number, -3.4e38, for -inf where the mask is boolean or causal, and -inf only where the caller's mask of floats
# has it: isinf finds no hidden key, and the softmax of a row without a key to see is uniform, 0.33 of 3 keys, where
# mode 3 says 0. The operator's output itself is the same in all of these.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat >"$folder/scores.py" <<'PYTHON'
import numpy
import onnxruntime
from onnx import TensorProto, helper
from onnx.inliner import inline_selected_functions
from onnx.reference import ReferenceEvaluator

generator = numpy.random.default_rng(0)
query, key, value = (2 * generator.standard_normal((1, 1, 3, 8)).astype("float32") for _ in range(3))
product = query @ key.swapaxes(-1, -2)
past = numpy.tri(3, dtype=bool)
no_key = past.copy()
no_key[0] = False


def run(opset, mask=None, **settings):
    """Return the output and the scores of onnxruntime, of onnx's reference and of the operator's body."""
    given = {"query": query, "key": key, "value": value} | ({} if mask is None else {"mask": mask})
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.BOOL if x.dtype == bool else TensorProto.FLOAT, x.shape)
        for name, x in given.items()
    ]
    shapes = {"output": value.shape, "scores": product.shape}
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    node = helper.make_node("Attention", list(given), ["output", "", "", "scores"], **settings)
    graph = helper.make_graph([node], "attention", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=11)
    body = inline_selected_functions(model, [("", "Attention")], inline_schema_functions=True)
    assert all(node.op_type != "Attention" for node in body.graph.node)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    said = [session.run(None, given)] + [ReferenceEvaluator(proto).run(None, given) for proto in (model, body)]
    for output, _ in said:
        numpy.testing.assert_allclose(output, said[0][0], atol=1e-5)
    return [scores for _, scores in said]


def weights(scores):
    shares = numpy.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


for opset in (23, 24):
    for scale in (8**-0.5, 0.1):
        stages = {"scaled": scale * product, "capped": 0.5 * numpy.tanh(scale * product / 0.5)}
        stages["weights"] = weights(stages["capped"])
        for mode in (0, 1, 3):
            found = run(opset, scale=scale, softcap=0.5, qk_matmul_output_mode=mode)
            names = [[name for name, right in stages.items() if numpy.allclose(x, right, atol=1e-4)] for x in found]
            largest = " ".join(f"{numpy.abs(x).max():.2f}" for x in found)
            print(opset, f"scale {scale:.2f} mode {mode}", *(name for (name,) in names), largest)
    floats = numpy.where(past, 0, -numpy.inf).astype("float32")
    for name, mask in {"boolean": {"mask": past}, "causal": {"is_causal": 1}, "floats": {"mask": floats}}.items():
        print(opset, name, "mode 2", *(f"{x[0, 0, 0, 1]:.1e}" for x in run(opset, qk_matmul_output_mode=2, **mask)))
    before, after = (run(opset, no_key, qk_matmul_output_mode=mode)[0][0, 0, 0] for mode in (2, 3))
    print(opset, f"no key: softmax of mode 2 {weights(before)[0]:.2f}, mode 3 {after[0]:.2f}")
PYTHON
found="$("$folder/venv/bin/python" -W ignore "$folder/scores.py")"
echo "onnxruntime, reference, body:"
echo "$found"
each="scale 0.35 mode 0 scaled capped scaled 7.97 0.50 7.97
scale 0.35 mode 1 capped capped capped 0.50 0.50 0.50
scale 0.35 mode 3 weights weights weights 0.58 0.58 0.58
scale 0.10 mode 0 scaled capped scaled 2.25 0.50 2.25
scale 0.10 mode 1 capped capped capped 0.50 0.50 0.50
scale 0.10 mode 3 weights weights weights 0.55 0.55 0.55
boolean mode 2 -3.4e+38 -inf -inf
causal mode 2 -3.4e+38 -inf -inf
floats mode 2 -inf -inf -inf
no key: softmax of mode 2 0.33, mode 3 0.00"
expected="$(for opset in 23 24; do sed "s/^/$opset /" <<<"$each"; done)"
[ "$found" = "$expected" ] || { echo "this has changed"; exit 1; }
echo "as described"
