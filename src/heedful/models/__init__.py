"""Whole networks, and how they write."""

from heedful.models.decoding import Limits, beam, greedy, sample
from heedful.models.rnn_seq2seq import RnnSeq2Seq
from heedful.models.seq2seq import Seq2Seq, State
from heedful.models.transformer import Transformer

__all__ = ["Limits", "RnnSeq2Seq", "Seq2Seq", "State", "Transformer", "beam", "greedy", "sample"]
