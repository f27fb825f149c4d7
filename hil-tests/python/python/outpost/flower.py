"""Outpost's rules in Flower.

    from outpost.flower import Strategy

    strategy = Strategy("multi-krum", byzantine=2, fraction_train=1.0)
    strategy.start(grid=grid, initial_arrays=arrays, num_rounds=10)

`outpost.names("rules")` lists the rules.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy

from ._arrays import Aggregator
from ._outpost import Error

try:
    from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
    from flwr.serverapp import Grid
    from flwr.serverapp.strategy import FedAvg
except ImportError as cause:
    raise ImportError(f"outpost.flower needs a flwr that has flwr.serverapp.strategy: pip install -U flwr ({cause})") from cause

_log = logging.getLogger("flwr")


class Strategy(FedAvg):
    """Federated averaging of Flower, with one of Outpost's rules in place of the average.

    `rule`, `byzantine`, `defense`, `seed` and, in `settings`, those of the rule are as for `outpost.Aggregator`, which is
    `aggregator`, and keeps from round to round what rule and stages keep. All else goes to `FedAvg`. `root`, for a rule that
    wants it, is given the round and the global model, and returns what you have trained from that yourself.

    Clients are hostile: a reply that lacks an array, has one of another shape or a value that is not finite, or claims no number
    of examples, is left out, and the log names the node. A round that the rule refuses leaves the model as it is. Arrays of
    whole numbers, such as counters, stay those of the global model.
    """

    def __init__(
        self,
        rule: str,
        *,
        byzantine: int = 0,
        defense: Iterable[str | Mapping[str, Any]] = (),
        seed: int = 1,
        settings: Mapping[str, Any] | None = None,
        root: Callable[[int, ArrayRecord], ArrayRecord] | None = None,
        **fedavg: Any,
    ) -> None:
        super().__init__(**fedavg)
        self.aggregator = Aggregator(rule, byzantine=byzantine, defense=defense, seed=seed, **(settings or {}))
        self.used: list[int] = []
        """The nodes whose updates have a part in the last aggregate."""
        self._rule, self._root = rule, root
        self._global = ArrayRecord()
        # A device of Outpost's has the same number in every round.
        self._numbers: dict[int, int] = {}

    def summary(self) -> None:
        """Logs the configuration."""
        _log.info("\t├──> Rule: %s", self._rule)
        super().summary()

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        """As in `FedAvg`."""
        self._global = arrays
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The aggregate of the replies, by the rule."""
        # What Flower would check of them fails the round for all; here a client fails alone.
        received, _ = self._check_and_log_replies(replies, is_train=True, validate=False)
        self.used = []
        usable: dict[int, tuple[RecordDict, Any, float]] = {}
        for message in received:
            node = message.metadata.src_node_id
            try:
                usable[node] = (message.content, *self._read(message.content))
            except _Unusable as why:
                _log.warning("aggregate_train: the update of node %d is left out: %s", node, why)
        for node in sorted(usable.keys() - self._numbers):
            self._numbers[node] = len(self._numbers)
        nodes = sorted(usable, key=self._numbers.__getitem__)
        if not nodes:
            return None, None
        contents, rows, examples = zip(*(usable[node] for node in nodes))
        metrics = self.train_metrics_aggr_fn(list(contents), self.weighted_by_key)
        try:
            values = self.aggregator.aggregate(
                list(rows),
                global_model=_flat(self._global),
                devices=[self._numbers[node] for node in nodes],
                examples=examples,
                root=self._root and _flat(self._root(server_round, self._global)),
            )
        except Error as why:
            _log.warning("aggregate_train: the model stays as it is: %s", why)
            return None, metrics
        self.used = [node for node in nodes if self._numbers[node] in self.aggregator.used]
        _log.info("aggregate_train: %d of %d updates have a part in the model", len(self.used), len(received))
        return _like(self._global, values), metrics

    def _read(self, content: RecordDict) -> tuple[Any, float]:
        """The update and the number of examples in a reply."""
        records, metrics = list(content.array_records.values()), list(content.metric_records.values())
        if len(records) != 1 or len(metrics) != 1:
            raise _Unusable("it is not one record of arrays and one of metrics")
        if records[0].keys() != self._global.keys():
            raise _Unusable("its arrays are not those of the model")
        for name, array in self._global.items():
            if tuple(records[0][name].shape) != tuple(array.shape):
                raise _Unusable(f"{name} has another shape")
        try:
            values = _flat(records[0], self._global)
        except (TypeError, ValueError) as why:
            raise _Unusable(f"its arrays cannot be read: {why}") from why
        if values.size != _flat(self._global).size or not numpy.isfinite(values).all():
            raise _Unusable("it has values that are not finite")
        examples = metrics[0].get(self.weighted_by_key)
        if not isinstance(examples, (int, float)) or not 0 < examples < float("inf"):
            raise _Unusable(f"its {self.weighted_by_key} is no number of examples")
        return values, float(examples)


class _Unusable(Exception):
    """What is wrong with a reply."""


def _is_trained(array: Array) -> bool:
    return numpy.dtype(array.dtype).kind == "f"


def _flat(record: ArrayRecord, like: ArrayRecord | None = None) -> Any:
    """The floats of a record, one array behind the other in the order of `like`."""
    like = record if like is None else like
    arrays = [record[name].numpy().ravel() for name, array in like.items() if _is_trained(array)]
    with numpy.errstate(over="ignore"):
        return numpy.concatenate(arrays or [numpy.zeros(0)]).astype(numpy.float32)


def _like(record: ArrayRecord, values: Any) -> ArrayRecord:
    """The record with these values in place of its floats."""
    arrays, start = {}, 0
    for name, array in record.items():
        if _is_trained(array):
            end = start + int(numpy.prod(array.shape))
            trained = values[start:end].reshape(array.shape).astype(array.dtype)
            array, start = Array(trained), end
        arrays[name] = array
    return ArrayRecord(arrays)
