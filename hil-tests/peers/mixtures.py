"""Rules that go by lengths, angles and distances, and stages before a rule, in multiples of np.sum over the same matrix."""

import kernels

RULES = ["multi-krum", "meamed", "geometric-median", "centered-clipping", "cge", "mda", "caf", "foolsgold",
         "clip+mean", "arc+mean", "nnm+mean", "nnm+geometric-median", "nnm+trimmed-mean"]
# The norm that `clip` has by default.
NORM = 2.0


def print_table(arguments):
    arguments.shapes = arguments.shapes.replace("1000x7850,", "")
    kernels.compare(arguments, RULES, PEERS)


def numpy_rules(matrix, byzantine):
    """By hand: inner products first, where they are of use."""
    import numpy as np
    devices = len(matrix)
    columns = kernels.numpy_rules

    def squares():
        products = matrix @ matrix.T
        lengths = np.diagonal(products)
        return lengths[:, None] + lengths[None, :] - 2 * products

    def mixed():
        nearest = np.argpartition(squares(), devices - byzantine - 1, axis=1)[:, :devices - byzantine]
        weights = np.zeros((devices, devices), np.float32)
        np.put_along_axis(weights, nearest, 1 / (devices - byzantine), axis=1)
        return weights @ matrix

    def geometric_median(rows):
        products = (rows @ rows.T).astype(np.float64)
        weights = np.full(devices, 1 / devices)
        for _ in range(1000):
            along = products @ weights
            distances = np.sqrt(np.maximum(np.diagonal(products) - 2 * along + weights @ along, 0))
            new = 1 / np.maximum(distances, 1e-6)
            new /= new.sum()
            stands = np.abs(new - weights).max() < 1e-9 * new.max()
            weights = new
            if stands:
                break
        return weights.astype(np.float32) @ rows

    def multi_krum():
        distances = squares()
        np.fill_diagonal(distances, 0)
        nearest = np.partition(distances, devices - byzantine - 2, axis=1)[:, :devices - byzantine - 1]
        return matrix[np.argsort(nearest.sum(1))[:devices - byzantine]].mean(0)

    def shortest():
        lengths = np.einsum("ij,ij->i", matrix, matrix)
        return matrix[np.argsort(lengths)[:devices - byzantine]].mean(0)

    def clipped():
        lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
        return (np.minimum(1, NORM / lengths) / devices) @ matrix

    return {
        "multi-krum": multi_krum,
        "geometric-median": lambda: geometric_median(matrix),
        "cge": shortest,
        "clip+mean": clipped,
        "nnm+mean": lambda: mixed().mean(0),
        "nnm+geometric-median": lambda: geometric_median(mixed()),
        "nnm+trimmed-mean": lambda: columns(mixed(), byzantine)["trimmed-mean"](),
    }


def byzfl_rules(matrix, byzantine):
    """Without MDA, which lists all subsets: of a hundred devices there are more than fit any memory."""
    import byzfl
    import torch
    torch.set_num_threads(1)
    vectors, mix = torch.from_numpy(matrix), byzfl.NNM(byzantine)
    rules = {
        "multi-krum": byzfl.MultiKrum(byzantine), "meamed": byzfl.Meamed(byzantine), "geometric-median": byzfl.GeometricMedian(),
        "centered-clipping": byzfl.CenteredClipping(L=3, tau=10.0), "caf": byzfl.CAF(byzantine),
    }
    before = {"clip": byzfl.Clipping(NORM), "arc": byzfl.ARC(byzantine), "nnm": mix}
    after = {"mean": byzfl.Average(), "geometric-median": byzfl.GeometricMedian(), "trimmed-mean": byzfl.TrMean(byzantine)}
    alone = {name: lambda rule=rule: rule(vectors) for name, rule in rules.items()}
    staged = {f"{stage}+{rule}": lambda stage=stage, rule=rule: after[rule](before[stage](vectors)) for stage in before for rule in after}
    return alone | staged


def byzpy_rules(matrix, byzantine):
    import torch
    from byzpy.aggregators.coordinate_wise.mean_of_medians import MeanOfMedians
    from byzpy.aggregators.coordinate_wise.trimmed_mean import CoordinateWiseTrimmedMean
    from byzpy.aggregators.geometric_wise.geometric_median import GeometricMedian
    from byzpy.aggregators.geometric_wise.krum import MultiKrum
    from byzpy.aggregators.norm_wise.caf import CAF
    from byzpy.aggregators.norm_wise.center_clipping import CenteredClipping
    from byzpy.aggregators.norm_wise.comparative_gradient_elimination import ComparativeGradientElimination
    from byzpy.pre_aggregators.nnm import NearestNeighborMixing
    torch.set_num_threads(1)
    rows, mix = list(torch.from_numpy(matrix)), NearestNeighborMixing(byzantine)
    rules = {
        "multi-krum": MultiKrum(byzantine, len(matrix) - byzantine), "meamed": MeanOfMedians(byzantine), "geometric-median": GeometricMedian(),
        "centered-clipping": CenteredClipping(c_tau=10.0, M=3, init="zero"), "cge": ComparativeGradientElimination(byzantine), "caf": CAF(byzantine),
    }
    after = {"geometric-median": GeometricMedian(), "trimmed-mean": CoordinateWiseTrimmedMean(byzantine)}
    alone = {name: lambda rule=rule: rule.aggregate(rows) for name, rule in rules.items()}
    staged = {f"nnm+{name}": lambda rule=rule: rule.aggregate(mix.pre_aggregate(rows)) for name, rule in after.items()}
    return alone | staged


PEERS = {"numpy": numpy_rules, "ByzFL": byzfl_rules, "byzpy": byzpy_rules}
