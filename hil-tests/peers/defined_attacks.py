"""What each attack on updates is, worked out from its definition: float64, loops over vectors, no shortcuts.

An attack returns what each colluder sends, as updates.
"""

import math
from statistics import NormalDist

import numpy as np

from defined import collect, distance, length, mean, shortened
from defined_rules import krum_scores

ATTACKS, attack = collect("attack")


def alike(update, round):
    return [update] * len(round.colluders)


def deviation(updates):
    """The population standard deviation of each coordinate."""
    return np.sqrt(mean([(update - mean(updates)) ** 2 for update in updates]))


@attack("sign-flip", "Allen-Zhu et al. 2020, Byzantine-Resilient Non-Convex SGD (own); Damaskinos et al. 2018, Asynchronous Byzantine Machine Learning (mean)",
        "of = own: -scale times the device's own update; of = mean: -scale times the mean of the updates that the attacker knows. `scale` is 1 by default.")
def sign_flip(round, settings, byzantine, state):
    scale = settings.get("scale", 1.0)
    if settings.get("of", "own") == "mean":
        return alike(-scale * mean(round.known(settings)), round)
    return [-scale * update for update in round.colluders]


@attack("inner-product", "Xie, Koyejo and Gupta 2019, Fall of Empires",
        "-epsilon times the mean of the updates that the attacker knows; `epsilon` is 0.1 by default.")
def inner_product(round, settings, byzantine, state):
    return alike(-settings.get("epsilon", 0.1) * mean(round.known(settings)), round)


@attack("little-is-enough", "Baruch, Baruch and Goldberg 2019, A Little Is Enough",
        "mean - z deviation per coordinate, of the updates that the attacker knows; the deviation is the population's. Unless set, z is the "
        "standard normal's quantile of (m - f - s) / (m - f), s = floor(m / 2 + 1) - f, m all devices of the round, f the colluders.")
def little_is_enough(round, settings, byzantine, state):
    devices, colluders = len(round.colluders) + len(round.benign), len(round.colluders)
    needed = math.floor(devices / 2 + 1) - colluders
    z = settings.get("z")
    if z is None:
        z = NormalDist().inv_cdf((devices - colluders - needed) / (devices - colluders))
    known = round.known(settings)
    return alike(mean(known) - z * deviation(known), round)


def perturbation(known, settings):
    centre = mean(known)
    if settings.get("direction", "deviation") == "deviation":
        return -deviation(known)
    if settings["direction"] == "unit":
        return -centre / length(centre) if length(centre) > 0 else 0 * centre
    return -np.sign(centre)


def farthest(known, settings, allowed):
    """mean + g p, with the largest g for which it is `allowed`; the mean where p is zero."""
    centre, direction = mean(known), perturbation(known, settings)
    if length(direction) == 0:
        return centre
    low, high = 0.0, 1.0
    while allowed(centre + high * direction):
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if allowed(centre + middle * direction) else (low, middle)
    return centre + low * direction


@attack("min-max", "Shejwalkar and Houmansadr 2021, Manipulating the Byzantine",
        "mean + g p of the known updates with the largest g for which no known update is farther from what is sent than the two known ones "
        "that are farthest apart. `direction` p: deviation (-population deviation, the default), unit (-mean / |mean|) or sign (-sign(mean), 0 of "
        "0). Where p is zero the mean is sent.")
def min_max(round, settings, byzantine, state):
    known = round.known(settings)
    limit = max(distance(a, b) for a in known for b in known)
    return alike(farthest(known, settings, lambda sent: max(distance(sent, update) for update in known) <= limit), round)


@attack("min-sum", "Shejwalkar and Houmansadr 2021, Manipulating the Byzantine",
        "As min-max, with the largest g for which the sum of squared distances from what is sent to the known updates is at most the largest "
        "such sum of a known update; with bound = least the least such sum, as the authors' code has it.")
def min_sum(round, settings, byzantine, state):
    known = round.known(settings)

    def squares(point):
        return sum(float(np.sum((point - update) ** 2)) for update in known)

    limit = (min if settings.get("bound", "largest") == "least" else max)(squares(update) for update in known)
    return alike(farthest(known, settings, lambda sent: squares(sent) <= limit), round)


