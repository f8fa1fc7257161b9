"""What several processes of one training must not decide each for itself."""

from collections.abc import Callable
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from heedful.errors import HeedfulError

T = TypeVar("T")


def decided(decide: Callable[[], T]) -> T:
    """Let the main process decide, and give to all what it decided, or the error that it met.

    Args:
        decide: Called in the main process alone.

    Raises:
        HeedfulError: `decide` does; all processes meet it alike, so that none waits for the others.
    """
    state = Accelerator()  # which reads more of the environment than its state alone
    if state.num_processes == 1:
        return decide()
    said: list[Any] = [None, None]
    if state.is_main_process:
        try:
            said[0] = decide()
        except HeedfulError as error:
            said[1] = error
    broadcast_object_list(said)
    if said[1] is not None:
        raise said[1]
    return said[0]
