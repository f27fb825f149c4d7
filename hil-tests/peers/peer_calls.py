"""How public packages are asked for what the conformance vectors define, and why they differ, as read in their sources."""

import signal
import statistics
import warnings
from collections import namedtuple
from unittest import mock

import numpy as np

import defined_attacks
import defined_rules
import defined_stages
from defined import distance, mean

Call = namedtuple("Call", "kind package name run takes why variant")

# Seconds after which a package's call is given up.
PATIENCE = 30

NOTES = """## What is not asked
- `mimic`: ByzFL's and byzpy's `Mimic` send the honest vector whose index they are given. They do not look for the one that differs most.
- ByzFL's optimised attacks search for a factor against a rule by trying 20 of them; Outpost has no vectors for such searches.
- byzpy's rules have a second implementation, in parts, for its pool of processes. It was not asked.

## Why CAF's maximum is over updates that still have weight
ByzFL's documentation of `CAF` has c_i <- c_i (1 - t_i / max_j t_j), over all j. With exact eigenvectors and that maximum, the filter has not ended after
1,000 steps in {endless} of the {cases} vectors of `caf`: an update of weight 0 stays the farthest, so that no other loses all of its weight. The vectors take the
maximum over updates with weight above 0, so that each step takes all weight from one of them.
"""


def calls():
    """All that can be asked of the packages that are there."""
    asked = []
    for package in (byzfl, byzpy, flower):
        try:
            asked += package()
        except ImportError as error:
            warnings.warn(f"{package.__name__} is left out: {error}")
    warnings.simplefilter("ignore")
    entries = [*defined_rules.RULES.values(), *defined_stages.STAGES.values(), *defined_attacks.ATTACKS.values()]
    order = {(entry.kind, entry.name): number for number, entry in enumerate(entries)}
    return sorted(asked, key=lambda call: order[call.kind, call.name])


def every(case):
    return True


def squared(case):
    return case["settings"].get("distance") == "squared"


def has(**settings):
    return lambda case: all(case["settings"].get(key) == value for key, value in settings.items())


def lacks(*keys):
    return lambda case: not any(key in case["settings"] for key in keys)


def both(*conditions):
    return lambda case: all(condition(case) for condition in conditions)


def patiently(run):
    """`run`, which is stopped when it takes too long."""
    def limited(*arguments):
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(PATIENCE)
        try:
            np.random.seed(0)
            return run(*arguments)
        finally:
            signal.alarm(0)
    return limited


def too_long(*_):
    raise TimeoutError(f"{PATIENCE} s")


def trim(settings, byzantine):
    return settings.get("trim", byzantine)


def table(package, kind, rows):
    return [Call(kind, package, name, patiently(run), takes, why, variant) for name, run, takes, why, variant in rows]