@attack("model-replacement", "Bagdasaryan et al. 2018, How To Backdoor Federated Learning",
        "scale times what the device trained on its data, poisoned as they are; unless set, scale = m / f, m all devices of the round, f the "
        "colluders. With `clip` then shortened to that length.")
def model_replacement(round, settings, byzantine, state):
    devices, colluders = len(round.colluders) + len(round.benign), len(round.colluders)
    scale = settings.get("scale", devices / colluders)
    return [shortened(scale * update, settings.get("clip", math.inf)) for update in round.colluders]


@attack("neurotoxin", "Zhang et al. 2022, Neurotoxin: Durable Backdoors in Federated Learning",
        "The device's own update, 0 at the floor(`top` d) coordinates where the global model changed most in absolute value since the last "
        "round (0.05 by default); of equal changes the lowest index counts as larger. In the first round, with no change known, all of it.")
def neurotoxin(round, settings, byzantine, state):
    last = state.get("origin")
    state["origin"] = round.origin
    if last is None:
        return round.colluders
    change = np.abs(round.origin - last)
    order = sorted(range(len(change)), key=lambda j: (-change[j], j))
    mask = np.ones(len(change))
    mask[order[:math.floor(settings.get("top", 0.05) * len(change) + 1e-9)]] = 0
    return [update * mask for update in round.colluders]


@attack("poisoned-fl", "Xie, Fang and Gong 2025, Model Poisoning Attacks to Federated Learning via Multi-Round Consistency",
        "With s (`signs` of the round, the same in all), h the global model's last change and a the last update sent: c |h| (v * s) / |v|, v = "
        "|h - a |h| / |a|| in each coordinate; v = |h| where that or a is zero. In the first round colluders send what they trained; a is "
        "then their mean. c = `scale`, 8 by default. In rounds 51, 101, ...: if fewer coordinates of the change over the last 50 rounds have the "
        "sign of s than the 0.99 quantile of Binomial(d, 1/2), c becomes max(0.7 c, 0.5) before it is used.")
def poisoned_fl(round, settings, byzantine, state):
    origins = state.setdefault("origins", [])
    origins.append(round.origin)
    signs = np.array(round.fields["signs"], float)
    if len(origins) == 1:
        state["sent"] = mean(round.colluders)
        return round.colluders
    if len(origins) % 50 == 1:
        agreeing = int(np.sum(np.sign(origins[-1] - origins[-51]) == signs))
        if agreeing < binomial_quantile(len(signs), 0.99):
            state["scale"] = max(0.7 * state.get("scale", settings.get("scale", 8.0)), 0.5)
    change, sent = origins[-1] - origins[-2], state["sent"]
    shape = np.abs(change - sent * (length(change) / length(sent) if length(sent) > 0 else 0.0))
    if length(shape) == 0:
        shape = np.abs(change)
    if length(shape) > 0:
        scale = state.get("scale", settings.get("scale", 8.0))
        state["sent"] = scale * length(change) * shape * signs / length(shape)
    else:
        state["sent"] = np.zeros_like(change)
    return alike(state["sent"], round)


def binomial_quantile(count, share):
    """The least k so that at most k heads of `count` coins have at least this probability."""
    below = 0
    for k in range(count + 1):
        below += math.comb(count, k)
        if below >= share * 2 ** count:
            return k


@attack("mimic", "Karimireddy, He and Jaggi 2022, Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing",
        "A copy of one benign device's update. For the first `warm-up` rounds (10 by default), t = 0, 1, ...: the mean becomes t / (1 + t) mean + "
        "1 / (1 + t) mean of the benign updates u; q = sum of (u - mean) ((u - mean) . z); z becomes q / |q| in the first round, later t / (1 + t) z "
        "+ 1 / (1 + t) q / |q|, divided by its length; each device's z . u is added to its sum. Copied is the device whose sum so far is the largest "
        "in size, of equals the lowest index. A program draws the first z; here the first round gives it.")
def mimic(round, settings, byzantine, state):
    time = state.get("time", 0)
    state["time"] = time + 1
    sums = state.setdefault("sums", [0.0] * len(round.benign))
    if time < settings.get("warm-up", 10):
        z = np.array(round.fields["z"], float) if time == 0 else state["z"]
        centre = (time * state.get("mean", 0.0) + mean(round.benign)) / (1 + time)
        q = sum((update - centre) * float((update - centre) @ z) for update in round.benign)
        z = (time * z + q / length(q)) / (1 + time) if time > 0 else q
        state["z"], state["mean"] = z / length(z), centre
        for device, update in enumerate(round.benign):
            sums[device] += float(state["z"] @ update)
    sizes = [abs(total) for total in sums]
    return alike(round.benign[sizes.index(max(sizes))], round)


