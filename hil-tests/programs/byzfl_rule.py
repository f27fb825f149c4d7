"""An aggregator of ByzFL as a rule: `python3 byzfl_rule.py TrMean`, `python3 byzfl_rule.py CenteredClipping L=5`.

Settings are those of the aggregator; `f` is what the scenario assumes, unless it is given.
"""

import inspect
import json
import sys

import byzfl
from outpost_program import rule, serve

name, *settings = sys.argv[1:]
aggregator = getattr(byzfl, name)
settings = {key: json.loads(value) for key, value in (setting.split("=") for setting in settings)}


@rule
def of_byzfl(updates, question):
    wants_f = "f" in inspect.signature(aggregator).parameters
    assumed = {"f": question.byzantine} if wants_f else {}
    return aggregator(**{**assumed, **settings})(updates)


serve()
