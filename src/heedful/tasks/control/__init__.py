"""Control: what to do next, from the last moments of an episode."""
