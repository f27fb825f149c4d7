"""What the definitions of rules, stages and attacks have in common: what one is, a round, lengths and cosines."""

from collections import namedtuple

import numpy as np

# `compute(round, settings, byzantine, state)`; `state` is a dictionary that lasts for all rounds of a case.
Entry = namedtuple("Entry", "kind name source definition compute")


class Undefined(Exception):
    """The definition says nothing about such a round."""


class Round:
    """A round of a file, with updates in place of models; in float64."""

    def __init__(self, fields):
        self.fields = fields
        self.origin = np.array(fields["global"], float)
        self.updates = self.relative("models")
        self.colluders = self.relative("colluders")
        self.benign = self.relative("benign")
        self.devices = fields.get("devices") or list(range(len(self.updates)))

    def relative(self, key):
        return [np.array(model, float) - self.origin for model in self.fields.get(key, [])]

    def known(self, settings):
        """What the attacker knows: the updates of the colluders alone, or everyone's."""
        return self.colluders + (self.benign if settings.get("knowledge", "partial") == "full" else [])


def collect(kind):
    """A dictionary of entries, and the decorator that puts a function into it."""
    entries = {}

    def entry(name, source, definition):
        def add(compute):
            entries[name] = Entry(kind, name, source, definition, compute)
            return compute
        return add

    return entries, entry


def length(vector):
    return float(np.sqrt(np.sum(vector * vector)))


def distance(a, b):
    return length(a - b)


def mean(vectors):
    return sum(vectors) / len(vectors)


def cosine(a, b):
    """That of the angle between two vectors; 0 where one has no length."""
    lengths = length(a) * length(b)
    return float(np.sum(a * b)) / lengths if lengths > 0 else 0.0


def shortened(vector, most):
    """The vector, no longer than `most`."""
    own = length(vector)
    return vector if own <= most else vector * (most / own)
