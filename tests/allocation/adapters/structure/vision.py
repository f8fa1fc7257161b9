"""Attention as timm and torchvision write it, of sizes that all differ; what it is called with."""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention

from .channels import Channels, CrossCovariance
from .shifted import Shifted

HEADS, DIM = 3, 4
WIDTH, SIDE = HEADS * DIM, 2
PLACES = SIDE * SIDE


class Fused(nn.Module):
    """Takes the width of its heads from what comes in, as most of timm does."""

    def __init__(self, bias=True):
        super().__init__()
        self.num_heads, self.scale, self.fused_attn = HEADS, DIM**-0.5, True
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH, bias=bias), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.num_heads, width // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused_attn:
            mixed = scaled_dot_product_attention(query, key, value)
        else:
            mixed = (query * self.scale @ key.transpose(-2, -1)).softmax(-1) @ value
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, width))


class Beit(Fused):
    """Biases beside the layer, that of keys learned by nobody, and a table of biases of scores."""

    def __init__(self):
        super().__init__(bias=False)
        self.q_bias, self.v_bias = (nn.Parameter(torch.empty(WIDTH)) for _ in range(2))
        self.register_buffer("k_bias", torch.zeros(WIDTH), persistent=False)
        self.table = nn.Parameter(torch.empty(7, HEADS))
        self.register_buffer("index", torch.arange(PLACES * PLACES).view(PLACES, PLACES) % 7)

    def forward(self, x, shared_rel_pos_bias=None):
        B, N, C = x.shape
        bias = torch.cat((self.q_bias, self.k_bias, self.v_bias))
        qkv = functional.linear(x, weight=self.qkv.weight, bias=bias)
        qkv = qkv.reshape(B, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        added = self.table[self.index.view(-1)].view(PLACES, PLACES, -1).permute(2, 0, 1)[None]
        if shared_rel_pos_bias is not None:
            added = added + shared_rel_pos_bias
        mixed = scaled_dot_product_attention(*qkv.unbind(0), attn_mask=added)
        return self.proj(mixed.transpose(1, 2).reshape(B, N, C))


class Swin(Fused):
    """Cosines for scores, a learned factor for each head, biases that a small network makes."""

    def __init__(self):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.empty(HEADS, 1, 1))
        self.mlp = nn.Sequential(nn.Linear(2, 5), nn.ReLU(inplace=True), nn.Linear(5, HEADS))
        self.register_buffer("places", torch.linspace(-1, 1, 26).view(13, 2))
        self.register_buffer("index", torch.arange(PLACES * PLACES).view(PLACES, PLACES) % 13)
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x, mask=None):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        scores = functional.normalize(q, dim=-1) @ functional.normalize(k, dim=-1).mT
        added = self.mlp(self.places).view(-1, self.num_heads)[self.index].permute(2, 0, 1)
        scores = scores * self.logit_scale.exp() + added[None]
        if mask is not None:
            windows = mask.shape[0]
            scores = scores.view(-1, windows, self.num_heads, N, N) + mask[None, :, None]
            scores = scores.view(-1, self.num_heads, N, N)
        return self.proj((self.softmax(scores) @ v).transpose(1, 2).reshape(B, N, C))


class Window(Fused):
    """A mask that comes in another form where attention is written out."""

    def forward(self, x, mask=None):
        B, N, _ = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        if self.fused_attn:
            added = None if mask is None else mask.view(1, len(mask), 1, N, N)
            if added is not None:
                added = added.expand(B // len(mask), -1, self.num_heads, -1, -1)
                added = added.reshape(-1, self.num_heads, N, N)
            mixed = scaled_dot_product_attention(q, k, v, attn_mask=added)
        else:
            scores = q * self.scale @ k.mT
            if mask is not None:
                scores = scores.view(-1, len(mask), self.num_heads, N, N) + mask[:, None][None]
                scores = scores.view(-1, self.num_heads, N, N)
            mixed = scores.softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(B, N, -1))


class Eva(nn.Module):
    """Queries and keys normalised head by head and turned, and a gate."""

    def __init__(self):
        super().__init__()
        self.num_heads, self.head_dim, self.num_prefix_tokens = HEADS, DIM, 1
        self.q_proj, self.k_proj, self.v_proj, self.gate, self.proj = (
            nn.Linear(WIDTH, WIDTH, bias=kind != "k") for kind in "qkvgo"
        )
        self.q_norm, self.k_norm = nn.LayerNorm(DIM), nn.LayerNorm(DIM)

    def turned(self, x, rope):
        sine, cosine = rope.chunk(2, -1)
        behind = x[:, :, 1:]
        other = torch.stack((-behind[..., 1::2], behind[..., ::2]), -1).flatten(-2)
        return torch.cat((x[:, :, :1], behind * cosine + other * sine), 2)

    def forward(self, x, rope=None, attn_mask=None, is_causal=False):
        B, N, C = x.shape
        gate = self.gate(x).sigmoid()
        q, k, v = (
            layer(x).reshape(B, N, self.num_heads, -1).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q, k = self.turned(q, rope), self.turned(k, rope)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, is_causal=is_causal)
        return self.proj(mixed.transpose(1, 2).reshape(B, N, C) * gate)


