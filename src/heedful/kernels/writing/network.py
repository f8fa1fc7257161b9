"""A network that the library runs: described once, kept there, and freed with its owner here."""

import ctypes
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from heedful.errors import KernelError
from heedful.kernels.cpu import build

SOURCES = Path(__file__).parent
LONGEST = 1 << 24  # tokens that room is made for at once
DONE, NO_MEMORY = 0, 2  # what the library answers; anything else: it cannot say

_library: list[ctypes.CDLL] = []  # none or one


def library() -> ctypes.CDLL:
    """The library, compiled and loaded at the first call.

    Raises:
        KernelError: It cannot be had here.
    """
    if not build.switched_on() or not _library:
        loaded = build.load(sources=SOURCES)
        whole, place = ctypes.c_int64, ctypes.c_void_p
        loaded.heedful_network.argtypes, loaded.heedful_network.restype = [place], place
        loaded.heedful_network_end.argtypes, loaded.heedful_network_end.restype = [place], None
        loaded.heedful_network_same.argtypes = [place, whole]
        loaded.heedful_network_same.restype = whole
        loaded.heedful_writing.argtypes = [place, place, whole, place, whole, whole]
        loaded.heedful_writing.restype = place
        loaded.heedful_writing_end.argtypes, loaded.heedful_writing_end.restype = [place], None
        loaded.heedful_writing_step.argtypes = [place, place, place]
        loaded.heedful_writing_select.argtypes = [place, place, whole]
        loaded.heedful_writing_step.restype = loaded.heedful_writing_select.restype = whole
        loaded.heedful_write.argtypes = [place, place, whole, place, *(whole,) * 4, place, place]
        loaded.heedful_write.restype = whole
        _library[:] = [loaded]
    return _library[0]


class Network:
    """What a description says, ready to write.

    Args:
        description: As `transformer.h` reads it.
        tensors: At the addresses in it; held as long as this is.
        target_size: Tokens that it may write.

    Raises:
        KernelError: The library cannot be had, or there is no memory.
    """

    def __init__(
        self, description: Sequence[int], tensors: Sequence[Tensor], *, target_size: int
    ) -> None:
        self.target_size = target_size
        self._tensors = tuple(tensors)
        self._library: Any = library()
        words = (ctypes.c_int64 * len(description))(*description)
        self._address = self._library.heedful_network(words)
        if not self._address:
            raise KernelError("a network must fit into memory, got no memory left")
        weakref.finalize(self, self._library.heedful_network_end, self._address)

    def same(self, *, wholly: bool) -> bool:
        """Are the numbers at those addresses what they were?

        Args:
            wholly: Look at every one, and not at some of each tensor?
        """
        return bool(self._library.heedful_network_same(self._address, wholly))

    def write(
        self,
        source: Int[Tensor, "batch keys"],
        lengths: Int[Tensor, " batch"],
        *,
        bos: int,
        eos: int,
        most: int,
    ) -> list[list[int]] | None:
        """Take the likeliest token at every step.

        Args:
            source: Source tokens, padded; on CPU.
            lengths: Source tokens that are text, one number a row.
            bos: Token before the first. Never written, unless it is also `eos`.
            eos: Token after the last.
            most: Tokens of a text.

        Returns:
            The tokens of each row, without `bos` and `eos`; `None` where a token is not known, a
            text is too long, or a score is no number.

        Raises:
            KernelError: There is no memory.
        """
        batch, keys = source.shape
        if batch * most > LONGEST:
            return None
        source, lengths = source.long().contiguous(), lengths.long().contiguous()
        written = torch.empty(batch, most, dtype=torch.int32)
        counts = torch.empty(batch, dtype=torch.int64)
        code = self._library.heedful_write(
            *(self._address, source.data_ptr(), keys, lengths.data_ptr(), batch),
            *(bos, eos, most, written.data_ptr(), counts.data_ptr()),
        )
        if code == NO_MEMORY:
            raise KernelError("a text must fit into memory, got no memory left")
        if code != DONE:
            return None
        rows = zip(written, counts.tolist(), strict=True)
        return [row[:count].tolist() for row, count in rows]

    def start(
        self, source: Int[Tensor, "batch keys"], lengths: Int[Tensor, " batch"], *, most: int
    ) -> "Writing | None":
        """Read sources; `step` of what is returned then writes.

        Args:
            source: As for `write`.
            lengths: As for `write`.
            most: Steps at most.

        Returns:
            `None` where a token is not known, a text is too long, or there is no memory.
        """
        source, lengths = source.long().contiguous(), lengths.long().contiguous()
        batch, keys = source.shape
        address = self._library.heedful_writing(
            *(self._address, source.data_ptr(), keys, lengths.data_ptr(), batch, most)
        )
        return Writing(self, address, batch) if address else None


class Writing:
    """Texts that a network is writing, one for each source at first.

    Args:
        network: What writes.
        address: Of what the library keeps of them; it is freed with this.
        rows: How many there are.
    """

    def __init__(self, network: Network, address: int, rows: int) -> None:
        self.rows, self._network, self._address = rows, network, address
        self._library = library()
        weakref.finalize(self, self._library.heedful_writing_end, address)

    def step(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows target_size"]:
        """Return the scores of the token after these.

        Raises:
            KernelError: A token is not known, a text is too long, or there is no memory.
        """
        scores = torch.empty(self.rows, self._network.target_size)
        tokens = tokens.long().contiguous()
        code = -1
        if len(tokens) == self.rows:
            code = self._library.heedful_writing_step(
                self._address, tokens.data_ptr(), scores.data_ptr()
            )
        self._check(
            code, f"tokens must be known and as many as there are rows, got {tokens.tolist()!r:.80}"
        )
        return scores

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Go on with these rows, in this order; a row may be taken more than once.

        Raises:
            KernelError: One is not there, or there is no memory.
        """
        rows = rows.long().contiguous()
        code = self._library.heedful_writing_select(self._address, rows.data_ptr(), len(rows))
        self._check(code, f"rows must be below {self.rows}, got {rows.tolist()!r:.80}")
        self.rows = len(rows)

    def _check(self, code: int, otherwise: str) -> None:
        if code == NO_MEMORY:
            raise KernelError("a text must fit into memory, got no memory left")
        if code != DONE:
            raise KernelError(otherwise)
