"""The rules from Python: the package `outpost` on an array of numpy beside other packages, in multiples of np.sum over it; CPU
time on one thread."""

import importlib.util
import os
import sys

import kernels
import programs


def print_table(arguments):
    if importlib.util.find_spec("outpost") is None:
        print("the package `outpost` is not installed: docs/python.md says how to build it", file=sys.stderr)
        return
    os.environ.update(programs.ONE_THREAD)
    peers = {"Outpost": outpost_rules, **{peer: kernels.PEERS[peer] for peer in programs.installed(kernels.NEEDED, arguments)}}
    programs.head("m x d", "rule", *(f"{peer}, np.sum" if peer == "Outpost" else peer for peer in peers))
    for shape in arguments.shapes.split(","):
        measure = kernels.Measure(shape, peers.values(), arguments.patience)
        devices, parameters = map(int, shape.split("x"))
        for rule in kernels.RULES:
            ours, *beside = measure.peers(rule)
            programs.row(f"{devices:,} x {parameters:,}", rule, f"**{ours}**", *beside)


def outpost_rules(matrix, byzantine):
    import outpost
    settings = {"trimmed-mean": {"trim": byzantine}}
    return {
        rule: lambda rule=rule: outpost.aggregate(rule, matrix, byzantine=byzantine, **settings.get(rule, {}))
        for rule in kernels.RULES
    }
