"""Poisoning attacks and Byzantine-robust rules for federated learning: Outpost's, on arrays and in whole runs.

    aggregate = outpost.aggregate("krum", updates, byzantine=20)
    crafted = outpost.craft("min-max", updates, compromised=20, knowledge="full")
    run = outpost.run("scenario.toml", settings={"rounds": 50})
    run.rounds, run.summary

`outpost.flower` has a strategy for Flower. `python -m outpost` is the program `hil`. docs/python.md describes all of it.
"""

from ._arrays import Aggregator, aggregate, craft
from ._outpost import Error
from ._runs import Run, Sweep, names, read_run, run, sweep

__all__ = ["Aggregator", "Error", "Run", "Sweep", "aggregate", "craft", "names", "read_run", "run", "sweep"]
