"""Keys and values that a decoder has already computed."""

from functools import partial

from jaxtyping import Float
from torch import Tensor

from heedful.errors import ShapeError
from heedful.selection.pages import Pages


class KeyValueCache:
    """Grows along `length`; room doubles, so appending one position at a time costs O(1) each.

    The tensors returned are views: reading them is free. It is for writing, not for training: what
    is stored is written in place, which autograd refuses to go back through.

    Cost:
        At most twice the memory of the positions stored, and that of `pages` where it was asked
        for.
    """

    def __init__(self) -> None:
        self.length = 0
        self._key: Tensor | None = None
        self._value: Tensor | None = None
        self._pages: Pages | None = None
        self._borrowed = False  # does another one write behind what is stored?

    def __copy__(self) -> "KeyValueCache":
        """Share what is stored until the copy goes on; no pages: it would fill their last one."""
        twin = KeyValueCache()
        twin.length, twin._key, twin._value = self.length, self._key, self._value
        twin._borrowed = True
        return twin

    def append(
        self,
        key: Float[Tensor, "batch kv_heads length dim"],
        value: Float[Tensor, "batch kv_heads length value_dim"],
    ) -> tuple[Tensor, Tensor]:
        """Store new positions behind the old ones and return all of them.

        Raises:
            ShapeError: What is appended differs from what is stored in anything but its length, or
                there is not one value for each key.
        """
        if key.shape[:3] != value.shape[:3]:
            raise ShapeError(
                "key and value must have the same batch, heads and length, "
                f"got {tuple(key.shape)} and {tuple(value.shape)}"
            )
        stop = self.length + key.shape[2]
        room = partial(_room, length=self.length, stop=stop, borrowed=self._borrowed)
        self._key = room(self._key, key, name="key")
        self._value = room(self._value, value, name="value")
        self._borrowed = False
        self._key[:, :, self.length : stop] = key
        self._value[:, :, self.length : stop] = value
        self.length = stop
        return self.stored()

    def carry(self, key: Tensor, value: Tensor, *, positions: int) -> None:
        """Keep one state, as of a recurrence, in place of all that was stored.

        Args:
            key: `(batch, kv_heads, 1, dim)`.
            value: `(batch, kv_heads, 1, value_dim)`.
            positions: How many the state is further than what was stored.
        """
        self._key, self._value, self._pages, self._borrowed = key, value, None, False
        self.length += positions

    def stored(self) -> tuple[Tensor, Tensor]:
        """Return all keys and all values, without copying.

        Raises:
            ShapeError: Nothing was ever stored.
        """
        if self._key is None or self._value is None:
            raise ShapeError("a cache must be filled before it is read, got an empty one")
        return self._key[:, :, : self.length], self._value[:, :, : self.length]

    def pages(self, page: int = 16) -> Pages:
        """Return the pages of all keys stored, for choosing among them.

        They stay the cache's own: it goes on with them at the next call.

        Args:
            page: Keys per page.

        Raises:
            ShapeError: Nothing was ever stored.
            ConfigError: `page < 1`.

        Cost:
            That of the keys stored since the last call with the same `page`.
        """
        key, _ = self.stored()
        if self._pages is None or self._pages.page != page:
            self._pages = Pages(page)
        if self._pages.length < self.length:
            self._pages.extend(key[:, :, self._pages.length :])
        return self._pages

    def select(self, rows: Tensor) -> None:
        """Keep these batch rows, in this order; a row may be taken more than once."""
        if self._key is not None and self._value is not None:
            self._key = self._key.index_select(0, rows)
            self._value = self._value.index_select(0, rows)
            self._borrowed = False
        if self._pages is not None:
            self._pages.select(rows)


def _room(
    stored: Tensor | None, new: Tensor, *, length: int, stop: int, borrowed: bool, name: str
) -> Tensor:
    batch, heads, _, dim = new.shape
    if stored is None:
        return new.new_empty(batch, heads, max(stop, 16) if new.shape[2] == 1 else stop, dim)
    if (stored.shape[0], stored.shape[1], stored.shape[3]) != (batch, heads, dim):
        raise ShapeError(
            f"{name} must match the cache in batch, heads and dim, "
            f"got {tuple(new.shape)} for {tuple(stored.shape)}"
        )
    if stop <= stored.shape[2] and not borrowed:
        return stored
    room = stop if borrowed else max(stop, 2 * stored.shape[2])
    larger = stored.new_empty(batch, heads, room, dim)
    larger[:, :, :length] = stored[:, :, :length]
    return larger
