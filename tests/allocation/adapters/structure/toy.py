"""Attention that is written out, of sizes that all differ, with places where tests change it."""

import torch
from torch import nn

HEADS, DIM, WIDTH = 3, 4, 10


class Toy(nn.Module):
    """Three heads of four, of vectors of ten; also with the keys of one head for all."""

    def __init__(self, kv_heads=HEADS):
        super().__init__()
        self.num_heads, self.kv_heads, self.head_dim = HEADS, kv_heads, DIM
        self.q = nn.Linear(WIDTH, HEADS * DIM)
        self.k = nn.Linear(WIDTH, kv_heads * DIM)
        self.v = nn.Linear(WIDTH, kv_heads * DIM)
        self.o = nn.Linear(HEADS * DIM, WIDTH)

    def forward(self, hidden_states):
        query, key, value = self.made(hidden_states)
        weights = torch.softmax(self.scores(query @ key.mT * self.head_dim**-0.5), dim=-1)
        mixed = (weights @ value).transpose(1, 2)
        return self.given(self.between(mixed.flatten(2), hidden_states))

    def split(self, x):
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def made(self, x):
        return self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))

    def scores(self, scores):
        return scores

    def between(self, mixed, x):
        return mixed

    def given(self, mixed):
        return self.o(mixed)
