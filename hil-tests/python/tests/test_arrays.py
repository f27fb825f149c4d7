"""Rules and attacks on arrays: what they give, what is copied, and what is refused."""

import array
import subprocess
import sys
import threading

import numpy
import outpost
import pytest
from conftest import vectors
from outpost import _arrays


def near(actual, expected, inputs):
    """The tolerance of docs/conformance."""
    numpy.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * max(1, numpy.abs(inputs).max()))


@pytest.mark.parametrize("name", sorted({name for name, _ in vectors("rules")}))
def test_each_rule_gives_what_the_conformance_vectors_say(name):
    tried = 0
    for case in (case for rule, case in vectors("rules") if rule == name):
        aggregator = outpost.Aggregator(name, byzantine=case["byzantine"], **case["settings"])
        for turn in case["rounds"]:
            if "groups" in turn:
                continue  # What a rule draws is another program's in the vectors.
            given = {key: turn[key] for key in ("devices", "examples", "root") if key in turn}
            models = numpy.array(turn["models"], numpy.float32)
            aggregate = aggregator.aggregate(models, global_model=turn["global"], **given)
            assert aggregate.dtype == numpy.float32
            near(aggregate, turn["expected"], models)
            tried += 1
    assert tried or name == "median-of-means"


@pytest.mark.parametrize("name", ["little-is-enough", "min-max", "min-sum", "inner-product", "sign-flip"])
def test_attacks_give_what_the_conformance_vectors_say(name):
    tried = 0
    for case in (case for attack, case in vectors("attacks") if attack == name):
        turn = case["rounds"][0]
        models = numpy.array(turn["colluders"] + turn["benign"], numpy.float32)
        if len(case["rounds"]) > 1 or not numpy.abs(models).max() < 1e5:
            continue
        try:
            crafted = outpost.craft(
                name,
                models,
                compromised=len(turn["colluders"]),
                global_model=turn["global"],
                **case["settings"],
            )
        except outpost.Error as error:
            assert "compromised" in str(error) or "crafts nothing" in str(error)
            continue
        near(crafted, turn["expected"], models)
        tried += 1
    assert tried


def test_a_rule_keeps_something_from_round_to_round_and_goes_on_elsewhere(updates):
    rounds = [updates, updates + 1, updates + 2]
    whole = outpost.Aggregator("centered-clipping", byzantine=2, radius=1.0)
    expected = [whole.aggregate(update) for update in rounds]
    assert not numpy.array_equal(expected[1], outpost.aggregate("centered-clipping", rounds[1], byzantine=2, radius=1.0))
    first = outpost.Aggregator("centered-clipping", byzantine=2, radius=1.0)
    for update in rounds[:2]:
        first.aggregate(update)
    state = first.state
    assert state["round"] == 2 and state["vectors"]
    second = outpost.Aggregator("centered-clipping", byzantine=2, radius=1.0)
    second.state = state
    numpy.testing.assert_array_equal(second.aggregate(rounds[2]), expected[2])
    with pytest.raises(outpost.Error, match="no name of something that is kept"):
        second.state = {"round": 1, "vectors": {"nobody/x": [1.0]}}


def test_a_round_that_fails_leaves_no_trace(updates):
    aggregator = outpost.Aggregator("centered-clipping", byzantine=2)
    aggregator.aggregate(updates)
    before = aggregator.state
    broken = updates.copy()
    broken[3, 5] = numpy.nan
    with pytest.raises(outpost.Error, match="updates: row 3, column 5 is no finite number"):
        aggregator.aggregate(broken)
    assert aggregator.state["round"] == before["round"] == 1


def test_stages_act_before_the_rule_and_say_whom_they_removed(updates):
    aggregator = outpost.Aggregator("mean", byzantine=2, defense=[{"kind": "dnc", "filter": 1.0, "iterations": 1}])
    aggregate = aggregator.aggregate(updates, devices=[2 * number for number in range(12)])
    assert aggregator.removed == [20, 22]
    assert aggregator.used == [2 * number for number in range(10)]
    numpy.testing.assert_allclose(aggregate, updates[:10].mean(0), atol=1e-6)
    mixed = outpost.aggregate("krum", updates, byzantine=2, defense=["nnm"])
    assert numpy.abs(mixed).max() < 10
    with pytest.raises(outpost.Error, match="lfr judges updates by examples"):
        outpost.Aggregator("mean", byzantine=2, defense=["lfr"])


def test_who_has_a_part_is_named(updates):
    krum = outpost.Aggregator("krum", byzantine=2)
    chosen = krum.aggregate(updates)
    assert len(krum.used) == 1 and krum.removed == []
    numpy.testing.assert_array_equal(chosen, updates[krum.used[0]])


def test_examples_weigh_the_mean(updates):
    weights = numpy.arange(1, 13)
    aggregate = outpost.aggregate("mean", updates, examples=weights)
    numpy.testing.assert_allclose(aggregate, numpy.average(updates, axis=0, weights=weights), rtol=1e-5)


def test_rows_are_used_where_they_lie():
    matrix = numpy.zeros((6, 8), numpy.float32)
    wide = numpy.zeros((6, 16), numpy.float32)
    for given in (matrix, list(matrix), wide[:, :8], wide[::2], matrix[::-1]):
        rows = _arrays._rows(given)
        assert [row.ctypes.data for row in rows] == [row.ctypes.data for row in given]
    read_only = matrix.copy()
    read_only.flags.writeable = False
    assert outpost.aggregate("median", read_only).tolist() == [0] * 8
    buffer = memoryview(array.array("f", range(16))).cast("B").cast("f", [4, 4])
    rows = _arrays._rows(buffer)
    assert rows[1].tolist() == [4, 5, 6, 7] and numpy.shares_memory(rows[1], numpy.asarray(buffer))