def direction_signs(known, settings):
    if settings.get("goal", "directed") == "undirected":
        return np.ones_like(known[0])
    return np.where(mean(known) > 0, 1.0, -1.0)


@attack("krum", "Fang et al. 2020, Local Model Poisoning Attacks to Byzantine-Robust Federated Learning, section 3.2 and theorem 1",
        "global - l s, s = 1 where the mean of the known models lies above the global model, else -1 (all 1 with goal = undirected). Full "
        "knowledge: l begins with the bound of theorem 1 and is halved until Krum (Euclidean, f = c), of c copies and the benign updates, "
        "selects a copy; Theorem 1: (least sum of distances from a benign update to its m - c - 2 nearest benign ones) / ((m - 2c - 1) sqrt d) + "
        "(largest length of a benign update) / sqrt d. Partial knowledge: the c colluders' updates stand for the benign ones, with n copies, f = n, "
        "so that c - 2 distances count; n = 1, then 2, ... up to c - 2. A search ends without l once l < `threshold` (1e-5). Copies come first, so "
        "that ties go to them. `draws` of the round are added to what is sent: zeros for the first colluder, an offset shorter than `epsilon` for "
        "each other. Where there is no l, colluders send what they trained.")
def krum_attack(round, settings, byzantine, state):
    full = settings.get("knowledge", "partial") == "full"
    colluders, threshold = len(round.colluders), settings.get("threshold", 1e-5)
    signs = direction_signs(round.known(settings), settings)
    models, most = (round.benign, 1) if full else (round.colluders, colluders - 2)
    for copies in range(1, most + 1):
        count = colluders if full else copies
        size = search(models, signs, count, threshold)
        if size is not None:
            return [np.array(draw, float) - size * signs for draw in round.fields["draws"]]
    return round.colluders


def search(models, signs, copies, threshold):
    """The first l, from the bound down by halves, for which Krum selects a copy; f is the number of copies."""
    neighbours, root = len(models) - 2, math.sqrt(len(signs))
    sums = [sum(sorted(distance(a, b) for j, b in enumerate(models) if j != i)[:neighbours]) for i, a in enumerate(models)]
    size = min(sums) / ((neighbours - copies + 1) * root) + max(length(model) for model in models) / root
    while size >= threshold:
        scores = krum_scores([-size * signs] * copies + models, copies, squared=False)
        if scores.index(min(scores)) < copies:
            return size
        size /= 2
    return None


@attack("trimmed-mean", "Fang et al. 2020, Local Model Poisoning Attacks to Byzantine-Robust Federated Learning, section 3.3",
        "Models, not updates. s as in krum. Partial knowledge: mean - r deviation where s = 1, mean + r deviation where s = -1, of the colluders' "
        "own models, population deviation, r in [3, 4]. Full knowledge: with the factor k = 1 + r (b - 1), r in [0, 1], where s = 1 the least benign value "
        "`low` becomes low / k if low > 0, else k low; where s = -1 the largest `high` becomes k high if high > 0, else high / k. b = `spread`, 2 by default. "
        "`draws` of the round are the r.")
def trimmed_mean_attack(round, settings, byzantine, state):
    known = round.known(settings)
    rising = direction_signs(known, settings) > 0
    draws = [np.array(draw, float) for draw in round.fields["draws"]]
    if settings.get("knowledge", "partial") == "partial":
        return [mean(known) + np.where(rising, -draw, draw) * deviation(known) for draw in draws]
    spread = settings.get("spread", 2.0)
    models = [round.origin + update for update in round.benign]
    low, high = np.min(models, axis=0), np.max(models, axis=0)
    factors = [1 + draw * (spread - 1) for draw in draws]
    below = [np.where(low > 0, low / factor, low * factor) for factor in factors]
    above = [np.where(high > 0, high * factor, high / factor) for factor in factors]
    return [np.where(rising, *ways) - round.origin for ways in zip(below, above)]
