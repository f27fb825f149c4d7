"""What the tests share. They test the package that Python finds: installed, or built as docs/python.md says."""

import json
import pathlib

import numpy
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]

SCENARIO = {
    "name": "from-python",
    "dataset": "breast-cancer",
    "model": "logistic-regression",
    "rounds": 20,
    "fleet": {"devices": 5, "compromised": 2},
    "aggregation": {"rule": "trimmed-mean"},
    "attack": {"kind": "trimmed-mean"},
    "evaluation": {"every": 5},
}
"""Small and quick: a round takes less than 1 ms."""


@pytest.fixture
def root():
    """The repository."""
    return ROOT


@pytest.fixture
def datasets():
    """The folder of data sets."""
    return ROOT / "datasets"


@pytest.fixture
def scenario():
    return json.loads(json.dumps(SCENARIO))


@pytest.fixture
def updates():
    """12 updates of 40 values, and the last two far from the others."""
    updates = numpy.random.default_rng(7).standard_normal((12, 40)).astype(numpy.float32)
    updates[10:] += 50
    return updates


def vectors(kind):
    """The conformance vectors of one kind: (name, case)."""
    for path in sorted((ROOT / "docs/conformance" / kind).glob("*.json")):
        for case in json.loads(path.read_text())["cases"]:
            yield path.stem, case
