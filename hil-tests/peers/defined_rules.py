"""What each rule is, worked out from its definition: float64, loops over vectors, no shortcuts."""

import itertools
import math

import numpy as np

from defined import Undefined, collect, cosine, distance, length, mean

RULES, rule = collect("rule")


@rule("mean", "McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data (FederatedAveraging)",
      "The mean of the updates, weighted by examples; with weighted = false each counts once.")
def weighted_mean(round, settings, byzantine, state):
    weights = round.fields.get("examples") if settings.get("weighted", True) else None
    weights = weights or [1] * len(round.updates)
    return sum(weight * update for weight, update in zip(weights, round.updates)) / sum(weights)


def krum_scores(updates, byzantine, squared, least_neighbours=0):
    """Of each update, the sum of the distances to its m - f - 2 nearest others."""
    neighbours = max(len(updates) - byzantine - 2, least_neighbours)
    scores = []
    for i, update in enumerate(updates):
        distances = [distance(update, other) for j, other in enumerate(updates) if j != i]
        if squared:
            distances = [float(np.sum((update - other) ** 2)) for j, other in enumerate(updates) if j != i]
        scores.append(sum(sorted(distances)[:neighbours]))
    return scores


@rule("krum", "Blanchard et al. 2017, Machine Learning with Adversaries (squared distances); Fang et al. 2020, section 2.2 (Euclidean distances)",
      "The update of least score: the sum of the distances to its m - f - 2 nearest others. Distances are Euclidean, with "
      "distance = squared their squares. Of equal scores the lowest index wins. Needs f < (m - 2) / 2.")
def krum(round, settings, byzantine, state):
    assert 2 * byzantine + 2 < len(round.updates)
    scores = krum_scores(round.updates, byzantine, settings.get("distance") == "squared")
    return round.updates[scores.index(min(scores))]


@rule("multi-krum", "Blanchard et al. 2017, Machine Learning with Adversaries (Multi-Krum)",
      "The mean of the `select` updates of least Krum score, by default m - f. Distances as in krum; of equal scores the lowest "
      "index goes first. Scores are taken once, over all updates. Needs f < (m - 2) / 2.")
def multi_krum(round, settings, byzantine, state):
    assert 2 * byzantine + 2 < len(round.updates)
    scores = krum_scores(round.updates, byzantine, settings.get("distance") == "squared")
    order = sorted(range(len(scores)), key=lambda i: (scores[i], i))
    return mean([round.updates[i] for i in order[:settings.get("select", len(scores) - byzantine)]])


def mean_near_median(values, count):
    """The mean of the `count` values nearest the median; of two equally far ones the lower is nearer."""
    middle = float(np.median(values))
    return sum(sorted(values, key=lambda value: (abs(value - middle), value))[:count]) / count


@rule("bulyan", "El Mhamdi, Guerraoui and Rouault 2018, The Hidden Vulnerability of Distributed Learning in Byzantium",
      "Moves the Krum winner (Euclidean distances, lowest index of equals) of those left into a selection, theta times, by default "
      "m - 2f; while m' are left, the m' - f - 2 nearest others count, at least one. Each coordinate is then the mean of the gamma "
      "selected values nearest their median, by default theta - 2f; of two equally far values the lower is nearer. Needs m >= 4f + 3.")
def bulyan(round, settings, byzantine, state):
    assert 4 * byzantine + 3 <= len(round.updates)
    theta = settings.get("theta", len(round.updates) - 2 * byzantine)
    gamma = settings.get("gamma", theta - 2 * byzantine)
    left, selected = list(round.updates), []
    while len(selected) < theta:
        scores = krum_scores(left, byzantine, squared=False, least_neighbours=1)
        selected.append(left.pop(scores.index(min(scores))))
    return np.array([mean_near_median(list(values), gamma) for values in zip(*selected)])


@rule("trimmed-mean", "Yin et al. 2018, Byzantine-Robust Distributed Learning, definition 2",
      "Of each coordinate the mean without the `trim` largest and the `trim` smallest values; `trim` is f by default. Needs trim < m / 2.")
def trimmed_mean(round, settings, byzantine, state):
    trim = settings.get("trim", byzantine)
    assert 2 * trim < len(round.updates)
    return np.array([mean(sorted(values)[trim:len(values) - trim]) for values in zip(*round.updates)])


@rule("median", "Yin et al. 2018, Byzantine-Robust Distributed Learning, definition 1",
      "Of each coordinate the median; of an even number of values the mean of the two middle ones.")
def median(round, settings, byzantine, state):
    def middle(values):
        values = sorted(values)
        return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
    return np.array([middle(values) for values in zip(*round.updates)])


@rule("meamed", "Xie, Koyejo and Gupta 2018, Generalized Byzantine-tolerant SGD (mean around median)",
      "Of each coordinate the mean of the m - f values nearest the median; the median of an even number is the mean of the two middle "
      "values, and of two values equally far from it the lower is nearer. Needs f < m / 2.")
