"""Text generation: a text goes on from where it stands."""