def byzfl():
    import byzfl as peer

    def rows(round):
        return np.array(round.updates)

    def centered(round, settings, byzantine, state):
        if "rule" not in state:
            state["rule"] = peer.CenteredClipping(L=settings.get("steps", 3), tau=float(settings.get("radius", 10.0)))
        return state["rule"](rows(round))

    def bucketing(round, settings, byzantine, state):
        order = [round.devices.index(device) for device in round.fields["permutation"]]
        with mock.patch("numpy.random.permutation", lambda vectors: vectors[order]):
            return peer.Bucketing(settings.get("size", 2))(rows(round))

    same = "The definition."
    krum_why = "`Krum`, squared distances, sums those to the m - f - 1 nearest others; Blanchard et al. sum m - f - 2."
    return table("ByzFL", "rule", [
        ("mean", lambda r, s, f, _: peer.Average()(rows(r)), has(weighted=False), "The definition, without weights.", None),
        ("median", lambda r, s, f, _: peer.Median()(rows(r)), every, same, None),
        ("trimmed-mean", lambda r, s, f, _: peer.TrMean(trim(s, f))(rows(r)), every, same, None),
        ("krum", lambda r, s, f, _: peer.Krum(f)(rows(r)), squared, krum_why, krum_of_more),
        ("multi-krum", lambda r, s, f, _: peer.MultiKrum(f)(rows(r)), both(squared, lacks("select")), krum_why + " It always takes m - f.", multi_krum_of_more),
        ("meamed", lambda r, s, f, _: peer.Meamed(f)(rows(r)), every,
         "The definition, but of two values equally far from the median, `argpartition` takes either.", None),
        ("geometric-median", lambda r, s, f, _: peer.GeometricMedian(nu=s.get("smoothing", 1e-6), T=s.get("steps", 1000))(rows(r)), every,
         "`GeometricMedian` begins with the zero vector, not with the mean: the same at convergence, not after three steps.", weiszfeld_from_zero),
        ("centered-clipping", centered, every, same, None),
        ("mda", lambda r, s, f, _: peer.MDA(f)(rows(r)), every, same, None),
        ("smea", lambda r, s, f, _: peer.SMEA(f)(rows(r)), every,
         "`SMEA` estimates the largest eigenvalue of each subset by one power iteration from a vector drawn anew, so that it may choose another subset, and "
         "another one in the next call. Where all updates are equal it divides 0 by 0, and finds no subset.", None),
        ("caf", lambda r, s, f, _: peer.CAF(f)(rows(r)), every,
         "`CAF` takes for the top eigenvector one power iteration from a random vector; the largest projection is taken over all updates, "
         "those of weight 0 among them, so that weights may shrink without an end; with f = 0, and where all updates are equal, it returns nothing.", None),
    ]) + table("ByzFL", "stage", [
        ("clip", lambda r, s, f, _: peer.Clipping(float(s["norm"]))(rows(r)), every, same, None),
        ("arc", lambda r, s, f, _: peer.ARC(f)(rows(r)), every, same, None),
        ("nnm", lambda r, s, f, _: peer.NNM(f)(rows(r)), every, "The definition, but of updates equally far away, `argpartition` takes any.", None),
        ("bucketing", bucketing, every, "The definition, once its random order is replaced by that of the vectors.", None),
    ]) + table("ByzFL", "attack", [
        ("sign-flip", lambda r, s, f, _: peer.SignFlipping()(np.array(r.known(s))), both(has(of="mean"), lacks("scale")),
         "`SignFlipping` is that of the mean.", None),
        ("inner-product", lambda r, s, f, _: peer.InnerProductManipulation(float(s.get("epsilon", 0.1)))(np.array(r.known(s))), every,
         "The definition; epsilon is called `tau`, and 2 by default.", None),
        ("little-is-enough", lambda r, s, f, _: peer.ALittleIsEnough(-deviations(r, s))(np.array(r.known(s))), every,
         "`ALittleIsEnough` adds `tau` standard deviations of the *sample* (divided by n - 1; the definition divides by n), which one vector has "
         "not, and has no formula for `tau` (1.5 by default): here it is minus the definition's z.", little_of_sample),
    ])


