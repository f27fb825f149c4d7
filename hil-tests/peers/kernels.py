"""Aggregation rules, in multiples of np.sum over the same matrix: CPU time on one thread, wall time on two."""

import os
import signal
import statistics
import time

import programs

NEEDED = {"numpy": ["numpy"], "ByzFL": ["numpy", "byzfl", "torch"], "byzpy": ["numpy", "byzpy", "torch"], "Flower": ["numpy", "flwr"]}
RULES = ["mean", "median", "trimmed-mean", "krum", "bulyan"]


def print_table(arguments):
    compare(arguments, RULES, PEERS, ["two threads", "leave one out"])


def compare(arguments, rules, all_peers, others=()):
    """A table of these rules, beside those of the peers that are installed, with other columns about Outpost behind them."""
    os.environ.update(programs.ONE_THREAD)
    program = programs.build_bench()
    needed = {peer: modules for peer, modules in NEEDED.items() if peer in all_peers}
    peers = {peer: all_peers[peer] for peer in programs.installed(needed, arguments)}
    unit = "np.sum" if peers else "summing passes"
    programs.head("m x d", "rule", f"Outpost, {unit}", *peers, *others)
    for shape in arguments.shapes.split(","):
        measure = Measure(shape, peers.values(), arguments.patience)
        devices, parameters = map(int, shape.split("x"))
        for rule in rules:
            multiple = measure.ours(program, rule)
            beside = measure.peers(rule)
            programs.row(f"{devices:,} x {parameters:,}", rule, multiple, *beside, *(measure.others(program, rule) if others else []))


class Measure:
    """One matrix, the peers' rules on it, and how long a pass over it takes."""

    def __init__(self, shape, peers, patience):
        self.shape, self.patience = shape, patience
        if not peers:
            self.matrix, self.rules = None, []
            return
        import numpy
        devices, parameters = map(int, shape.split("x"))
        self.matrix = numpy.random.default_rng(0).standard_normal((devices, parameters), dtype=numpy.float32)
        self.rules = [peer(self.matrix, devices // 5) for peer in peers]

    def passing(self):
        """Milliseconds of np.sum."""
        return statistics.median(cpu_time(self.matrix.sum) for _ in range(9))

    def ours(self, program, rule):
        """The cell of Outpost."""
        before = self.passing() if self.rules else None
        rows, _ = programs.bench(program, "1-thread", self.shape, rule, "aggregate")
        one, multiple, *_ = rows[0][1]
        if self.rules:
            multiple = 2 * one / (before + self.passing())
        return f"**{multiple:.1f}**"

    def others(self, program, rule):
        """What two threads gain, and what all aggregates of one row less cost."""
        rows, _ = programs.bench(program, "2-thread", self.shape, rule, "aggregate")
        alone = [values for (*_, what), values in programs.bench(program, "1-thread", self.shape, rule)[0] if what == "leave-one-out"]
        return f"{rows[-1][1][-1]:.2f}", f"{alone[0][2]:.1f}" if alone else "-"

    def peers(self, rule):
        """One cell for each peer."""
        cells = []
        for rules in self.rules:
            work = rules.get(rule)
            if work is None:
                cells.append("-")
                continue
            before = self.passing()
            taken = self.patiently(work)
            multiple = taken and 2 * taken / (before + self.passing())
            cells.append(f"{multiple:.1f}" if taken else f"> {self.patience} s")
        return cells

    def patiently(self, work):
        """Median of the milliseconds that `work` takes; None if it takes too long."""
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(self.patience)
        try:
            times = [cpu_time(work)]
            begun = time.perf_counter()
            while len(times) < 7 and time.perf_counter() - begun < 4:
                times.append(cpu_time(work))
            return statistics.median(times)
        except TimeoutError:
            return None
        finally:
            signal.alarm(0)


def too_long(*_):
    raise TimeoutError


def cpu_time(work):
    begun = time.process_time()
    work()
    return 1e3 * (time.process_time() - begun)


def numpy_rules(matrix, byzantine):
    """What numpy's own functions give, over blocks of columns that fit a cache."""
    import numpy as np
    devices, parameters = matrix.shape

    def by_column(reduce):
        result = np.empty(parameters, np.float32)
        for start in range(0, parameters, 4096):
            columns = np.ascontiguousarray(matrix[:, start:start + 4096].T)
            columns.sort(axis=1)
            result[start:start + 4096] = reduce(columns)
        return result

    def krum():
        products = matrix @ matrix.T
        norms = np.diagonal(products)
        distances = norms[:, None] + norms[None, :] - 2 * products
        np.fill_diagonal(distances, 0)
        nearest = np.partition(distances, devices - byzantine - 2, axis=1)[:, :devices - byzantine - 1]
        return matrix[nearest.sum(1).argmin()]

    middle = slice((devices - 1) // 2, devices // 2 + 1)
    return {
        "mean": lambda: matrix.mean(0),
        "median": lambda: by_column(lambda columns: columns[:, middle].mean(1)),
        "trimmed-mean": lambda: by_column(lambda columns: columns[:, byzantine:devices - byzantine].mean(1)),
        "krum": krum,
    }


def byzfl_rules(matrix, byzantine):
    import byzfl
    import torch
    torch.set_num_threads(1)
    vectors = torch.from_numpy(matrix)
    rules = {"mean": byzfl.Average(), "median": byzfl.Median(), "trimmed-mean": byzfl.TrMean(byzantine), "krum": byzfl.Krum(byzantine)}
    return {name: lambda rule=rule: rule(vectors) for name, rule in rules.items()}


def byzpy_rules(matrix, byzantine):
    import torch
    from byzpy.aggregators.coordinate_wise.median import CoordinateWiseMedian
    from byzpy.aggregators.coordinate_wise.trimmed_mean import CoordinateWiseTrimmedMean
    from byzpy.aggregators.geometric_wise.krum import Krum
    rows = list(torch.from_numpy(matrix))
    rules = {"median": CoordinateWiseMedian(), "trimmed-mean": CoordinateWiseTrimmedMean(byzantine), "krum": Krum(byzantine)}
    return {name: lambda rule=rule: rule.aggregate(rows) for name, rule in rules.items()}


def flower_rules(matrix, byzantine):
    from flwr.server.strategy import aggregate as flower
    results = [([update], 1) for update in matrix]
    share = byzantine / len(matrix)
    # Bulyan's own condition takes one less.
    fewer = (len(matrix) - 3) // 4 if len(matrix) < 4 * byzantine + 3 else byzantine
    return {
        "mean": lambda: flower.aggregate(results),
        "median": lambda: flower.aggregate_median(results),
        "trimmed-mean": lambda: flower.aggregate_trimmed_avg(results, share),
        "krum": lambda: flower.aggregate_krum(results, byzantine, 0),
        "bulyan": lambda: flower.aggregate_bulyan(list(results), fewer, flower.aggregate_krum, to_keep=0),
    }


PEERS = {"numpy": numpy_rules, "ByzFL": byzfl_rules, "byzpy": byzpy_rules, "Flower": flower_rules}
