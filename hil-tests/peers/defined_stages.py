"""What each stage before the rule is, worked out from its definition: float64, loops over vectors, no shortcuts.

A stage returns whose rows are left, and the rows, as updates.
"""

import itertools
import math

import numpy as np

from defined import Undefined, collect, cosine, distance, length, mean, shortened

STAGES, stage = collect("stage")


@stage("clip", "Sun et al. 2019, Can You Really Backdoor Federated Learning? (norm thresholding)",
       "Each update u becomes u min(1, norm / |u|). Without noise.")
def clip(round, settings, byzantine, state):
    return round.devices, [shortened(update, settings["norm"]) for update in round.updates]


@stage("arc", "Allouah et al. 2024, Adaptive Gradient Clipping for Robust Federated Learning (adaptive robust clipping)",
       "The k = floor(2 (f / m) (m - f)) longest updates are shortened to the length of the next longest.")
def arc(round, settings, byzantine, state):
    count = len(round.updates)
    shorten = 2 * byzantine * (count - byzantine) // count
    limit = sorted((length(update) for update in round.updates), reverse=True)[shorten]
    return round.devices, [shortened(update, limit) for update in round.updates]


@stage("nnm", "Allouah et al. 2023, Fixing by Mixing (nearest neighbour mixing)",
       "Each update becomes the mean of the m - f updates nearest to it, itself first among them; of equally far ones the lowest index is nearer.")
def nnm(round, settings, byzantine, state):
    updates, mixed = round.updates, []
    for i, update in enumerate(updates):
        order = sorted(range(len(updates)), key=lambda j: (j != i, distance(update, updates[j]), j))
        mixed.append(mean([updates[j] for j in order[:len(updates) - byzantine]]))
    return round.devices, mixed


@stage("bucketing", "Karimireddy, He and Jaggi 2022, Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing",
       "The means of groups of `size` updates (2 by default), which follow each other in a random order; the last group may be smaller. A "
       "program draws the order; here the round gives it, as a list of devices. The devices of a row that is left are those of its group.")
def bucketing(round, settings, byzantine, state):
    order, size = round.fields["permutation"], settings.get("size", 2)
    assert sorted(order) == sorted(round.devices)
    groups = [order[start:start + size] for start in range(0, len(order), size)]
    return groups, [mean([round.updates[round.devices.index(device)] for device in group]) for group in groups]


@stage("dnc", "Shejwalkar and Houmansadr 2021, Manipulating the Byzantine (divide and conquer)",
       "For each list of coordinates, `iterations` lists in all: of the updates at these coordinates less their mean, squares of the "
       "projections on the top right singular vector; the `filter` x f largest are marked, of equals the highest index first. Updates that "
       "are marked in no iteration are left; if none is, those that the last iteration did not mark. A program draws the coordinates; here "
       "the round gives them.")
def dnc(round, settings, byzantine, state):
    kept = set(range(len(round.updates)))
    for coordinates in round.fields["coordinates"]:
        part = [update[coordinates] for update in round.updates]
        centred = [vector - mean(part) for vector in part]
        direction = np.linalg.svd(np.array(centred))[2][0]
        scores = [float(direction @ vector) ** 2 for vector in centred]
        order = sorted(range(len(scores)), key=lambda i: (scores[i], i))
        last = set(order[:len(order) - math.floor(settings.get("filter", 1.0) * byzantine)])
        kept &= last
    return rows(round, sorted(kept or last))


def rows(round, indices):
    return [round.devices[i] for i in indices], [round.updates[i] for i in indices]


@stage("norm-sign", "Xu et al. 2022, Byzantine-robust Federated Learning through Collaborative Malicious Gradient Filtering (SignGuard)",
       "Keeps updates with a length from `lower` to `upper` times the median length (0.1 and 3), and of the shares of positive, zero and "
       "negative values at the given coordinates the largest mean-shift cluster; what both keep is shortened to the median length, which is "
       "that of all updates. Mean shift: a flat kernel, the bandwidth as scikit-learn estimates it (the mean, over all points, of the "
       "distance to the farthest of the floor(m / 2) nearest points, itself among them). Each point climbs until it stands; of the ends, in "
       "descending order of the points within the bandwidth, one within the bandwidth of another that is kept is dropped; a point belongs to "
       "the nearest end that is kept, to none beyond the bandwidth. A program draws the coordinates; here the round gives them.")
