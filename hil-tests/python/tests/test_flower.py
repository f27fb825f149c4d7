"""The strategy in the Flower that is installed."""

import os

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

import numpy
import outpost
import pytest

pytest.importorskip("flwr")

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from outpost.flower import Strategy

TARGET = numpy.arange(12, dtype=numpy.float32)
"""What honest clients go towards."""


def model(values=None, steps=0):
    """A layer of 3 x 3, one of 3, and a counter."""
    values = numpy.zeros(12, numpy.float32) if values is None else values
    arrays = {"weight": values[:9].reshape(3, 3), "bias": values[9:], "steps": numpy.array([steps])}
    return ArrayRecord({name: Array(numpy.ascontiguousarray(array)) for name, array in arrays.items()})


def values(record):
    return numpy.concatenate([record[name].numpy().ravel() for name in ("weight", "bias")])


def content(arrays, examples=10):
    return RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": examples, "loss": 1.0})})


class Grid:
    """Enough of Flower's grid for a round by hand."""

    def __init__(self, nodes):
        self.nodes = nodes

    def get_node_ids(self):
        return self.nodes


@pytest.fixture(autouse=True)
def task(request, monkeypatch):
    """Flower's messages belong to a task, of which there is none outside a run."""
    from flwr.supercore.task_identity import TaskIdentity

    if request.node.get_closest_marker("nightly") is None:
        for number in ("_task_id", "_run_id", "_node_id"):
            monkeypatch.setattr(TaskIdentity, number, 1)


def replies(strategy, arrays, sent):
    """What nodes reply in a round: `sent` is the content of each."""
    messages = list(strategy.configure_train(1, arrays, ConfigRecord(), Grid(list(sent))))
    return [Message(sent[message.metadata.dst_node_id], reply_to=message) for message in messages]


def strategy(rule, nodes, **more):
    return Strategy(rule, min_train_nodes=nodes, min_available_nodes=nodes, fraction_evaluate=0.0, **more)


def honest(nodes):
    return {node: content(model(TARGET + 0.01 * node, steps=5)) for node in nodes}


def test_the_aggregate_is_the_rules():
    median = strategy("median", 5)
    sent = honest(range(1, 6))
    arrays, metrics = median.aggregate_train(1, replies(median, model(), sent))
    numpy.testing.assert_allclose(values(arrays), TARGET + 0.03, rtol=1e-6)
    assert arrays["weight"].shape == (3, 3) and arrays["weight"].dtype == "float32"
    assert arrays["steps"].numpy().tolist() == [0], "a counter stays that of the global model"
    assert metrics["loss"] == pytest.approx(1.0)


def test_who_has_a_part_is_named_by_its_node():
    krum = strategy("krum", 6, byzantine=1)
    far = 10**15
    sent = {**honest(range(3, 8)), far: content(model(TARGET + 100))}
    krum.aggregate_train(1, replies(krum, model(), sent))
    assert len(krum.used) == 1 and krum.used[0] in range(3, 8)
    with_stage = strategy("mean", 6, byzantine=1, defense=[{"kind": "dnc", "filter": 1.0, "iterations": 1}])
    with_stage.aggregate_train(1, replies(with_stage, model(), sent))
    assert sorted(with_stage.used) == list(range(3, 8))


def test_a_hostile_reply_is_left_out_and_the_others_count(caplog):
    huge = model(TARGET)
    infinite = TARGET.copy()
    infinite[3] = numpy.inf
    other = ArrayRecord({"weight": Array(numpy.zeros(3)), "bias": huge["bias"], "steps": huge["steps"]})
    hostile = {
        101: content(model(infinite)),
        102: content(other),
        103: content(ArrayRecord({"bias": huge["bias"]})),
        104: content(huge, examples=-5),
        105: content(huge, examples=float("nan")),
        106: RecordDict({"arrays": huge}),
    }
    mean = strategy("mean", 9)
    with caplog.at_level("WARNING", "flwr"):
        arrays, _ = mean.aggregate_train(1, replies(mean, model(), {**honest([1, 2, 3]), **hostile}))
    numpy.testing.assert_allclose(values(arrays), TARGET + 0.02, rtol=1e-5)
    for node in hostile:
        assert f"the update of node {node} is left out" in caplog.text
    assert mean.used == [1, 2, 3]