def test_what_lies_otherwise_is_converted(updates):
    expected = outpost.aggregate("trimmed-mean", updates, trim=2)
    misaligned = numpy.frombuffer(b"x" + updates.tobytes(), numpy.float32, offset=1).reshape(updates.shape)
    columns = numpy.asfortranarray(updates)
    for given in (updates.astype("f8"), updates.astype(">f4"), columns, misaligned, updates.tolist(), tuple(updates)):
        numpy.testing.assert_array_equal(outpost.aggregate("trimmed-mean", given, trim=2), expected)
    whole = outpost.aggregate("mean", numpy.array([[1, 2], [3, 4]]))
    assert whole.tolist() == [2.0, 3.0]


PEAK = """
import resource, numpy, outpost
{imports}
matrix = numpy.ones((100, 500_000), numpy.float32)
updates = {updates}
outpost.aggregate("median", matrix[:3])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outpost.aggregate("median", updates)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def peak(imports, updates):
    """KiB by which the peak of memory grows when 195,000 KiB of updates are aggregated."""
    script = PEAK.format(imports=imports, updates=updates)
    return int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


def test_nothing_is_copied_of_an_array():
    assert peak("", "matrix") < 40_000
    assert peak("", "matrix.astype('f8')") > 150_000, "this one is converted"


def test_nothing_is_copied_of_a_tensor():
    pytest.importorskip("torch")
    assert peak("import torch", "torch.from_numpy(matrix)") < 40_000


def test_a_tensor_is_taken_by_dlpack_or_refused_with_advice(updates):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(updates)
    rows = _arrays._rows(tensor)
    assert rows[3].ctypes.data == tensor[3].data_ptr()
    expected = outpost.aggregate("median", updates)
    numpy.testing.assert_array_equal(outpost.aggregate("median", tensor), expected)
    numpy.testing.assert_array_equal(outpost.aggregate("median", list(tensor)), expected)
    numpy.testing.assert_array_equal(outpost.aggregate("median", tensor.double()), expected)
    for unfit in (torch.from_numpy(updates).requires_grad_(), tensor.bfloat16()):
        with pytest.raises(TypeError, match="tensor.detach"):
            outpost.aggregate("median", unfit)


def test_python_goes_on_while_a_rule_computes():
    matrix = numpy.random.default_rng(0).standard_normal((100, 500_000), dtype=numpy.float32)
    thread = threading.Thread(target=outpost.aggregate, args=("krum", matrix), kwargs={"byzantine": 20})
    thread.start()
    turns = 0
    while thread.is_alive():
        turns += 1
    assert turns > 1000, "this loop has stood still"


def test_what_makes_no_sense_is_refused_in_a_line(updates):
    def refused(error, words, function, *positional, **named):
        with pytest.raises(error, match=words) as caught:
            function(*positional, **named)
        assert "\n" not in str(caught.value)

    aggregate, craft = outpost.aggregate, outpost.craft
    refused(outpost.Error, "unknown aggregation rule `krun`", aggregate, "krun", updates)
    refused(outpost.Error, "`mean` has no `trim`", aggregate, "mean", updates, trim=1)
    refused(outpost.Error, "byzantine", aggregate, "krum", updates, byzantine=6)
    refused(outpost.Error, "the aggregator has trained itself", aggregate, "fltrust", updates)
    refused(outpost.Error, "in ascending order", outpost.Aggregator("mean").aggregate, updates[:2], devices=[1, 1])
    refused(outpost.Error, "global_model: row 0, column 0", aggregate, "mean", [[1.0]], global_model=[numpy.inf])
    refused(outpost.Error, "row 0, column 1", aggregate, "mean", numpy.array([[0, 1e300]]))
    refused(TypeError, r"shape \(40,\) is not", aggregate, "mean", updates[0])
    refused(TypeError, r"updates\[1\]: 3 values", aggregate, "mean", [[1.0, 2.0], [1.0, 2.0, 3.0]])
    refused(TypeError, "an array of complex", aggregate, "mean", updates.astype(complex))
    refused(TypeError, "there is nothing", aggregate, "mean", [])
    refused(TypeError, "global_model: 3 values, where an update has 40", aggregate, "mean", updates, global_model=[1, 2, 3])
    refused(outpost.Error, "unknown attack", craft, "nothing", updates, compromised=2)
    refused(outpost.Error, "give 1 to 12", craft, "sign-flip", updates, compromised=13)
    refused(outpost.Error, "label-flip crafts nothing", craft, "label-flip", updates, compromised=2)
    refused(outpost.Error, "unknown stage|unknown", aggregate, "mean", updates, defense=["nothing"])
    refused(outpost.Error, "unknown kind", outpost.names, "fruits")


def test_what_is_crafted_has_a_row_for_each_compromised_device(updates):
    crafted = outpost.craft("min-max", updates, compromised=3, knowledge="full")
    assert crafted.shape == (3, 40) and crafted.dtype == numpy.float32
    assert not numpy.array_equal(crafted, updates[:3])


def test_the_names_are_those_of_the_program():
    rules = outpost.names("rules")
    assert {"krum", "median", "fltrust"} <= rules.keys()
    assert all(about and "\n" not in about for kind in ("rules", "attacks", "stages") for about in outpost.names(kind).values())
