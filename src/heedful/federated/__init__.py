"""Training on data that stays where it is, as a Flower app; see `docs/federated.md`."""