def byzpy():
    import torch
    from byzpy.aggregators.coordinate_wise.mean_of_medians import MeanOfMedians
    from byzpy.aggregators.coordinate_wise.median import CoordinateWiseMedian
    from byzpy.aggregators.coordinate_wise.trimmed_mean import CoordinateWiseTrimmedMean
    from byzpy.aggregators.geometric_wise.geometric_median import GeometricMedian
    from byzpy.aggregators.geometric_wise.krum import Krum, MultiKrum
    from byzpy.aggregators.geometric_wise.minimum_diameter_average import MinimumDiameterAveraging
    from byzpy.aggregators.geometric_wise.smea import SMEA
    from byzpy.aggregators.norm_wise.caf import CAF
    from byzpy.aggregators.norm_wise.center_clipping import CenteredClipping
    from byzpy.aggregators.norm_wise.comparative_gradient_elimination import ComparativeGradientElimination
    from byzpy.attacks.empire import EmpireAttack
    from byzpy.attacks.little import LittleAttack
    from byzpy.attacks.sign_flip import SignFlipAttack
    from byzpy.pre_aggregators.arc import ARC
    from byzpy.pre_aggregators.bucketing import Bucketing
    from byzpy.pre_aggregators.clipping import Clipping
    from byzpy.pre_aggregators.nnm import NearestNeighborMixing

    def vectors(updates, dtype=torch.float64):
        return [torch.tensor(update, dtype=dtype) for update in updates]

    def aggregate(make, dtype=torch.float64):
        return lambda r, s, f, _: make(s, f).aggregate(vectors(r.updates, dtype)).numpy()

    def mixed(make):
        return lambda r, s, f, _: np.array([row.numpy() for row in make(r, s, f).pre_aggregate(vectors(r.updates))])

    def flipped(round, settings, byzantine, _):
        peer = SignFlipAttack(-settings.get("scale", 1.0))
        return np.array([peer.apply(base_grad=update).numpy() for update in vectors(round.colluders)])

    def order(round):
        return [round.devices.index(device) for device in round.fields["permutation"]]

    def krum(settings, byzantine):
        return Krum(byzantine)

    def select(round, settings, byzantine, _):
        return MultiKrum(byzantine, settings.get("select", len(round.updates) - byzantine)).aggregate(vectors(round.updates)).numpy()

    def steps(settings, byzantine):
        return GeometricMedian(tol=1e-12, max_iter=settings.get("steps", 1000), eps=settings.get("smoothing", 1e-6), init="mean")

    same = "The definition."
    krum_why = ("`Krum`, squared distances, sums those to the m - f - 1 nearest others; Blanchard et al. sum m - f - 2. Distances come from "
                "inner products, in the precision of the updates.")
    lower = "The median of an even number of values is the lower of the two middle ones (`torch.median`)."
    return table("byzpy", "rule", [
        ("median", aggregate(lambda s, f: CoordinateWiseMedian()), every, lower, lower_median),
        ("trimmed-mean", aggregate(lambda s, f: CoordinateWiseTrimmedMean(trim(s, f))), every, same, None),
        ("krum", aggregate(krum), squared, krum_why, krum_of_more),
        ("multi-krum", select, squared, krum_why, multi_krum_of_more),
        ("meamed", aggregate(lambda s, f: MeanOfMedians(f)), every,
         "`MeanOfMedians`, with the lower of the two middle values for the median of an even number; of two values equally far from it, either.",
         meamed_of_lower),
        ("geometric-median", aggregate(steps), every,
         "The definition, asked for a tolerance of 1e-12 and the mean to begin with; its defaults are 1e-6 and the median.", None),
        ("centered-clipping", aggregate(lambda s, f: CenteredClipping(c_tau=s.get("radius", 10.0), M=s.get("steps", 3), init="zero")), every,
         "`CenteredClipping` has no memory: each round begins anew, here with zero, by default with the mean, which an outlier moves.", clipping_from_zero),
        ("cge", aggregate(lambda s, f: ComparativeGradientElimination(f)), every,
         "The definition; its sort does not keep the order of equally long updates.", None),
        ("mda", aggregate(lambda s, f: MinimumDiameterAveraging(f)), every, "The definition. Distances come from inner products.", None),
        ("smea", aggregate(lambda s, f: SMEA(f)), every, "The definition. Eigenvalues come from inner products.", None),
        ("caf", aggregate(lambda s, f: CAF(f)), every,
         "`CAF` takes for the top eigenvector three power iterations from a fixed vector (`power_iters`); the largest projection is taken over all "
         "updates, those of weight 0 among them, so that weights may shrink without an end.", None),
    ]) + table("byzpy, float32", "rule", [
        ("krum", aggregate(krum, torch.float32), squared,
         "As above; in 32 bits, inner products of updates serve as well here.", krum_of_more),
    ]) + table("byzpy", "stage", [
        ("clip", mixed(lambda r, s, f: Clipping(s["norm"])), every, same, None),
        ("arc", mixed(lambda r, s, f: ARC(f)), every, same, None),
        ("nnm", mixed(lambda r, s, f: NearestNeighborMixing(f)), every,
         "The definition, but of updates equally far away it takes any. Distances come from inner products.", None),
        ("bucketing", mixed(lambda r, s, f: Bucketing(s.get("size", 2), perm=order(r))), every, same, None),
    ]) + table("byzpy", "attack", [
        ("sign-flip", flipped, has(of="own"),
         "`SignFlipAttack` is that of the own update.", None),
        ("inner-product", lambda r, s, f, _: EmpireAttack(-s.get("epsilon", 0.1)).apply(honest_grads=vectors(r.known(s))).numpy(), every,
         "The definition; minus epsilon is called `scale`, and -1 by default.", None),
        ("little-is-enough",
         lambda r, s, f, _: LittleAttack(len(r.colluders), len(r.colluders) + len(r.benign)).apply(honest_grads=vectors(r.known(s))).numpy(), lacks("z"),
         "`LittleAttack` takes the quantile of (m - s) / m, where Baruch et al. have (m - f - s) / (m - f), and adds z deviations where they "
         "subtract them.", little_of_all),
    ])


