"""Test your own attention as heedful tests its own: an oracle, a contract, tolerances.

Needs pytest. `oracle` holds every mechanism as float64 loops, `contracts` the pytest class that any
attention function can be run through, `tasks` the one for a task of your own, `masks` one mask of
every kind, `tolerance` the limits, `planted_evidence` texts whose right explanation is known.
"""
