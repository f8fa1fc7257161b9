"""Where attention that nobody described keeps its heads: found by running it, and then checked."""