def flower():
    from flwr.app import ArrayRecord, MetricRecord, RecordDict
    from flwr.server.strategy import aggregate as older
    from flwr.serverapp.strategy import bulyan, fedtrimmedavg, multikrum, strategy_utils

    def models(round, dtype=float):
        return [np.array(model, dtype) for model in round.fields["models"]]

    def results(round, weights=None):
        return [([model], weight) for model, weight in zip(models(round), weights or [1] * len(round.updates))]

    def from_origin(run):
        return lambda r, s, f, _: np.asarray(run(r, s, f), float) - r.origin

    def weighted(round, settings, byzantine):
        weights = round.fields.get("examples") if settings.get("weighted", True) else None
        return older.aggregate(results(round, weights))[0]

    def contents(round, dtype):
        return [RecordDict({"arrays": ArrayRecord([model]), "metrics": MetricRecord({"num-examples": 1})}) for model in models(round, dtype)]

    def selected(count, dtype=float):
        def run(round, settings, byzantine):
            chosen = multikrum.select_multikrum(contents(round, dtype), byzantine, count(round, settings, byzantine))
            return strategy_utils.aggregate_arrayrecords(chosen, "num-examples").to_numpy_ndarrays()[0]
        return run

    def newer_bulyan(round, settings, byzantine):
        theta = len(round.updates) - 2 * byzantine
        chosen = [one["arrays"].to_numpy_ndarrays() for one in multikrum.select_multikrum(contents(round, float), byzantine, theta)]
        middle = [np.median(layers, axis=0) for layers in zip(*chosen)]
        return bulyan.aggregate_n_closest_weights(middle, chosen, theta - 2 * byzantine)[0]

    def keep(round, settings, byzantine):
        return settings.get("select", len(round.updates) - byzantine)

    def one(*_):
        return 1

    inner = "`MultiKrum` takes distances from inner products of whole models, in their precision."
    return table("Flower, `server.strategy`", "rule", [
        ("mean", from_origin(weighted), every, "The definition.", None),
        ("median", from_origin(lambda r, s, f: older.aggregate_median(results(r))[0]), every, "The definition.", None),
        ("trimmed-mean", from_origin(lambda r, s, f: older.aggregate_trimmed_avg(results(r), trim(s, f) / len(r.updates))[0]), every,
         "The definition; it asks for a share, and trims the share times m, rounded down.", None),
        ("krum", from_origin(lambda r, s, f: older.aggregate_krum(results(r), f, 0)[0]), squared, "The definition with squared distances.", None),
        ("multi-krum", from_origin(lambda r, s, f: older.aggregate_krum(results(r), f, keep(r, s, f))[0]), squared,
         "The definition with squared distances; of equal scores numpy's sort takes any. The mean is weighted by examples, here one each.", None),
        ("bulyan", from_origin(lambda r, s, f: older.aggregate_bulyan(results(r), f, older.aggregate_krum, to_keep=0)[0]), lacks("theta"),
         "Krum with squared distances, where Outpost's Bulyan has Euclidean ones; of two values equally far from the median, `argpartition` takes "
         "either.", bulyan_squared),
    ]) + table("Flower, `serverapp.strategy`", "rule", [
        ("trimmed-mean", from_origin(lambda r, s, f: fedtrimmedavg.trim_mean(np.array(models(r)), trim(s, f) / len(r.updates))), every,
         "The definition; it asks for a share, and trims the share times m, rounded down.", None),
        ("krum", from_origin(selected(one)), squared, inner, None),
        ("multi-krum", from_origin(selected(keep)), squared,
         inner + " Of equal scores numpy's sort takes any. The mean is weighted by examples, here one each.", None),
        ("bulyan", from_origin(newer_bulyan), lacks("theta"),
         "The selection takes the theta updates of least Krum score at once, where the paper takes one, and scores those left anew; squared "
         "distances; of two values equally far from the median, `argpartition` takes either. Asked by the functions that `Bulyan` calls.", bulyan_at_once),
    ]) + table("Flower, `serverapp.strategy`, float32", "rule", [
        ("krum", from_origin(selected(one, np.float32)), squared,
         "As above; in 32 bits, where the model is far longer than its updates, the rounding of inner products is longer than the distances.", None),
    ])


