"""ONNX's recurrent operators read what torch's layers read."""

import io

import onnxruntime
import pytest
import torch
from torch import nn

from heedful.exporting import onnx_recurrent
from heedful.models import recurrent


class Reader(nn.Module):
    """Two layers, both ways."""

    def __init__(self, kind, read):
        super().__init__()
        self.layers = kind(6, 5, 2, batch_first=True, bidirectional=True)
        self.read = read

    def forward(self, x, lengths):
        states, last = self.read(self.layers, x, lengths)
        return states, *(last if isinstance(last, tuple) else (last,))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_states_and_last_ones_are_the_same(kind, capfd):
    torch.manual_seed(1)
    reader = Reader(kind, onnx_recurrent.read).eval()
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1)
    given = torch.randn(3, 7, 6), torch.tensor([7, 2, 5])
    with torch.no_grad():
        program = torch.export.export(
            reader, given, dynamic_shapes=({0: batch, 1: length}, {0: batch}), strict=False
        )
        content = io.BytesIO(
            torch.onnx.export(
                program, dynamo=True, opset_version=18
            ).model_proto.SerializeToString()
        )
    run = onnxruntime.InferenceSession(content.getvalue())
    names = [each.name for each in run.get_inputs()]
    reader.read = recurrent.read
    for case in (given, (torch.randn(4, 9, 6), torch.tensor([1, 9, 3, 8]))):
        with torch.no_grad():
            want = reader(*case)
        got = run.run(None, {name: x.numpy() for name, x in zip(names, case, strict=True)})
        for ours, theirs in zip(want, got, strict=True):
            torch.testing.assert_close(torch.from_numpy(theirs), ours)
