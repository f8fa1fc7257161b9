"""What makes a command start well: settings of the libraries, and how they are loaded."""

import gc
import os
from collections.abc import Generator
from contextlib import contextmanager

SETTINGS = {
    # Threads of GNU OpenMP that wait for each other burn their core by default. With anything else
    # running, training then slows down four times and more; waiting asleep costs at most 5 %.
    "GOMP_SPINCOUNT": "1000",
    # A product in bf16 is compiled for each shape that it meets. Batches of texts have thousands of
    # shapes; where only 1,024 are kept, training compiles them again and again.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8192",
    # fewer, larger pages: fewer page faults with tensors that come and go
    "THP_MEM_ALLOC_ENABLE": "1",
    # nobody asked for the network
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def prepare() -> None:
    """Set what the user has not set; call it before torch is imported."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


@contextmanager
def loading() -> Generator[None]:
    """Look for no garbage while modules load, nor among what they hold ever after.

    Nothing of theirs is garbage, and to look again and again takes an eighth of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