def steps_of_caf_over_all(round, byzantine, most=1000):
    """How many steps CAF takes where its maximum is over all updates, those of weight 0 among them; None for more."""
    updates, weights = round.updates, [1.0] * len(round.updates)
    for step in range(most):
        if sum(weights) <= len(updates) - 2 * byzantine:
            return step
        direction = defined_rules.top_eigenpair(updates, weights)[1]
        centre = sum(weight * update for weight, update in zip(weights, updates)) / sum(weights)
        far = [float(direction @ (update - centre)) ** 2 for update in updates]
        if max(far) == 0:
            return step
        weights = [weight * (1 - one / max(far)) for weight, one in zip(weights, far)]
    return None


def krum_of_more(round, settings, byzantine, state):
    return multi_krum_of_more(round, {"select": 1}, byzantine, state)


def multi_krum_of_more(round, settings, byzantine, state):
    """Multi-Krum with m - f - 1 neighbours."""
    scores = defined_rules.krum_scores(round.updates, byzantine - 1, squared=True)
    order = sorted(range(len(scores)), key=lambda i: (scores[i], i))
    return mean([round.updates[i] for i in order[:settings.get("select", len(scores) - byzantine)]])


def lower_median(round, settings, byzantine, state):
    return np.sort(np.array(round.updates), axis=0)[(len(round.updates) - 1) // 2]


def meamed_of_lower(round, settings, byzantine, state):
    middle = lower_median(round, settings, byzantine, state)
    count = len(round.updates) - byzantine
    return np.array([mean(sorted(values, key=lambda value: (abs(value - at), value))[:count]) for values, at in zip(zip(*round.updates), middle)])


def weiszfeld_from_zero(round, settings, byzantine, state):
    point = np.zeros_like(round.origin)
    for _ in range(settings.get("steps", 1000)):
        weights = [1 / max(settings.get("smoothing", 1e-6), distance(update, point)) for update in round.updates]
        point = sum(weight * update for weight, update in zip(weights, round.updates)) / sum(weights)
    return point


def clipping_from_zero(round, settings, byzantine, state):
    return defined_rules.centered_clipping(round, settings, byzantine, {})


def bulyan_squared(round, settings, byzantine, state):
    theta = len(round.updates) - 2 * byzantine
    left, selected = list(round.updates), []
    while len(selected) < theta:
        scores = defined_rules.krum_scores(left, byzantine, squared=True, least_neighbours=1)
        selected.append(left.pop(scores.index(min(scores))))
    return np.array([defined_rules.mean_near_median(list(values), theta - 2 * byzantine) for values in zip(*selected)])


def bulyan_at_once(round, settings, byzantine, state):
    theta = len(round.updates) - 2 * byzantine
    scores = defined_rules.krum_scores(round.updates, byzantine, squared=True, least_neighbours=1)
    order = sorted(range(len(scores)), key=lambda i: (scores[i], i))
    return np.array([defined_rules.mean_near_median(list(values), theta - 2 * byzantine) for values in zip(*[round.updates[i] for i in order[:theta]])])


def deviations(round, settings):
    """The definition's z."""
    devices, colluders = len(round.colluders) + len(round.benign), len(round.colluders)
    needed = devices // 2 + 1 - colluders
    if "z" in settings:
        return settings["z"]
    return statistics.NormalDist().inv_cdf((devices - colluders - needed) / (devices - colluders))


def little_of_sample(round, settings, byzantine, state):
    known = round.known(settings)
    return mean(known) - deviations(round, settings) * np.std(known, axis=0, ddof=1)


def little_of_all(round, settings, byzantine, state):
    devices, known = len(round.colluders) + len(round.benign), round.known(settings)
    needed = devices // 2 + 1 - len(round.colluders)
    return mean(known) + statistics.NormalDist().inv_cdf((devices - needed) / devices) * defined_attacks.deviation(known)