class Nest(Fused):
    """Windows behind the heads, and heads interleaved in what is projected."""

    def forward(self, x):
        B, T, N, C = x.shape
        qkv = self.qkv(x).reshape(B, T, N, 3, self.num_heads, C // self.num_heads)
        query, key, value = qkv.permute(3, 0, 4, 1, 2, 5).unbind(0)
        mixed = scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.permute(0, 2, 3, 4, 1).reshape(B, T, N, C))


class Twins(Fused):
    """Windows before the heads, cut from an image whose width is that of what comes in."""

    def forward(self, x, size):
        B, N, C = x.shape
        H, W = size
        x = x.view(B, H, W, C).reshape(B, H // SIDE, SIDE, W // SIDE, SIDE, C).transpose(2, 3)
        windows = H * W // PLACES
        qkv = self.qkv(x).reshape(B, windows, PLACES, 3, self.num_heads, C // self.num_heads)
        query, key, value = qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)
        mixed = scaled_dot_product_attention(query, key, value)
        mixed = mixed.transpose(2, 3).reshape(B, H // SIDE, W // SIDE, SIDE, SIDE, C)
        return self.proj(mixed.transpose(2, 3).reshape(B, N, C))


class Einsum(nn.Module):
    """Products by letters, windows before the heads, and a number of heads of its own."""

    def __init__(self):
        super().__init__()
        self.n_heads, self.head_dim = HEADS, DIM
        self.to_qkv, self.merge = nn.Linear(10, 3 * WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x):
        batch, windows, length, _ = x.shape
        parts = torch.chunk(self.to_qkv(x), 3, dim=-1)
        q, k, v = (
            part.reshape(batch, windows, length, self.n_heads, self.head_dim).transpose(2, 3)
            for part in parts
        )
        scores = torch.einsum("B G H I D, B G H J D -> B G H I J", q, k * DIM**-0.5)
        mixed = torch.einsum("BGHIJ,BGHJD->BGHID", functional.softmax(scores, dim=-1), v)
        return self.merge(mixed.transpose(2, 3).reshape(batch, windows, length, -1))


class TimeFirst(nn.Module):
    """Time before the batch, as recurrent networks have it."""

    def __init__(self):
        super().__init__()
        self.num_heads, self.head_dim = HEADS, DIM
        self.q, self.k, self.v, self.o = (
            nn.Linear(WIDTH, WIDTH, bias=kind != "k") for kind in "qkvo"
        )

    def forward(self, x):
        length, batch, _ = x.shape
        q, k, v = (
            layer(x).view(length, batch, self.num_heads, self.head_dim)
            for layer in (self.q, self.k, self.v)
        )
        scores = torch.einsum("ibnd,jbnd->bnij", q, k) * self.head_dim**-0.5
        mixed = torch.einsum("bnij,jbnd->ibnd", scores.softmax(-1), v)
        return self.o(mixed.flatten(2))


class ManyInOne(TimeFirst):
    """Texts and heads in one axis, as in fairseq."""

    def forward(self, x):
        length, batch, _ = x.shape
        q, k, v = (
            layer(x).view(length, batch * self.num_heads, self.head_dim).transpose(0, 1)
            for layer in (self.q, self.k, self.v)
        )
        weights = torch.bmm(q * self.head_dim**-0.5, k.transpose(1, 2)).softmax(-1)
        return self.o(torch.bmm(weights, v).transpose(0, 1).reshape(length, batch, -1))


class Pointwise(nn.Module):
    """Images with components first, weights kept of earlier calls, values before weights."""

    def __init__(self):
        super().__init__()
        self.num_heads, self.key_dim, self.value_dim = HEADS, DIM, 5
        self.qkv = nn.Conv2d(10, HEADS * (2 * DIM + 5), 1)
        self.proj = nn.Conv2d(HEADS * 5, 10, kernel_size=1, bias=False)
        self.table = nn.Parameter(torch.empty(HEADS, 7))
        self.register_buffer("index", torch.arange(PLACES * PLACES).view(PLACES, PLACES) % 7)
        self.cache = {}

    def added(self):
        if "cpu" not in self.cache:
            self.cache["cpu"] = self.table[:, self.index]
        return self.cache["cpu"]

    def forward(self, x):
        batch, _, height, width = x.shape
        joined = self.qkv(x).view(batch, self.num_heads, -1, height * width)
        q, k, v = joined.split([self.key_dim, self.key_dim, self.value_dim], dim=2)
        weights = (q.mT @ k * DIM**-0.5 + self.added()).softmax(-1)
        return self.proj((v @ weights.mT).view(batch, -1, height, width))


class LinearNorm(nn.Module):
    """A linear layer with a batch norm behind it."""

    def __init__(self, given, gives):
        super().__init__()
        self.linear, self.bn = nn.Linear(given, gives, bias=False), nn.BatchNorm1d(gives)

    def forward(self, x):
        x = self.linear(x)
        return self.bn(x.flatten(0, 1)).reshape_as(x)


class Levit(nn.Module):
    """Batch norms behind its layers, and an activation between its heads and its output."""

    def __init__(self):
        super().__init__()
        self.num_heads, self.key_dim, self.value_dim = HEADS, DIM, 5
        self.qkv = LinearNorm(10, HEADS * (2 * DIM + 5))
        self.proj = nn.Sequential(nn.Hardswish(), LinearNorm(HEADS * 5, 10))
        self.inner = HEADS * 5

    def forward(self, x):
        batch, length, _ = x.shape
        joined = self.qkv(x).view(batch, length, self.num_heads, -1)
        q, k, v = joined.split([self.key_dim, self.key_dim, self.value_dim], dim=3)
        q, k, v = q.transpose(1, 2), k.permute(0, 2, 3, 1), v.transpose(1, 2)
        mixed = (q @ k * DIM**-0.5).softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, self.inner))


