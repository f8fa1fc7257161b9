"""Video Transformers: time counts with attention over it, and cannot count without."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.models.video_transformer import FactorisedLayer, VideoTransformer
from heedful.testing.tolerance import assert_close


def build(**changed):
    settings = {"classes": 5, "channels": 3, "size": 6, "frames": 4, "patch": 2, "width": 8}
    torch.manual_seed(1)
    model = VideoTransformer(**settings | {"heads": 2, "layers": 2, "feedforward": 10} | changed)
    return model.double()


def videos(count=2):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(count, 4, 3, 6, 6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("time", ["attention", "mean"])
def test_every_parameter_learns_and_company_cannot_matter(time):
    model = build(time=time)
    model(videos()).square().sum().backward()
    still = [key for key, each in model.named_parameters() if not each.grad.abs().sum() > 0]
    assert [key for key in still if not key.endswith("key.bias")] == []  # softmax ignores those
    with torch.no_grad():
        together = model.eval()(videos())
        alone = torch.cat([model(video[None]) for video in videos()])
    assert_close(together, alone, roundings=1000, largest=together.abs().max().item())


@torch.no_grad()
def test_the_order_of_frames_counts_with_attention_alone():
    for time, same in (("mean", True), ("attention", False)):
        model, given = build(time=time).eval(), videos()
        assert torch.allclose(model(given), model(given.flip(1))) == same


@torch.no_grad()
def test_a_layer_looks_within_frames_then_over_time():
    torch.manual_seed(3)
    layer = FactorisedLayer(width=8, heads=2, feedforward=10, dropout=0.0, time=True)
    layer = layer.double().eval()
    x = torch.randn(2, 4, 3, 8, dtype=torch.float64)
    want = x.clone()
    for video in range(2):
        for frame in range(4):
            given = layer.space_residual.norm(x[video, frame])[None]
            want[video, frame] += layer.space(given)[0]
        seen = want[video].clone()
        for place in range(3):
            given = layer.time_residual.norm(seen[:, place])[None]
            want[video, :, place] += layer.time(given)[0]
    want = want + layer.feedforward(layer.feedforward_residual.norm(want))
    assert_close(layer(x), want, roundings=1000, largest=want.abs().max().item())


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"patch": 4}, "patch must divide the size of the frames, got patch=4, size=6"),
        ({"patch": 0}, "patch must divide the size of the frames, got patch=0, size=6"),
        ({"time": "lstm"}, "time must be one of attention, mean, got 'lstm'"),
        ({"heads": 3}, "heads must divide width, got heads=3, width=8"),
    ],
)
def test_refuses_settings(changed, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        build(**changed)


def test_refuses_videos_of_another_size():
    message = "videos must be (batch, 4, 3, 6, 6), got shape (2, 3, 3, 6, 6)"
    with pytest.raises(ShapeError, match=re.escape(message)):
        build()(videos()[:, 1:])