def meamed(round, settings, byzantine, state):
    assert 2 * byzantine < len(round.updates)
    count = len(round.updates) - byzantine
    return np.array([mean_near_median(list(values), count) for values in zip(*round.updates)])


def weiszfeld(points, smoothing, steps=None):
    """The geometric median by Weiszfeld's algorithm from the mean."""
    weights = [1 / len(points)] * len(points)
    for _ in range(1000 if steps is None else steps):
        at = sum(weight * point for weight, point in zip(weights, points))
        inverses = [1 / max(smoothing, distance(point, at)) for point in points]
        before, weights = weights, [inverse / sum(inverses) for inverse in inverses]
        if steps is None and all(abs(new - old) <= 1e-9 * new for new, old in zip(weights, before)):
            break
    else:
        if steps is None:
            raise Undefined("not converged")
    return sum(weight * point for weight, point in zip(weights, points))


@rule("geometric-median", "Pillutla, Kakade and Harchaoui 2019, Robust Aggregation for Federated Learning (RFA)",
      "The point whose sum of distances to the updates is least, by Weiszfeld's algorithm: from the mean, again and again the mean "
      "weighted by 1 / max(smoothing, distance), until no weight changes by more than 1e-9 of itself; with `steps` exactly that many "
      "times. `smoothing` is 1e-6 by default. Needs f < m / 2.")
def geometric_median(round, settings, byzantine, state):
    assert 2 * byzantine < len(round.updates)
    return weiszfeld(round.updates, settings.get("smoothing", 1e-6), settings.get("steps"))


@rule("median-of-means", "Chen, Su and Xu 2017, Distributed Statistical Machine Learning in Adversarial Settings",
      "The geometric median (as in geometric-median, to convergence) of the means of groups of devices, each group counted once. A "
      "program draws the groups; here the round gives them, as lists of devices. Needs more than 2f groups.")
def median_of_means(round, settings, byzantine, state):
    groups = round.fields["groups"]
    assert len(groups) > 2 * byzantine and sorted(sum(groups, [])) == sorted(round.devices)
    means = [mean([round.updates[round.devices.index(device)] for device in group]) for group in groups]
    return weiszfeld(means, settings.get("smoothing", 1e-6))


@rule("centered-clipping", "Karimireddy, He and Jaggi 2021, Learning from History for Byzantine Robust Optimization",
      "`steps` times (3 by default) v <- v + mean of (u - v) min(1, radius / |u - v|), from the aggregate of the last round, in the "
      "first from zero. `radius` is 10 by default.")
def centered_clipping(round, settings, byzantine, state):
    point = state.get("last", np.zeros_like(round.origin))
    for _ in range(settings.get("steps", 3)):
        point = point + mean([shortened_to(update - point, settings.get("radius", 10.0)) for update in round.updates])
    state["last"] = point
    return point


def shortened_to(vector, radius):
    return vector if length(vector) == 0 else vector * min(1.0, radius / length(vector))


@rule("cge", "Gupta, Liu and Vaidya 2020, Byzantine Fault-Tolerant Distributed Machine Learning Using SGD and Norm-Based Comparative Gradient Elimination",
      "The mean of the m - f shortest updates (norm-based elimination); of equally long ones the later counts as longer. Needs f < m / 2.")
def cge(round, settings, byzantine, state):
    assert 2 * byzantine < len(round.updates)
    order = sorted(range(len(round.updates)), key=lambda i: (length(round.updates[i]), i))
    return mean([round.updates[i] for i in order[:len(order) - byzantine]])


@rule("mda", "El Mhamdi et al. 2018, The Hidden Vulnerability of Distributed Learning in Byzantium (minimum diameter; also Rousseeuw 1985)",
      "The mean of the m - f updates whose largest distance between two of them is least; of subsets with equal diameter the "
      "lexicographically first, by index. Needs f < m / 2.")
def mda(round, settings, byzantine, state):
    def diameter(subset):
        return max((distance(a, b) for a, b in itertools.combinations(subset, 2)), default=0.0)
    return mean(least_subset(round.updates, byzantine, diameter))


def least_subset(updates, byzantine, measure):
    """Of all subsets of m - f the first one of least `measure`."""
    assert 2 * byzantine < len(updates)
    # In lexicographic order; `min` takes the first of equals.
    subsets = itertools.combinations(updates, len(updates) - byzantine)
    return min(subsets, key=measure)


@rule("smea", "Allouah et al. 2023, On the Privacy-Robustness-Utility Trilemma in Distributed Learning (smallest maximum eigenvalue averaging)",
      "The mean of the m - f updates whose covariance has the least largest eigenvalue; of equals the lexicographically first subset. Needs f < m / 2.")
def smea(round, settings, byzantine, state):
    return mean(least_subset(round.updates, byzantine, lambda subset: top_eigenpair(subset, [1] * len(subset))[0]))


def top_eigenpair(vectors, weights):
    """The largest eigenvalue of the weighted covariance, divided by the sum of the weights, and its eigenvector."""
    total = sum(weights)
    centre = sum(weight * vector for weight, vector in zip(weights, vectors)) / total
    covariance = np.zeros((len(centre), len(centre)))
    for weight, vector in zip(weights, vectors):
        covariance += weight * np.outer(vector - centre, vector - centre) / total
    values, directions = np.linalg.eigh(covariance)
    return max(0.0, float(values[-1])), directions[:, -1]