class Tiny(Fused):
    """Biases of scores that all of a batch share, given without an axis for it."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.empty(HEADS, PLACES))
        self.register_buffer("index", torch.arange(PLACES * PLACES).view(PLACES, PLACES) % PLACES)

    def forward(self, x):
        batch, length, _ = x.shape
        query, key, value = self.qkv(x).view(batch, length, 3, self.num_heads, -1).unbind(2)
        query, key, value = (each.transpose(1, 2) for each in (query, key, value))
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=self.table[:, self.index])
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Reduced(nn.Module):
    """Looks at fewer places than it has: a convolution makes one of four by four."""

    def __init__(self):
        super().__init__()
        self.num_heads = HEADS
        self.q, self.kv = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH)
        self.sr, self.norm = nn.Conv2d(WIDTH, WIDTH, 4, stride=4), nn.LayerNorm(WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, feat_size):
        batch, length, width = x.shape
        query = self.q(x).view(batch, length, self.num_heads, -1).transpose(1, 2)
        fewer = (
            self.sr(x.transpose(1, 2).reshape(batch, width, *feat_size)).flatten(2).transpose(1, 2)
        )
        joined = self.kv(self.norm(fewer)).view(batch, fewer.shape[1], 2, self.num_heads, -1)
        key, value = (each.transpose(1, 2) for each in joined.unbind(2))
        mixed = scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# name -> (class, module that it says it is of, what it is called with)
KINDS = {
    "fused": (Fused, "timm.models.vit", (draw(2, 7, WIDTH),)),
    "beit": (Beit, "timm.models.beit", (draw(2, PLACES, WIDTH),)),
    "swin": (Swin, "timm.models.swin", (draw(6, PLACES, WIDTH), draw(3, PLACES, PLACES))),
    "window": (Window, "timm.models.swin", (draw(6, PLACES, WIDTH), draw(3, PLACES, PLACES))),
    "eva": (Eva, "timm.models.eva", (draw(2, 5, WIDTH), draw(4, 2 * DIM))),
    "nest": (Nest, "timm.models.nest", (draw(2, 3, 5, WIDTH),)),
    "twins": (Twins, "timm.models.twins", (draw(2, 8, WIDTH), (2, 4))),
    "einsum": (Einsum, "torchvision.models.maxvit", (draw(2, 3, 5, 10),)),
    "time_first": (TimeFirst, "torchvision.models.time", (draw(5, 2, WIDTH),)),
    "many_in_one": (ManyInOne, "torchvision.models.time", (draw(5, 2, WIDTH),)),
    "levit": (Levit, "timm.models.levit", (draw(2, 7, 10),)),
    "tiny": (Tiny, "timm.models.tiny_vit", (draw(2, PLACES, WIDTH),)),
    "reduced": (Reduced, "timm.models.pvt_v2", (draw(2, 32, WIDTH), (4, 8))),
    "cross_covariance": (CrossCovariance, "timm.models.xcit", (draw(2, 7, WIDTH),)),
    "channels": (Channels, "timm.models.davit", (draw(2, 7, WIDTH),)),
    "shifted": (Shifted, "torchvision.models.swin_transformer", (draw(2, 4, 6, WIDTH),)),
    "pointwise": (Pointwise, "timm.models.levit", (draw(2, 10, SIDE, SIDE),)),
}


class Attends(nn.Module):
    """Holds attention, as a model does."""

    def __init__(self, name):
        super().__init__()
        self.attn = KINDS[name][0]()

    def forward(self, *given):
        return given[0] + self.attn(*given)


def make(name):
    """Return a model with numbers of its own that holds such attention."""
    model = Attends(name).double().eval()
    with torch.no_grad():
        for seed, parameter in enumerate(model.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + 20) * 0.4)
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.copy_(draw(*buffer.shape, seed=len(name)).abs() + 0.3)
    return model


for _kind, _module, _ in KINDS.values():
    _kind.__module__ = _module
    _kind.__name__ = f"{_kind.__name__}Attention"
