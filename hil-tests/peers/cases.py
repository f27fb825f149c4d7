"""The inputs of the conformance vectors: for each rule, stage and attack a list of cases without what is expected.

A case is a dictionary as in the files. `exact` says that its result hinges on ties of whole numbers, which every 32-bit float holds;
every other case has been checked to keep its result when inputs change in their last bits.
"""

import numpy as np

from defined import Round, mean
from defined_attacks import ATTACKS
from defined_rules import RULES
from defined_stages import STAGES

SEED = 20_261_130


def all_cases():
    """Pairs of an entry and its cases."""
    for entry in RULES.values():
        yield entry, list(rule_cases(entry))
    for entry in STAGES.values():
        yield entry, list(stage_cases(entry))
    for entry in ATTACKS.values():
        yield entry, list(attack_cases(entry))


def rounded(values):
    """The nearest 32-bit floats."""
    return np.array(values, np.float32).astype(float).tolist()


def random(*labels):
    return np.random.default_rng([SEED, *labels])


def around(origin, updates):
    return [rounded(np.array(origin) + np.array(update)) for update in updates]


def case(about, rounds, settings=None, byzantine=0, exact=False):
    return dict(about=about, settings=settings or {}, byzantine=byzantine, rounds=rounds, exact=exact)


def standard_updates():
    """What most entries are tried on: what it is for, global model, updates, and whether ties decide."""
    spread = random(1)
    yield "by hand: five devices, two coordinates", [1, 2], [[1, 0], [2, 1], [2, 3], [3, 2], [9, -4]], False
    yield "an even number of devices", [0, -1, 3], [[1, 4, 0], [2, 2, 1], [4, 1, 3], [3, 7, 2], [2, 3, 5], [-8, 30, 9]], False
    yield ("an odd number of devices", [2, 2, 2],
           [[0, 4, 0], [2, 2, 1], [4, 1, 3], [3, 7, 2], [2, 3, 7], [-8, 30, 9], [5, -2, -20]], False)
    yield ("ties: equal values, equal distances and equal lengths among whole numbers", [1, -1],
           [[1, 1], [3, 1], [1, 3], [3, 3], [2, 2], [3, 1], [10, 10]], True)
    yield "all updates are equal", [1, 0, 0], [[1, 2, 2]] * 7, True
    yield "one device", [1, 2, 3], [[1, 2, 2]], False
    yield "zero updates: every device sends the global model back", [1, 2, 3], [[0, 0, 0]] * 7, True
    origin = rounded(spread.normal(size=8))
    base = spread.normal(size=8)
    near = [base + 1e-3 * spread.normal(size=8) for _ in range(4)]
    yield "near duplicates: four of seven updates differ by about a thousandth", origin, near + list(spread.normal(size=(3, 8))), False
    far = spread.normal(size=(7, 8))
    far[2] *= 1e6
    yield "an outlier a million times as long as the others", origin, list(far), False
    tight = random(21)
    short = 1e-3 * (tight.normal(size=(7, 20)) + 0.7)
    short[2] *= 5
    yield "far from zero: updates of about a thousandth, of a model of tens", rounded(30 * tight.normal(size=20)), list(short), False
    yield "random: 12 devices, 40 coordinates", rounded(spread.normal(size=40)), list(spread.normal(size=(12, 40)) + 0.5), False


def standard_rounds(skip=(), **more):
    for about, origin, updates, exact in standard_updates():
        if not any(about.startswith(word) for word in skip):
            round = {"global": rounded(origin), "devices": list(range(len(updates))), "models": around(origin, updates)}
            yield about, round, exact


def third(count):
    return (count - 1) // 3


