"""Compile the native libraries with sanitizers, by the compiler that CXX names.

That takes minutes each, longer than a test waits for a compiler: what follows finds them made.
"""

from heedful.kernels.cpu import build
from heedful.kernels.cpu.isa import supported
from heedful.kernels.writing import network

SECONDS = 1800.0

for isa in supported():
    for sources in (build.SOURCES, network.SOURCES):
        build.load(isa, sources=sources, seconds=SECONDS)
        print(f"{isa}: {sources.name} is there", flush=True)
