"""Rules, stages and attacks for Outpost in Python: functions from numpy array to numpy array.

    import numpy
    from outpost_program import rule, serve

    @rule
    def median(updates):
        return numpy.median(updates, axis=0)

    serve()

This one file and numpy are all that is needed: put it beside yours. docs/your-defense.md of Outpost describes the lines that it
reads and writes for you.

A function takes the array of updates, one row of d numbers for each device, and, if it wants to know more, a `Question`. The
array is memory that Outpost writes to in the next round: keep copies of what you want to keep. What the function prints goes
to standard error, and so to Outpost's log. What it raises is the error of the round, and the next round asks again.
"""

import inspect
import json
import os
import sys
import traceback

import numpy

_functions = {}


def rule(function):
    """A rule: returns the aggregate, d numbers."""
    _functions["aggregate"] = function
    return function


def stage(function):
    """A stage before the rule: returns the rows to remove, as numbers or as an array of m truth values; or an array of as many
    rows as there are, [m, m], whose coefficients say what each row is to be made of."""
    _functions["screen"] = function
    return function


def attack(function):
    """An attack: returns what the c compromised devices send, [c, d], or d numbers that all of them send; or None, to have them
    send what they trained."""
    _functions["craft"] = function
    return function


class Question:
    """What is known of a round beside its updates. Every key of the line is an attribute: `round`, `seed`, `rows`, `columns`,
    `byzantine`, `devices`; for a rule and a stage `examples`; for a stage `remove`, how many rows it may remove; for an attack
    `colluders`, the rows of the compromised devices, and `selected`.

    `state` is an array of numbers that is kept from round to round, also when the run is stopped and goes on: empty at first,
    and what the function sets it to in one round it finds in the next, as 32-bit floats in one row."""

    def __init__(self, line):
        files = ("updates", "global", "answer", "state", "keep")
        self.__dict__.update({key: value for key, value in line.items() if key not in files})
        self._line = line
        self.state = self._found = numpy.fromfile(line["state"], dtype="<f4", count=line["kept"])

    @property
    def global_model(self):
        """The model that the round started from, d numbers."""
        return numpy.fromfile(self._line["global"], dtype="<f4", count=self.columns)

    @property
    def random(self):
        """A generator that draws the same whenever this round is computed again."""
        return numpy.random.default_rng([self.seed, self.round])


def serve():
    """Answers until nobody asks any more."""
    # A line that a library prints would be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for text in sys.stdin:
        line = json.loads(text)
        try:
            answer = _answer(line)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stderr.flush()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(line):
    if line["outpost"] != 1:
        return {"error": f"these are lines of version {line['outpost']}, and this file speaks version 1"}
    function = _functions.get(line["do"])
    if function is None:
        return {"error": f"asked to {line['do']}, it can only {', '.join(_functions) or 'do nothing'}"}
    shape = (line["rows"], line["columns"])
    updates = numpy.asarray(numpy.memmap(line["updates"], dtype="<f4", mode="c", shape=shape))
    question = Question(line)
    takes = len(inspect.signature(function).parameters)
    result = function(updates) if takes == 1 else function(updates, question)
    answer = _WRITERS[line["do"]](line, result)
    if question.state is not question._found:
        state = numpy.ravel(question.state)
        _write(line["keep"], state, state.shape)
        answer["keep"] = state.size
    return answer


def _aggregated(line, aggregate):
    _write(line["answer"], aggregate, (line["columns"],))
    return {"ok": True}


def _screened(line, result):
    result = numpy.asarray([] if result is None else result)
    if result.ndim == 2:
        _write(line["answer"], result, (line["rows"], line["rows"]))
        return {"ok": True, "places": list(range(line["rows"]))}
    if result.dtype == bool:
        if result.shape != (line["rows"],):
            raise ValueError(f"{line['rows']} truth values say which rows to remove, not {result.shape}")
        result = result.nonzero()[0]
    return {"ok": True, "remove": [int(row) for row in result]}


def _crafted(line, sent):
    if sent is None:
        return {"ok": True, "honest": True}
    shape = (len(line["colluders"]), line["columns"])
    sent = numpy.asarray(sent)
    _write(line["answer"], numpy.broadcast_to(sent, shape) if sent.shape == shape[1:] else sent, shape)
    return {"ok": True}


def _write(path, values, shape):
    values = numpy.asarray(values)
    if values.shape != shape:
        raise ValueError(f"the function returned an array of shape {list(values.shape)}, not {list(shape)}")
    numpy.ascontiguousarray(values, dtype="<f4").tofile(path)


_WRITERS = {"aggregate": _aggregated, "screen": _screened, "craft": _crafted}
