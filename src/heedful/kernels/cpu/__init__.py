"""The native kernel for CPUs: its C++, its compilation, and how torch reaches it."""