def test_a_round_that_the_rule_refuses_leaves_the_model(caplog):
    krum = strategy("krum", 3, byzantine=1)
    with caplog.at_level("WARNING", "flwr"):
        arrays, metrics = krum.aggregate_train(1, replies(krum, model(), honest([1, 2, 3])))
    assert arrays is None and metrics is not None
    assert "the model stays as it is: " in caplog.text and "byzantine" in caplog.text


def test_what_a_rule_keeps_stays_from_round_to_round():
    clipping = strategy("centered-clipping", 5, byzantine=1, settings={"radius": 1.0})
    arrays, states = model(), []
    for number in range(1, 4):
        arrays, _ = clipping.aggregate_train(number, replies(clipping, arrays, honest(range(1, 6))))
        states.append(clipping.aggregator.state)
    assert [state["round"] for state in states] == [1, 2, 3]
    assert not numpy.array_equal(*[list(state["vectors"].values())[0] for state in states[:2]])


def test_a_rule_with_a_root_gets_what_the_server_has_trained():
    trained = []

    def root(number, arrays):
        trained.append(number)
        return model(values(arrays) + 0.5 * (TARGET - values(arrays)))

    fltrust = strategy("fltrust", 5, root=root)
    sent = {**honest(range(1, 5)), 9: content(model(-10 * TARGET))}
    arrays, _ = fltrust.aggregate_train(1, replies(fltrust, model(), sent))
    assert trained == [1] and 9 not in fltrust.used
    assert float(values(arrays) @ TARGET) > 0


def simulate(chosen, rounds):
    """The model after some rounds of the real Flower, with 7 nodes, of which two are hostile."""
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    client, server, result = ClientApp(), ServerApp(), {}

    @client.train()
    def train(message, context):
        import numpy
        from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

        number = context.node_config["partition-id"]
        arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
        weight, bias = arrays["weight"], arrays["bias"]
        target = numpy.arange(12, dtype=numpy.float32) + 0.01 * number
        if number >= 5:
            target = -1000 * target
        arrays["weight"] = weight + 0.5 * (target[:9].reshape(3, 3) - weight)
        arrays["bias"] = bias + 0.5 * (target[9:] - bias)
        record = ArrayRecord({name: Array(array) for name, array in arrays.items()})
        metrics = MetricRecord({"num-examples": 10, "loss": 1.0})
        return Message(RecordDict({"arrays": record, "metrics": metrics}), reply_to=message)

    @server.main()
    def serve(grid, context):
        ended = chosen.start(grid=grid, initial_arrays=model(), num_rounds=rounds)
        result["values"] = values(ended.arrays)

    limits = {"num_cpus": 2, "include_dashboard": False, "logging_level": "error"}
    backend = {"client_resources": {"num_cpus": 1}, "init_args": limits}
    run_simulation(server_app=server, client_app=client, num_supernodes=7, backend_config=backend)
    return result["values"]


@pytest.mark.nightly
def test_in_a_simulation_of_flower_the_rule_withstands_hostile_clients(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    multi_krum = strategy("multi-krum", 7, byzantine=2, settings={"select": 3})
    ended = simulate(multi_krum, rounds=8)
    numpy.testing.assert_allclose(ended, TARGET, atol=0.1)
    assert multi_krum.aggregator.state["round"] == 8 and len(multi_krum.used) == 3
    # The same clients, and Flower's own average.
    assert numpy.abs(simulate(strategy("mean", 7), rounds=1)).max() > 100


def test_the_error_without_flower_says_what_to_install(monkeypatch):
    import importlib
    import sys

    for name in [name for name in sys.modules if name.startswith("flwr.serverapp")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "outpost.flower")
    with pytest.raises(ImportError, match="pip install -U flwr"):
        importlib.import_module("outpost.flower")
    assert outpost.aggregate("mean", [[1.0]]).tolist() == [1.0]