@rule("caf", "Allouah et al. 2025, Towards Trustworthy Federated Learning with Untrusted Participants (covariance-bound agnostic filter)",
      "Each update weighs c = 1 at first. While the sum of c is above m - 2f: with the weighted mean and the largest eigenvalue of the "
      "weighted covariance (both divided by the sum of c) and its eigenvector v, c <- c (1 - t / max t), t = (v . (u - mean))^2, the "
      "maximum over updates with c > 0. The result is the mean of the step whose eigenvalue was least; the mean of all where f = 0, and "
      "where all that still count are equal, theirs. Needs f < m / 2.")
def caf(round, settings, byzantine, state):
    assert 2 * byzantine < len(round.updates)
    updates = round.updates
    weights, least, best = [1.0] * len(updates), math.inf, mean(updates)
    while sum(weights) > len(updates) - 2 * byzantine:
        value, direction = top_eigenpair(updates, weights)
        centre = sum(weight * update for weight, update in zip(weights, updates)) / sum(weights)
        if value < least:
            least, best = value, centre
        far = [float(direction @ (update - centre)) ** 2 if weight > 0 else 0.0 for weight, update in zip(weights, updates)]
        if max(far) == 0:
            break
        weights = [weight * (1 - one / max(far)) for weight, one in zip(weights, far)]
    return best


@rule("sign-majority", "Ozdayi, Kantarcioglu and Gel 2021, Defending against Backdoors in Federated Learning with Robust Learning Rate",
      "The mean update, each coordinate turned around where |sum of the signs of the updates| is below `threshold`, f + 1 by default; 0 has "
      "no sign.")
def sign_majority(round, settings, byzantine, state):
    threshold = settings.get("threshold", byzantine + 1)
    votes = sum(np.sign(update) for update in round.updates)
    return np.where(np.abs(votes) < threshold, -1.0, 1.0) * mean(round.updates)


@rule("foolsgold", "Fung, Yoon and Beschastnikh 2018, Mitigating Sybils in Federated Learning Poisoning",
      "Compares the sums H of the updates of each device so far. cs = cosines of the H; v_i = max over j != i of cs_ij; where v_i < v_j, "
      "cs_ij is multiplied by v_i / v_j; a_i = 1 - max over j != i of cs_ij, cut to [0, 1], divided by the largest a; weight = confidence "
      "(ln(a / (1 - a)) + 1/2), cut to [0, 1], 1 where a = 1. The result is the weighted mean of this round's updates, and zero where no "
      "weight is above 0; no weight is where no a is above 1e-6. The cosine with a zero vector is 0; one device alone weighs 1. A device "
      "that is absent keeps its sum.")
def foolsgold(round, settings, byzantine, state):
    sums = []
    for device, update in zip(round.devices, round.updates):
        state[device] = state.get(device, 0.0) + update
        sums.append(state[device])
    weights = foolsgold_weights(sums, settings.get("confidence", 1.0))
    if sum(weights) == 0:
        return np.zeros_like(round.origin)
    return sum(weight * update for weight, update in zip(weights, round.updates)) / sum(weights)


def foolsgold_weights(sums, confidence):
    count = len(sums)
    if count == 1:
        return [1.0]
    likeness = [[cosine(a, b) for b in sums] for a in sums]
    most = [max(likeness[i][j] for j in range(count) if j != i) for i in range(count)]
    apart = []
    for i in range(count):
        pardoned = []
        for j in range(count):
            if j != i:
                if most[i] < most[j] and (most[i] < 0 or most[j] <= 0):
                    raise Undefined("a ratio of cosines that is no ratio")
                pardoned.append(likeness[i][j] * (most[i] / most[j] if most[i] < most[j] else 1.0))
        apart.append(min(1.0, max(0.0, 1.0 - max(pardoned))))
    if max(apart) <= 1e-6:
        return [0.0] * count
    weights = []
    for share in (one / max(apart) for one in apart):
        logit = math.inf if share == 1 else -math.inf if share == 0 else math.log(share / (1 - share)) + 0.5
        weights.append(min(1.0, max(0.0, confidence * logit)))
    return weights


@rule("fltrust", "Cao et al. 2021, FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping",
      "With u_0, the update that the aggregator trained itself (`root` is its model): trust_i = max(0, cos(u_i, u_0)); each update is "
      "rescaled to the length of u_0; the result is the mean weighted by trust, and u_0 where all trusts are 0.")
def fltrust(round, settings, byzantine, state):
    root = np.array(round.fields["root"], float) - round.origin
    trusts = [max(0.0, cosine(update, root)) for update in round.updates]
    if sum(trusts) == 0:
        return root
    rescaled = [trust * update * length(root) / length(update) for trust, update in zip(trusts, round.updates) if trust > 0]
    return sum(rescaled) / sum(trusts)