def norm_sign(round, settings, byzantine, state):
    lengths = [length(update) for update in round.updates]
    middle = float(np.median(lengths))
    plausible = {i for i, own in enumerate(lengths)
                 if settings.get("lower", 0.1) * middle <= own <= settings.get("upper", 3.0) * middle}
    shares = [np.array([np.mean(np.sign(update[round.fields["coordinates"]]) == sign) for sign in (1, 0, -1)])
              for update in round.updates]
    kept = sorted(plausible & largest_cluster(shares))
    return [round.devices[i] for i in kept], [shortened(round.updates[i], middle) for i in kept]


def largest_cluster(points):
    """Indices of the points of the largest mean-shift cluster; of equally large ones that of the lowest index."""
    nearest = max(1, len(points) // 2)
    bandwidth = mean([sorted(distance(point, other) for other in points)[nearest - 1] for point in points])
    # What differs by less is the same point, up to rounding.
    within = bandwidth + 1e-9
    ends = []
    for point in points:
        for _ in range(300):
            before, point = point, mean([other for other in points if distance(point, other) <= within])
            if distance(before, point) <= 1e-12:
                break
        ends.append((sum(distance(point, other) <= within for other in points), point))
    kept = []
    for _, end in sorted(ends, key=lambda end: -end[0]):
        if all(distance(end, other) > within for other in kept):
            kept.append(end)
    clusters = [set() for _ in kept]
    for i, point in enumerate(points):
        distances = [distance(point, end) for end in kept]
        if min(distances) <= within:
            clusters[distances.index(min(distances))].add(i)
    largest = max(map(len, clusters))
    return min((cluster for cluster in clusters if len(cluster) == largest), key=min)


@stage("clipped-clustering", "Li, Ngai and Voigt 2023, An Experimental Study of Byzantine-Robust Aggregation Schemes in Federated Learning (ClippedClustering)",
       "Shortens updates to the median of the lengths of all updates that came in so far, this round's among them, as they were before they "
       "were shortened; average-linkage clustering by cosine distance (1 - cosine; 1 to a zero vector) into two clusters; the larger one is "
       "left, of equally large ones that of the lowest index.")
def clipped_clustering(round, settings, byzantine, state):
    lengths = state.setdefault("lengths", [])
    lengths += [length(update) for update in round.updates]
    clusters = [[i] for i in range(len(round.updates))]

    def apart(pair):
        return mean([1 - cosine(round.updates[i], round.updates[j]) for i in clusters[pair[0]] for j in clusters[pair[1]]])

    while len(clusters) > 2:
        a, b = min(itertools.combinations(range(len(clusters)), 2), key=apart)
        clusters[a] = sorted(clusters[a] + clusters[b])
        del clusters[b]
    largest = max(map(len, clusters))
    devices, updates = rows(round, min(cluster for cluster in clusters if len(cluster) == largest))
    return devices, [shortened(update, float(np.median(lengths))) for update in updates]


@stage("flame", "Nguyen et al. 2022, FLAME: Taming Backdoors in Federated Learning, without noise",
       "Keeps the cluster that HDBSCAN (smallest cluster floor(m / 2) + 1, one sample) finds by cosine distance: with one sample it is "
       "single linkage, and no two clusters of more than half can be, so it is the first connected set of more than m / 2 updates as the "
       "distance up to which two are connected grows. The rest is shortened to the median length of all updates. Distances that differ by "
       "less than 1e-9 count as equal; the cosine with a zero vector is 0.")
def flame(round, settings, byzantine, state):
    updates = round.updates
    apart = [[1 - cosine(a, b) if i != j else 0.0 for j, b in enumerate(updates)] for i, a in enumerate(updates)]
    middle = float(np.median([length(update) for update in updates]))
    for threshold in sorted(itertools.chain(*apart)):
        for i in range(len(updates)):
            connected, reached = {i}, [i]
            while reached:
                at = reached.pop()
                new = {j for j in range(len(updates)) if apart[at][j] <= threshold + 1e-9} - connected
                connected |= new
                reached += new
            if len(connected) > len(updates) / 2:
                devices, left = rows(round, sorted(connected))
                return devices, [shortened(update, middle) for update in left]
    raise AssertionError("all are connected at the largest distance")


@stage("fldetector", "Zhang et al. 2022, FLDetector",
       "With w_t the global model of round t, g_t = w_(t+1) - w_t and u_i,t a device's update: the distance in round t is |u_i,(t-1) + H "
       "(w_t - w_(t-1)) - u_i,t|, H v by L-BFGS from the last `window` pairs w_r - w_(r-1), g_r - g_(r-1) with r < t; distances begin with the "
       "third round, are divided by their sum, and their mean over the last `window` rounds is the score, once there are so many. Scores are "
       "mapped to [0, 1] by the least and the largest. There are attackers unless Gap(1) >= Gap(2) - s_2: W_k is the least sum of squares "
       "around k means, Gap(k) = mean over reference sets of log W_k - log W_k of the scores, s_2 = sqrt(1 + 1 / sets) x the population "
       "deviation of log W_2 over the sets. Then the cluster of the 2-means with the larger mean is left out. Nobody is left out before, or "
       "where all scores are equal. A program draws the reference sets, uniform in [0, 1]; here the round gives them.")
def fldetector(round, settings, byzantine, state):
    window = settings.get("window", 10)
    origins, before = state.setdefault("origins", []), state.get("updates")
    origins.append(round.origin)
    state["updates"] = dict(zip(round.devices, round.updates))
    if len(origins) < 3:
        return round.devices, round.updates
    moves = [after - origin for origin, after in zip(origins, origins[1:])]
    # The last move is what the updates are predicted for; what moves with w_r - w_(r-1) is g_r - g_(r-1).
    steps = moves[:-1][-window:]
    changes = [after - move for move, after in zip(moves, moves[1:])][-window:]
    predicted = hessian_times(steps, changes, moves[-1])
    distances = [distance(before[device] + predicted, update) for device, update in zip(round.devices, round.updates)]
    total = sum(distances)
    history = state.setdefault("distances", [])
    history.append([one / total if total > 0 else 0.0 for one in distances])
    if len(history) < window:
        return round.devices, round.updates
    scores = mean([np.array(row) for row in history[-window:]])
    if max(scores) == min(scores):
        return round.devices, round.updates
    scores = (scores - min(scores)) / (max(scores) - min(scores))
    if "references" not in round.fields:
        raise Undefined("no reference sets")
    spreads = [[math.log(two_means(points, clusters)[0]) for clusters in (1, 2)] for points in round.fields["references"]]
    own = [two_means(scores, clusters)[0] for clusters in (1, 2)]
    gaps = [mean([row[k] for row in spreads]) - (math.log(own[k]) if own[k] > 0 else -math.inf) for k in (0, 1)]
    deviation = math.sqrt(1 + 1 / len(spreads)) * float(np.std([row[1] for row in spreads]))
    if gaps[0] >= gaps[1] - deviation:
        return round.devices, round.updates
    worse = two_means(scores, 2)[1]
    return rows(round, [i for i in range(len(scores)) if i not in worse])


def hessian_times(steps, changes, vector):
    """The compact form of BFGS (Byrd, Nocedal and Schnabel 1994), as the paper has it, times a vector."""
    S, Y = np.array(steps).T, np.array(changes).T
    products = S.T @ Y
    lower = np.tril(products, -1)
    scale = (Y[:, -1] @ S[:, -1]) / (S[:, -1] @ S[:, -1])
    middle = np.block([[scale * S.T @ S, lower], [lower.T, -np.diag(np.diag(products))]])
    right = np.concatenate([scale * S.T @ vector, Y.T @ vector])
    return scale * vector - np.hstack([scale * S, Y]) @ np.linalg.solve(middle, right)


def two_means(values, clusters):
    """The least sum of squares around one or two means, and the indices of the cluster of larger mean."""
    def spread(part):
        return sum((value - mean(part)) ** 2 for value in part)
    order = sorted(range(len(values)), key=lambda i: values[i])
    if clusters == 1:
        return spread(values), set(order)
    # In one dimension clusters are intervals.
    splits = [(spread([values[i] for i in order[:cut]]) + spread([values[i] for i in order[cut:]]), cut)
              for cut in range(1, len(order))]
    least, cut = min(splits)
    return least, set(order[cut:])
