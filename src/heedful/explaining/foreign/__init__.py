"""Questions to models of others: those of transformers, and whatever reads numbers of tokens."""
