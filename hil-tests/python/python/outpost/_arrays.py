"""Rules and attacks on arrays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from . import _outpost

Vector = NDArray[numpy.float32]


class Aggregator:
    """A rule, with stages before it, and with what these keep from round to round.

    `rule` is the name of a rule, `settings` are its own, as in `[aggregation]` of a scenario (an underscore stands for a hyphen);
    `names("rules")` lists them. The rule assumes `byzantine` devices to be Byzantine, and draws by `seed`. `defense` are the
    stages before it: the name of each, or a mapping of its `kind` and its settings, as in `[[defense]]`. Stages that judge
    updates by examples need a run. A rule or stage that is a program (`rule="program"`) is run.
    """

    used: list[int]
    """Whose rows have a part in the last aggregate, in ascending order."""

    removed: list[int]
    """Whose rows the stages removed in the last round, in ascending order."""

    def __init__(
        self,
        rule: str,
        *,
        byzantine: int = 0,
        defense: Iterable[str | Mapping[str, Any]] = (),
        seed: int = 1,
        **settings: Any,
    ) -> None:
        stages = [({"kind": stage} if isinstance(stage, str) else dict(stage)) for stage in defense]
        named = [(stage.pop("kind", ""), _json(stage)) for stage in stages]
        self._aggregator = _outpost.Aggregator(rule, _json(_hyphenated(settings)), named, byzantine, seed)
        self.used, self.removed = [], []

    def aggregate(
        self,
        updates: Any,
        *,
        global_model: Any = None,
        devices: Sequence[int] | None = None,
        examples: Any = None,
        root: Any = None,
    ) -> Vector:
        """The aggregate of a round, d values.

        `updates` are m rows of d values: an array, a tensor of the CPU (whatever has DLPack or the buffer protocol), or a list
        of m arrays of d values. Where these are 32-bit floats and the values of a row lie side by side, nothing is copied. They
        are updates, or models if `global_model` is given, d values that the round started from; the aggregate is a model then.

        `devices` are the numbers of those who sent the rows, in ascending order, for what is kept of each device from round to
        round; without, 0 to m - 1. `examples` are m numbers of training examples, for what weighs by them. `root` is what you
        trained yourself, for a rule that wants it: d values.

        Raises `Error` for what the rule says against the updates, and for values that are not finite; then nothing is kept of
        the round.
        """
        rows = _rows(updates)
        devices = range(len(rows)) if devices is None else devices
        values, self.used, self.removed = self._aggregator.aggregate(
            rows,
            [int(device) for device in devices],
            _optional("global_model", global_model, rows),
            None if examples is None else [float(count) for count in examples],
            _optional("root", root, rows),
        )
        return values

    @property
    def state(self) -> dict[str, Any]:
        """What it keeps for later rounds: `round`, the number of rounds so far, and `vectors` by name. Setting it goes on from
        there."""
        rounds, vectors = self._aggregator.state()
        return {"round": rounds, "vectors": dict(vectors)}

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        vectors = [(name, _vector(name, values)) for name, values in state["vectors"].items()]
        self._aggregator.resume(state["round"], vectors)


def aggregate(
    rule: str,
    updates: Any,
    *,
    byzantine: int = 0,
    global_model: Any = None,
    examples: Any = None,
    root: Any = None,
    defense: Iterable[str | Mapping[str, Any]] = (),
    seed: int = 1,
    **settings: Any,
) -> Vector:
    """The aggregate of `updates` by a rule, as in the first round of a run: see `Aggregator`, which goes on from there.

    >>> outpost.aggregate("trimmed-mean", updates, trim=3)
    """
    aggregator = Aggregator(rule, byzantine=byzantine, defense=defense, seed=seed, **settings)
    return aggregator.aggregate(updates, global_model=global_model, examples=examples, root=root)


def craft(
    attack: str,
    updates: Any,
    *,
    compromised: int,
    global_model: Any = None,
    rule: str = "mean",
    byzantine: int | None = None,
    seed: int = 1,
    **settings: Any,
) -> NDArray[numpy.float32]:
    """What compromised devices send in place of the first `compromised` rows of `updates`: so many rows of d values.

    `attack` is the name of an attack, `settings` are its own, as in `[attack]` of a scenario; `names("attacks")` lists them. The
    rows are what all devices would honestly send, in the forms that `Aggregator.aggregate` takes. An attack that tries a rule
    out has the one called `rule`, which assumes `byzantine` devices to be Byzantine, or as many as are compromised. Where
    nothing can be crafted, the rows are as they came. Raises `Error` for an attack that crafts nothing of updates.

    >>> outpost.craft("inner-product", updates, compromised=20, optimise=True, rule="krum")
    """
    rows = _rows(updates)
    origin = _optional("global_model", global_model, rows)
    crafted = _outpost.craft(attack, _json(_hyphenated(settings)), rows, origin, compromised, rule, byzantine, seed)
    if crafted is None:
        return numpy.stack(rows[:compromised])
    return crafted.reshape(compromised, -1)


def _rows(updates: Any) -> list[Vector]:
    """A row for each device, contiguous and 32-bit: views of `updates` where they are that already."""
    if isinstance(updates, (list, tuple)):
        rows = [_vector(f"updates[{number}]", row) for number, row in enumerate(updates)]
    else:
        array = _array("updates", updates)
        if array.ndim != 2:
            raise TypeError(f"updates: shape {array.shape} is not (devices, parameters)")
        rows = [_in_one_piece(row) for row in array]
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise TypeError(f"updates[{number}]: {len(row)} values, where the first row has {len(rows[0])}")
    if not rows or not len(rows[0]):
        raise TypeError("updates: there is nothing to aggregate or to craft from")
    return rows


def _optional(name: str, values: Any, rows: list[Vector]) -> Vector | None:
    if values is None:
        return None
    vector = _vector(name, values)
    if len(vector) != len(rows[0]):
        raise TypeError(f"{name}: {len(vector)} values, where an update has {len(rows[0])}")
    return vector


def _vector(name: str, values: Any) -> Vector:
    array = _array(name, values)
    if array.ndim != 1:
        raise TypeError(f"{name}: shape {array.shape} is not (parameters,)")
    return _in_one_piece(array)


def _array(name: str, values: Any) -> NDArray[numpy.float32]:
    """`values` as 32-bit floats in the memory of this machine: the same memory, if they are that already."""
    if isinstance(values, numpy.ndarray) or not hasattr(values, "__dlpack__"):
        array = numpy.asarray(values)
    else:
        try:
            array = numpy.from_dlpack(values)
        except (BufferError, RuntimeError, TypeError, ValueError) as cause:
            advice = "give a tensor of floats of the CPU that needs no gradient: tensor.detach().float().cpu()"
            raise TypeError(f"{name}: {cause}; {advice}") from cause
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: an array of {array.dtype}, not of floats or whole numbers")
    with numpy.errstate(over="ignore"):
        # What a 32-bit float cannot hold is infinite then, and is refused.
        return array.astype(numpy.float32, copy=False)


def _in_one_piece(row: Vector) -> Vector:
    return row if row.flags.c_contiguous and row.flags.aligned else numpy.array(row)


def _hyphenated(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key.replace("_", "-"): value for key, value in settings.items()}


def _json(value: Any) -> str:
    """`value` as JSON, numbers and arrays of numpy included."""
    return json.dumps(value, default=lambda other: other.tolist())