def fewer(count):
    """As many as Krum takes: below (m - 2) / 2."""
    return max(0, min(third(count), (count - 3) // 2))


def chained(entry, settings, byzantine, origin, updates, devices=None):
    """Rounds, each of which starts from the model that the one before has led to."""
    state, rounds = {}, []
    for number, sent in enumerate(updates):
        round = {"global": rounded(origin), "devices": devices[number] if devices else list(range(len(sent)))}
        round["models"] = around(origin, sent)
        rounds.append(round)
        result = entry.compute(Round(round), settings, byzantine, state)
        origin = rounded(np.array(origin) + (mean(result[1]) if entry.kind == "stage" else result))
    return rounds


def rule_cases(entry):
    yield from {
        "mean": mean_cases, "krum": krum_cases, "multi-krum": multi_krum_cases, "bulyan": bulyan_cases,
        "geometric-median": geometric_median_cases, "median-of-means": median_of_means_cases,
        "centered-clipping": centered_clipping_cases, "fltrust": fltrust_cases, "foolsgold": foolsgold_cases,
        "sign-majority": sign_majority_cases, "trimmed-mean": trimmed_mean_cases, "median": median_cases,
    }.get(entry.name, subset_cases)(entry)


def plain(entry, byzantine=third, skip=(), settings=None):
    for about, round, exact in standard_rounds(skip):
        yield case(about, [round], settings, byzantine(len(round["models"])), exact)


def line(*values, origin=0):
    """A round of one coordinate."""
    return {"global": [float(origin)], "devices": list(range(len(values))), "models": [[float(origin + value)] for value in values]}


def mean_cases(entry):
    for one in plain(entry, lambda count: 0):
        one["rounds"][0]["examples"] = [1 + 3 * (device % 4) for device in one["rounds"][0]["devices"]]
        yield one
        yield dict(one, about=f"without weights; {one['about']}", settings={"weighted": False})
    weighted = dict(line(0, 4), examples=[3, 1])
    yield case("by hand: 3 and 1 examples weigh 3 to 1", [weighted])
    yield case("by hand: without weights the examples do not count", [weighted], {"weighted": False})


def krum_cases(entry):
    yield from plain(entry, fewer, ["one device"])
    for about, round, exact in standard_rounds(["one device"]):
        yield case(f"squared distances; {about}", [round], {"distance": "squared"}, fewer(len(round["models"])), exact)
    for settings, who in (({}, "Euclidean, 0 + 5 against 3 + 3: the first wins"), ({"distance": "squared"}, "squared, 25 against 18: the fourth wins")):
        yield case(f"by hand: two nearest others count; distances {who}", [line(0, 0, 5, 8, 11)], settings, 1, True)
    yield case("three devices, none of them Byzantine: the two nearest each other tie, and the first of them wins", [line(5, 0, 1)], {}, 0, True)


def multi_krum_cases(entry):
    yield from plain(entry, fewer, ["one device"])
    yield from plain(entry, fewer, ["one device"], {"distance": "squared"})
    yield from plain(entry, fewer, ["one device", "zero", "all"], {"select": 2})
    yield case("by hand: two nearest others count; scores 5, 5, 8, 6, 9: the mean of 0, 0, 8 and 5", [line(0, 0, 5, 8, 11)], {}, 1, True)
    yield case("select = 1 is Krum", [line(0, 0, 5, 8, 11)], {"select": 1, "distance": "squared"}, 1, True)


def bulyan_cases(entry):
    yield from plain(entry, lambda count: max(0, (count - 3) // 4), ["one device"])
    updates = random(2).normal(size=(11, 5))
    updates[3], updates[8] = 1e3, -1e3
    eleven = {"global": rounded(random(3).normal(size=5)), "devices": list(range(11)), "models": rounded(updates)}
    yield case("4f + 3 devices, f = 2, two of them far away", [eleven], {}, 2)
    yield case("more is averaged or less is selected than by default: theta = 6, gamma = 2", [eleven], {"theta": 6, "gamma": 2}, 2)
    yield case("by hand: seven devices, f = 1; 4 neighbours count at first, in the end one", [line(0, 1, 3, 6, 10, 15, 1000)], {}, 1, True)


def trimmed_mean_cases(entry):
    yield from plain(entry)
    yield case("by hand: trim = 2 leaves the middle value of five", [line(7, -3, 100, 5, -1000)], {"trim": 2}, 0, True)
    yield case("by hand: trim = 0 is the mean", [line(1, 2, 6)], {"trim": 0}, 0, True)
    yield case("by hand: equal values are values of their own", [line(2, 2, 2, 8, 8, 8)], {"trim": 1}, 0, True)


def median_cases(entry):
    yield from plain(entry, lambda count: 0)
    yield case("by hand: an even number; the mean of 2 and 7", [line(7, -1000, 2, 1000)], {}, 0, True)


def subset_cases(entry):
    """Of the rules that assume f < m / 2 and have no setting: meamed, cge, mda, smea, caf."""
    skip = {"caf": ["ties"], "smea": ["ties"]}.get(entry.name, [])
    yield from plain(entry, skip=skip)
    most = random(4).normal(size=(7, 6))
    most[4:] += 20
    round = {"global": rounded(random(5).normal(size=6)), "devices": list(range(7)), "models": rounded(most)}
    yield case("as many as can be: f = 3 of 7, who are far away together", [round], {}, 3)
    yield case("nobody is assumed Byzantine: the mean", [round], {}, 0)
    hand = {
        "meamed": [("the median is 3; 2 and 4 are as near, 0 and 10 are not", line(0, 2, 3, 4, 10), 2),
                   ("1 and 5 are equally far from the median 3, and the lower counts", line(1, 5, 3, 3, 100), 2),
                   ("an even number: the median is 3, and 0 and 6 are equally far: the lower counts", line(0, 2, 4, 6), 1)],
        "cge": [("-3 and 3 are equally long, and the later of them is left out", line(-3, 3, 1, 2), 1),
                ("3 and -3 are equally long, and the later of them is left out", line(3, -3, 1, 2), 1)],
        "mda": [("0, 1, 2 and 2, 3, 4 have the same diameter: the first by index", line(0, 1, 2, 3, 4), 2),
                ("10, 11, 12 have the least diameter", line(0, 10, 12, 30, 11), 2)],
        "smea": [("10, 11, 12 have the least variance", line(0, 10, 12, 30, 11), 2),
                 ("two equal updates: whichever of them is left out, the mean is the same", line(4, 0, 4, 5), 1)],
        "caf": [("one coordinate, f = 1: the variances are 1600 and then 0", line(0, 0, 0, 0, 100), 1)],
    }[entry.name]
    for about, round, byzantine in hand:
        yield case(f"by hand: {about}", [round], {}, byzantine, True)


def geometric_median_cases(entry):
    # Where the median is one of few points, Weiszfeld's algorithm takes ever smaller steps.
    yield from plain(entry)
    yield from plain(entry, settings={"smoothing": 0.1, "steps": 3})
    corner = {"global": [0.0, 0.0], "devices": [0, 1, 2, 3], "models": [[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]}
    yield case("by hand: the corners of a square around the global model: the centre", [corner], {}, 1)
    yield case("by hand: most devices send the same: theirs, up to the smoothing", [line(4, 4, 4, 4, 1000)], {}, 1)
    yield case("by hand: one step from the mean 2 of 0, 1 and 5: weights 1/2, 1, 1/3", [line(0, 1, 5)], {"steps": 1}, 0)


def median_of_means_cases(entry):
    for about, round, exact in standard_rounds():
        devices = random(6, len(round["models"])).permutation(len(round["models"])).tolist()
        byzantine = 0 if len(devices) == 1 else 1
        count = 1 if len(devices) == 1 else 4 if len(devices) == 12 else 3
        groups = [sorted(part.tolist()) for part in np.array_split(devices, count)]
        yield case(about, [dict(round, groups=groups)], {"groups": count}, byzantine, exact)
    hand = dict(line(0, 4, 10, 30, 15, 25), groups=[[0, 1], [2, 3], [4, 5]])
    yield case("by hand: two of the three means are 20: the geometric median is theirs, up to the smoothing", [hand], {"groups": 3}, 1)


def centered_clipping_cases(entry):
    yield from plain(entry, settings={"radius": 1.0})
    yield case("by hand: one step of at most 2 from zero, of updates 1, 2 and 9: (1 + 2 + 2) / 3", [line(1, 2, 9)], {"radius": 2.0, "steps": 1})
    yield case("nothing is longer than the default radius: the mean, whatever the number of steps", [line(1, 2, 9)])
    several = random(7).normal(size=(4, 6, 5)) + 1.0
    several[2, 1] = 1e6
    about = "four rounds: each begins with the aggregate of the last one; in the third a device sends an outlier"
    for settings in ({"radius": 0.5, "steps": 1}, {"radius": 2.0, "steps": 3}):
        yield case(about, chained(entry, settings, 0, random(8).normal(size=5), several), settings)


def sign_majority_cases(entry):
    # Values of 0 are in the smaller cases, and have no sign.
    yield from (dict(one, exact=len(one["rounds"][0]["global"]) <= 3) for one in plain(entry))
    votes = {"global": [1.0, 1.0, 1.0, 1.0], "devices": [0, 1, 2, 3, 4],
             "models": [[2.0, 2.0, 2.0, 1.0], [2.0, 2.0, 1.0, 1.0], [2.0, 0.0, 1.0, 1.0], [2.0, 0.0, 1.0, 1.0], [2.0, 2.0, 4.0, 1.0]]}
    yield case("by hand: majorities of 5, 1, 2 and 0, where who stays counts for neither; 2 are enough", [votes], {"threshold": 2}, 0, True)
    yield case("by hand: the same, where 3 are asked for", [votes], {"threshold": 3}, 0, True)


def foolsgold_cases(entry):
    yield from plain(entry, lambda count: 0, ["by hand", "ties", "an even", "an odd"])
    updates = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [4, 4, 4, 1], [8, 8, 8, 2]]
    hand = {"global": [1.0] * 4, "devices": list(range(5)), "models": around([1.0] * 4, updates)}
    yield case("by hand: two of five devices send the same direction, one twice as far: neither counts", [hand])
    apart = {"global": [1.0] * 3, "devices": [0, 1, 2], "models": around([1.0] * 3, [[1, 0, 0], [0, 2, 0], [0, 0, 3]])}
    yield case("by hand: nobody is like another, and all count 1", [apart], exact=True)
    yield case("a lower confidence: an even number of devices", [{"global": [0.0] * 3, "devices": [0, 1, 2, 3],
               "models": [[1.0, 0.5, 0.25], [0.25, 1.0, 0.5], [0.5, 0.25, 1.0], [1.0, 1.0, 0.0]]}], {"confidence": 0.5})
    drawn = random(9)
    honest = [drawn.normal(size=8) for _ in range(4)]
    sybil = drawn.normal(size=8)
    devices = [[0, 1, 2, 3, 4, 5], [0, 1, 3, 4, 5], [0, 1, 2, 3, 4, 5], [0, 2, 3, 4, 5]]
    sent = [[(honest[device] if device < 4 else sybil) + 0.3 * drawn.normal(size=8) + 0.5 for device in there] for there in devices]
    about = "four rounds: devices 4 and 5 are one attacker; device 2 is absent in the second round, device 1 in the fourth, and both keep their sums"
    yield case(about, chained(entry, {}, 0, drawn.normal(size=8), sent, devices))


def fltrust_cases(entry):
    for about, round, exact in standard_rounds():
        updates = np.array(round["models"]) - round["global"]
        root = np.median(updates, axis=0) + 0.25 if exact else 0.5 * np.median(updates, axis=0)
        yield case(about, [dict(round, root=rounded(round["global"] + root))], {}, third(len(updates)), exact)
    hand = {"global": [1.0, 1.0], "devices": [0, 1, 2], "models": [[4.0, 1.0], [-1.0, 1.0], [4.0, 5.0]]}
    yield case("by hand: cosines 1, -1 and 0.6 with the root update (2, 0)", [dict(hand, root=[3.0, 1.0])])
    yield case("by hand: nobody is trusted, and the root update is the aggregate", [dict(hand, models=[[-3.0, 1.0], [0.0, 1.0], [0.0, 9.0]], root=[3.0, 1.0])])
    yield case("the root update is zero: the global model stays", [dict(hand, root=[1.0, 1.0])])
    yield case("one update is zero: it is not trusted", [dict(hand, models=[[1.0, 1.0], [2.0, 1.0], [4.0, 5.0]], root=[3.0, 1.0])], exact=True)


def stage_cases(entry):
    return {
        "clip": clip_cases, "arc": arc_cases, "nnm": nnm_cases, "bucketing": bucketing_cases, "dnc": dnc_cases, "norm-sign": norm_sign_cases,
        "clipped-clustering": clipped_clustering_cases, "flame": flame_cases, "fldetector": fldetector_cases,
    }[entry.name](entry)


def clip_cases(entry):
    yield from plain(entry, lambda count: 0, settings={"norm": 2.0})
    hand = {"global": [1.0, 1.0], "devices": [0, 1, 2], "models": [[4.0, 5.0], [1.0, 2.0], [1.0, 1.0]]}
    yield case("by hand: lengths 5, 1 and 0 where 2.5 is allowed", [hand], {"norm": 2.5}, 0, True)


def arc_cases(entry):
    yield from plain(entry)
    yield case("by hand: f = 2 of 5, so that floor(2 x 2/5 x 3) = 2 are shortened to the third longest, 3", [line(1, -9, 3, 7, 2)], {}, 2, True)
    yield case("f = 0 shortens nothing", [line(1, -9, 3, 7, 2)], {}, 0, True)


def nnm_cases(entry):
    yield from plain(entry)
    yield case("by hand: f = 2 of 5: each becomes the mean of its three nearest", [line(0, 1, 2, 10, 100)], {}, 2, True)
    yield case("by hand: 1 and 3 are equally near 2, and the first counts; itself does before its equals", [line(3, 1, 2, 2)], {}, 2 - 1, True)


def bucketing_cases(entry):
    for size in (2, 3):
        for about, round, exact in standard_rounds():
            order = random(10, size, len(round["models"])).permutation(len(round["models"])).tolist()
            yield case(f"groups of {size}; {about}", [dict(round, permutation=order)], {"size": size}, third(len(order)), exact)
    yield case("by hand: five devices, of whom the last in the order stays alone", [dict(line(1, 2, 4, 8, 16), permutation=[4, 0, 3, 1, 2])], {}, 1, True)
    absent = {"global": [0.0], "devices": [2, 5, 7, 9], "models": [[1.0], [2.0], [4.0], [8.0]], "permutation": [9, 2, 7, 5]}
    yield case("by hand: the order is of devices, not of rows", [absent], {}, 1, True)


def dnc_cases(entry):
    for about, round, exact in standard_rounds(["ties"]):
        width = len(round["global"])
        count = max(1, (width + 1) // 2) if width > 3 else width
        drawn = [sorted(random(11, width, i).choice(width, count, replace=False).tolist()) for i in range(3)]
        yield case(about, [dict(round, coordinates=drawn)], {"iterations": 3, "coordinates": count}, third(len(round["models"])), exact)
    hand = {"global": [0.0] * 2, "devices": list(range(4)), "models": [[9.0, 0.0], [0.0, 9.0], [1.0, 1.0], [0.0, 1.0]]}
    yield case("by hand: the first coordinate marks device 0, the second device 1", [dict(hand, coordinates=[[0], [1]])],
               {"iterations": 2, "coordinates": 1}, 1)
    none = {"global": [0.0] * 2, "devices": list(range(4)), "models": [[9.0, 0.0], [-8.0, 1.0], [0.0, 9.0], [1.0, -8.0]]}
    yield case("by hand: every device is marked in an iteration: what the last one left stays", [dict(none, coordinates=[[0], [1]])],
               {"iterations": 2, "coordinates": 1}, 2)
    yield case("filter = 2 marks twice as many as are assumed Byzantine", [dict(line(0, 1, 2, 90, 100), coordinates=[[0]])],
               {"iterations": 1, "coordinates": 1, "filter": 2.0}, 1)


def norm_sign_cases(entry):
    # Signs in whole clusters, so that no bandwidth comes near a distance.
    def signed(label, positive, lengths, width=20):
        """Updates of these lengths with so many positive values each, in random places; the others are negative."""
        drawn, updates = random(12, label), []
        for count, own in zip(positive, lengths):
            signs = drawn.permutation([1.0] * count + [-1.0] * (width - count))
            update = signs * drawn.uniform(0.5, 1.5, size=width)
            updates.append(update * own / np.sqrt(np.sum(update * update)))
        origin = drawn.normal(size=width)
        return {"global": rounded(origin), "devices": list(range(len(updates))), "models": around(origin, updates), "coordinates": list(range(width))}

    yield case("ten devices: two with the signs of few others, one ten times too long, one twenty times too short",
               [signed(1, [12, 12, 12, 12, 12, 12, 12, 3, 3, 12], [1, 1.2, 0.9, 1.1, 12, 1, 0.05, 1, 1.3, 0.8])], {}, 3)
    yield case("an odd number of devices: the two longest of those that stay are shortened to the median length",
               [signed(2, [10, 10, 10, 10, 10, 18, 18], [1, 2, 3, 4, 5, 3, 3])], {}, 2)
    yield case("near duplicates: shares of signs that differ by one value in twenty are one cluster",
               [signed(3, [10, 11, 10, 11, 10, 11, 2, 2], [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.25, 1.25])], {}, 2)
    outlier = signed(4, [10] * 7, [1, 1.1, 1.2, 1e6, 1.3, 1.4, 1.5])
    yield case("an outlier a million times as long as the others", [outlier], {}, 2)
    yield case("bounds of one's own: between a half and one and a half times the median", [signed(5, [10] * 6, [1, 1.1, 0.4, 1.6, 0.9, 1])],
               {"lower": 0.5, "upper": 1.5}, 1)
    ties = [signed(6, [15, 15, 15, 5, 5, 5], [1, 1.1, 1.2, 1.3, 1.4, 1.5])]
    yield case("ties: two clusters of three, of which that of device 0 stays", ties, {}, 2)
    updates = [[1, 2, 2, 0], [2, 2, 1, 0], [2, 1, 2, 0], [-6, 3, 6, 0], [3, 0, 0, 0]]
    hand = {"global": [1.0] * 4, "devices": list(range(5)), "models": around([1.0] * 4, updates), "coordinates": [0, 1, 2]}
    yield case("by hand: lengths 3, 3, 3, 9, 3; all values positive, two of three, and one of three: the three first stay as they are", [hand], {}, 1)
    for about, round, exact in standard_rounds():
        if about.startswith(("all", "one", "zero")):
            yield case(about, [dict(round, coordinates=list(range(len(round["global"]))))], {}, third(len(round["models"])), exact)
    wide = signed(7, [24] * 9 + [8] * 3, [1 + device / 20 for device in range(12)], width=40)
    coordinates = [j for j in range(40) if j % 2 == 0]
    # Half of the coordinates are looked at; in them, too, so many are positive.
    updates = np.array(wide["models"]) - wide["global"]
    for update, positive in zip(updates, [12] * 9 + [4] * 3):
        update[coordinates] = np.abs(update[coordinates]) * ([1.0] * positive + [-1.0] * (20 - positive))
    yield case("random: 12 devices, 40 coordinates, half of which are looked at",
               [dict(wide, models=around(wide["global"], updates), coordinates=coordinates)], {}, 3)


def clipped_clustering_cases(entry):
    yield from plain(entry, skip=["by hand", "ties"])
    hand = {"global": [0.0, 0.0], "devices": [0, 1, 2, 3, 4], "models": [[4.0, 3.0], [-3.0, 0.0], [3.0, 4.0], [6.0, 8.0], [-4.0, 1.0]]}
    yield case("by hand: two devices point the other way; the median length is 5", [hand], {}, 2)
    pairs = {"global": [0.0, 0.0], "devices": [0, 1, 2, 3], "models": [[0.0, 2.0], [3.0, 0.0], [0.0, 4.0], [5.0, 0.0]]}
    yield case("ties: two clusters of two, of which that of device 0 stays; the median of 2, 3, 4, 5 is 3.5", [pairs], {}, 1, True)
    drawn = random(13)
    base = drawn.normal(size=6)
    sent = [[(base if device < 5 else -base) * length + 0.2 * drawn.normal(size=6) for device in range(7)] for length in (4, 2, 1, 8)]
    yield case("four rounds: lengths shrink and grow, and the median is of all that came in so far", chained(entry, {}, 2, drawn.normal(size=6), sent), {}, 2)
    absent = chained(entry, {}, 2, drawn.normal(size=6), [sent[0], sent[1][:4] + sent[1][5:]], [list(range(7)), [0, 1, 2, 3, 5, 6]])
    yield case("two rounds: device 4 is absent in the second, and its length still counts", absent, {}, 2)


def flame_cases(entry):
    yield from plain(entry, skip=["ties"])
    hand = {"global": [0.0, 0.0], "devices": [0, 1, 2, 3, 4], "models": [[4.0, 3.0], [-3.0, 0.0], [3.0, 4.0], [6.0, 8.0], [-4.0, 1.0]]}
    yield case("by hand: devices 2 and 3 have the same direction, and 0 is nearest to them: three of five; the median length is 5", [hand], {}, 2)
    drawn = random(14)
    base = drawn.normal(size=10)
    sent = [base + 0.3 * drawn.normal(size=10) for _ in range(6)] + [-3 * base + 0.1 * drawn.normal(size=10) for _ in range(4)]
    origin = drawn.normal(size=10)
    yield case("ten devices: four send the opposite, three times as long, and more like each other than the others are",
               [{"global": rounded(origin), "devices": list(range(10)), "models": around(origin, sent)}], {}, 4)


def fldetector_cases(entry):
    def rounds(label, devices, attackers, settings, count, from_round=3, width=6, noise=0.01, size=None):
        """Training towards optima of one's own with the same curvature; attackers send noise from some round on."""
        drawn = random(15, label)
        curvature, optima = np.linspace(0.2, 1.0, width), drawn.normal(size=(devices, width))
        origin, state, made = drawn.normal(size=width) * 2, {}, []
        for number in range(1, count + 1):
            origin = rounded(origin)
            sent = [0.5 * curvature * (optimum - origin) + noise * drawn.normal(size=width) for optimum in optima]
            if number >= from_round:
                for device in range(attackers):
                    sent[device] = (size or 1.0) * drawn.normal(size=width)
            round = {"global": origin, "devices": list(range(devices)), "models": around(origin, sent)}
            if number >= 2 + settings["window"]:
                round["references"] = np.round(drawn.uniform(size=(10, devices)), 3).tolist()
            made.append(round)
            left = entry.compute(Round(round), settings, attackers, state)[1]
            origin = np.array(origin) + mean(left)
        return made

    yield case("window = 1: the first decision is in the third round, from one pair; two of eight attack", rounds(1, 8, 2, {"window": 1}, 3), {"window": 1}, 2)
    yield case("window = 3: two of eight attack from the third round on, and are left out from the fifth, when the window is full",
               rounds(2, 8, 2, {"window": 3}, 6), {"window": 3}, 2)
    yield case("nobody attacks: the gap statistic finds one cluster", rounds(3, 9, 0, {"window": 2}, 4, noise=0.3), {"window": 2}, 2)
    yield case("an odd number of devices; an attacker sends a million times as much", rounds(4, 7, 1, {"window": 2}, 4, size=1e6), {"window": 2}, 1)
    yield case("random: 12 devices, 40 coordinates, three attackers", rounds(5, 12, 3, {"window": 2}, 5, width=40), {"window": 2}, 3)
    same = [{"global": [float(number), 0.0], "devices": [0, 1, 2], "models": [[number + 1.0, 0.0]] * 3} for number in range(1, 3)]
    yield case("two rounds: there is no prediction yet, and everyone stays", same, {"window": 1}, 1, True)


def attack_cases(entry):
    return {
        "sign-flip": sign_flip_cases, "inner-product": inner_product_cases, "little-is-enough": little_cases, "min-max": distance_cases,
        "min-sum": distance_cases, "model-replacement": replacement_cases, "neurotoxin": neurotoxin_cases, "poisoned-fl": poisoned_fl_cases,
        "mimic": mimic_cases, "krum": krum_attack_cases, "trimmed-mean": trimmed_mean_attack_cases,
    }[entry.name](entry)


def attacked(share=third, settings=None, skip=(), least=1, prefix=""):
    """The standard rounds, the first devices of which are compromised."""
    for about, round, exact in standard_rounds(skip):
        colluders = max(least, share(len(round["models"])))
        devices = round.pop("devices")
        models = round.pop("models")
        if "outlier" in about:
            about = about.replace("an outlier", "a benign outlier")
        round.update(colluders=models[:colluders], benign=models[colluders:])
        assert len(devices) == len(models)
        yield case(prefix + about, [round], settings, colluders, exact)


def both(settings=None, **more):
    for knowledge in ("partial", "full"):
        yield from attacked(settings=dict(settings or {}, knowledge=knowledge), prefix=f"{knowledge} knowledge; ", **more)


def small(colluders, benign, origin=(1.0, 10.0)):
    return {"global": list(origin), "colluders": around(origin, colluders), "benign": around(origin, benign)}


def sign_flip_cases(entry):
    yield from attacked(prefix="the own update; ", settings={"of": "own"})
    yield from both({"of": "mean"})
    yield case("by hand: three times the own update, the other way", [small([[1, -2], [0, 4]], [[5, 5]])], {"of": "own", "scale": 3.0}, 2, True)
    yield case("by hand: twice the mean (2, 1) of the colluders, the other way", [small([[1, -2], [3, 4]], [[5, 5]])], {"of": "mean", "scale": 2.0}, 2, True)


def inner_product_cases(entry):
    yield from both()
    for epsilon in (0.5, 100.0):
        yield case(f"by hand: epsilon = {epsilon:g}; the colluders' mean is (2, 1)", [small([[1, -2], [3, 4]], [[5, 5]])], {"epsilon": epsilon}, 2, True)


def little_cases(entry):
    # Where everyone colludes there is no z.
    yield from both(skip=["one device"])
    yield case("by hand: z = 1.5; mean (2, 1), population deviation (1, 3)", [small([[1, -2], [3, 4]], [[5, 5]])], {"z": 1.5}, 2, True)
    for colluders, z in ((3, 0.027), (5, 0.084), (8, 0.180), (10, 0.253), (12, 0.336)):
        updates = [[index % 2 * 2 - 1.0] for index in range(50)]
        round = {"global": [0.0], "colluders": updates[:colluders], "benign": updates[colluders:]}
        yield case(f"50 devices, {colluders} colluders: z is {z:.3f}; everyone's updates are -1 and 1", [round], {"knowledge": "full"}, colluders)


def distance_cases(entry):
    bounds = ("largest", "least") if entry.name == "min-sum" else (None,)
    for bound in bounds:
        for direction in ("deviation", "unit", "sign"):
            settings = {"direction": direction, "knowledge": "full"}
            if bound:
                settings["bound"] = bound
            prefix = ", ".join(f"{key} = {value}" for key, value in settings.items() if key != "knowledge") + "; "
            yield from attacked(settings=settings, prefix=prefix)
    yield from attacked(settings={"knowledge": "partial"}, skip=["by hand"], prefix="partial knowledge; ")
    known = small([[1, 0], [3, 0]], [[9, 9]], origin=(0.0, 0.0))
    yield case("by hand: the colluders know 1 and 3: what is sent goes from 2 down", [known], {}, 2)
    if entry.name == "min-sum":
        yield case("by hand: bound = least, of the updates 0, 1 and 5", [small([[0, 0], [1, 0], [5, 0]], [], origin=(0.0, 0.0))], {"bound": "least"}, 3)
    yield case("by hand: the mean is zero, and so is direction = unit: the mean is sent", [small([[1, 0], [-1, 0]], [], origin=(0.0, 0.0))],
               {"direction": "unit"}, 2, True)


def replacement_cases(entry):
    yield from attacked()
    yield from attacked(settings={"clip": 2.0}, prefix="shortened to 2; ")
    hand = small([[3, 4]], [[1, 1], [1, 2], [0, 1]])
    yield case("by hand: four devices, one of them compromised: four times the update", [hand], {}, 1, True)
    yield case("by hand: scale = 2, shortened to 5: half of that", [hand], {"scale": 2.0, "clip": 5.0}, 1, True)


def neurotoxin_cases(entry):
    for one in attacked(settings={"top": 0.25}):
        round = one["rounds"][0]
        width = len(round["global"])
        before = dict(round, **{"global": rounded(np.array(round["global"]) - random(16, width).normal(size=width))})
        one["settings"] = {} if width == 40 else {"top": 0.5}
        one["rounds"] = [before, round]
        yield one
    hand = [small([[5, 6, 7, 8]], [], origin=origin) for origin in ([0, 0, 0, 0], [3, -4, 1, 2], [3, 5, 2, 3])]
    yield case("by hand: nothing is known in the first round; then the two largest changes, 3 and -4; then 9 and the first of two of 1",
               hand, {"top": 0.5}, 1, True)


def poisoned_fl_cases(entry):
    drawn = random(17)

    def rounds(label, count, width, colluders, toward):
        drawn = random(17, label)
        signs = drawn.choice([-1.0, 1.0], size=width)
        origin, made = drawn.normal(size=width), []
        for _ in range(count):
            made.append({"global": rounded(origin), "colluders": around(origin, drawn.normal(size=(colluders, width))), "benign": [], "signs": signs.tolist()})
            origin = origin + 0.1 * drawn.normal(size=width) + toward * signs
        return made

    yield case("three rounds, one colluder", rounds(1, 3, 4, 1, 0.0), {}, 1)
    yield case("three rounds, two colluders: the mean of what they sent in the first counts as sent; scale = 2", rounds(2, 3, 5, 2, 0.0), {"scale": 2.0}, 2)
    hand = [{"global": origin, "colluders": [sent], "benign": [], "signs": [1.0, -1.0]}
            for origin, sent in (([0.0, 0.0], [0.0, 5.0]), ([3.0, 4.0], [9.0, 9.0]), ([3.0, 4.0], [9.0, 9.0]))]
    yield case("by hand: the change (3, 4) less 5 times (0, 1) is (3, -1); then the model stands still, and zeros are sent", hand, {}, 1)
    parallel = [{"global": origin, "colluders": [sent], "benign": [], "signs": [1.0, -1.0]}
                for origin, sent in (([0.0, 0.0], [2.0, 0.0]), ([8.0, 0.0], [0.0, 0.0]))]
    yield case("by hand: the change is parallel to what was sent: zeros", parallel, {}, 1, True)
    silent = [{"global": origin, "colluders": [origin], "benign": [], "signs": [1.0, -1.0]} for origin in ([0.0, 0.0], [3.0, 4.0])]
    yield case("by hand: what was sent is zero: the change itself gives the shape", silent, {}, 1)
    yield case("random: 12 devices' worth of colluders, 40 coordinates", rounds(3, 2, 40, 12, 0.0), {}, 12)
    yield case("52 rounds: the model does not follow s, and in the 51st the scale becomes 5.6", rounds(4, 52, 10, 1, 0.0), {}, 1)
    yield case("52 rounds: the model follows s, and the scale stays 8", rounds(5, 52, 10, 1, 0.1), {}, 1)
    yield case("52 rounds: the scale is not lowered below 0.5", rounds(4, 52, 10, 1, 0.0), {"scale": 0.6}, 1)


def mimic_cases(entry):
    def rounds(label, count, benign, width, colluders=1, far=6.0, spread=1.0):
        """Device 2 is the one that differs most, always in the same direction."""
        drawn = random(18, label)
        direction = drawn.normal(size=width)
        direction *= far / np.sqrt(np.sum(direction * direction))
        made = []
        for number in range(count):
            origin = drawn.normal(size=width)
            updates = spread * drawn.normal(size=(benign, width))
            updates[2] += direction if number < count - 1 else -direction
            made.append({"global": rounded(origin), "colluders": around(origin, drawn.normal(size=(colluders, width))), "benign": around(origin, updates)})
        z = drawn.normal(size=width)
        made[0]["z"] = rounded(z * np.sign(z @ direction))
        return made

    yield case("warm-up of two rounds; in the fourth the device that is copied has turned around", rounds(1, 4, 5, 6), {"warm-up": 2}, 1)
    yield case("an odd number of devices, two colluders; warm-up of three rounds", rounds(2, 5, 7, 8, 2), {"warm-up": 3}, 2)
    yield case("random: 12 devices, 40 coordinates; the default warm-up is not over", rounds(3, 3, 9, 40, 3), {}, 3)
    yield case("a benign outlier a million times as far out", rounds(4, 3, 6, 5, 1, 1e6), {"warm-up": 2}, 1)
    yield case("near duplicates: all but one benign update differ by about a thousandth", rounds(5, 4, 6, 5, spread=1e-3, far=1.0), {"warm-up": 2}, 1)
    hand = {"global": [0.0, 0.0], "colluders": [[1.0, 1.0]], "benign": [[0.0, 1.0], [0.0, -1.0], [6.0, 0.0]], "z": [1.0, 0.0]}
    yield case("by hand: less the mean (2, 0), updates differ most along the first coordinate, and the third device is farthest", [hand], {}, 1, True)
    tie = {"global": [0.0, 0.0], "colluders": [[1.0, 1.0]], "benign": [[-2.0, 0.0], [2.0, 0.0], [-1.0, 0.0]], "z": [1.0, 0.0]}
    yield case("ties: two devices have projections of the same size, of other signs", [tie], {}, 1, True)


def krum_attack_cases(entry):
    def round(label, colluders, benign, width, spread=0.3, shift=0.05):
        drawn = random(19, label)
        origin = drawn.normal(size=width)
        updates = shift * np.sign(drawn.normal(size=width)) + spread * drawn.normal(size=(colluders + benign, width))
        offsets = drawn.normal(size=(colluders, width))
        offsets *= 0.01 * drawn.uniform(size=(colluders, 1)) / np.sqrt(np.sum(offsets ** 2, axis=1, keepdims=True))
        offsets[0] = 0
        models = around(origin, updates)
        return {"global": rounded(origin), "colluders": models[:colluders], "benign": models[colluders:], "draws": rounded(offsets)}

    for knowledge in ("full", "partial"):
        for goal in ("directed", "undirected"):
            settings = {"knowledge": knowledge, "goal": goal}
            start = f"{knowledge} knowledge, {goal}; "
            yield case(start + "an even number of devices", [round(1, 3, 7, 5)], settings, 3)
            yield case(start + "an odd number of devices", [round(2, 3, 8, 5)], settings, 3)
            yield case(start + "random: 12 devices, 40 coordinates", [round(3, 4, 8, 40)], settings, 4)
            yield case(start + "near duplicates: all differ by about a thousandth", [round(4, 4, 7, 6, 1e-3, 1e-4)], settings, 4)
    outlier = round(5, 3, 8, 5)
    outlier["benign"][2] = rounded(np.array(outlier["benign"][2]) * 1e6)
    yield case("full knowledge; a benign outlier a million times as far out", [outlier], {"knowledge": "full"}, 3)
    hand = {"global": [0.0], "colluders": [[1.0], [2.0]], "benign": [[1.0], [2.0], [6.0], [12.0], [20.0]], "draws": [[0.0], [-0.0078125]]}
    yield case("by hand: the bound is 15/2 + 20 = 27.5; halved three times, l = 3.4375, the copies' score 3 + 2 l is that of the benign 1, and they come first",
               [hand], {"knowledge": "full"}, 2, True)
    far = {"global": [0.0], "colluders": [[1.0]], "benign": [[1.0], [2.0], [3.0], [5.0]], "draws": [[0.0]]}
    yield case("by hand: even at the global model a single copy scores 1 + 2 where the benign 2 scores 1 + 1: there is no l, and it sends what it trained",
               [far], {"knowledge": "full"}, 1)
    equal = {"global": [1.0, 1.0], "colluders": [[2.0, 2.0]] * 3, "benign": [[2.0, 2.0]] * 4, "draws": [[0.0, 0.0]] * 3}
    yield case("partial knowledge; all updates are equal: one copy never wins, and as many as could win by themselves are not tried",
               [equal], {}, 3, True)
    zero = {"global": [1.0, 1.0], "colluders": [[1.0, 1.0]] * 3, "benign": [[1.0, 1.0]] * 4, "draws": [[0.0, 0.0]] * 3}
    yield case("partial knowledge; zero updates: the bound is 0, and colluders send what they trained", [zero], {}, 3, True)
    yield case("full knowledge; a threshold above every l: colluders send what they trained", [round(6, 2, 5, 4)], {"knowledge": "full", "threshold": 1e3}, 2)


def trimmed_mean_attack_cases(entry):
    for knowledge in ("partial", "full"):
        low = 3.0 if knowledge == "partial" else 0.0
        # With full knowledge and nobody benign there is no extreme.
        skip = ["one device"] if knowledge == "full" else []
        for number, one in enumerate(attacked(settings={"knowledge": knowledge}, prefix=f"{knowledge} knowledge; ", skip=skip)):
            for round in one["rounds"]:
                shape = (len(round["colluders"]), len(round["global"]))
                round["draws"] = rounded(low + random(20, number).uniform(size=shape))
            yield one
    hand = {"global": [0.0] * 4, "colluders": [[1.0, -1.0, 1.0, -1.0]], "benign": [[2.0, -2.0, 0.0, 4.0], [4.0, -4.0, 3.0, -8.0]],
            "draws": [[0.5, 0.5, 0.5, 0.5]]}
    yield case("by hand: the least are 2 and 0, below them 2 to 1 and 0; the largest are -2 and 4, above them -2 to -1 and 4 to 8", [hand],
               {"knowledge": "full"}, 1, True)
    yield case("by hand: the same with spread = 4, all of the way", [dict(hand, draws=[[1.0] * 4])], {"knowledge": "full", "spread": 4.0}, 1, True)
    partial = {"global": [0.0, 0.0], "colluders": [[1.0, -2.0], [3.0, -4.0]], "benign": [], "draws": [[3.0, 3.0], [4.0, 3.5]]}
    yield case("by hand: mean (2, -3), population deviation (1, 1)", [partial], {}, 2, True)
