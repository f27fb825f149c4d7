"""A stage before the rule: removes the updates that are farthest from the median of each coordinate."""

import numpy
from outpost_program import serve, stage


@stage
def far(updates, question):
    distances = numpy.linalg.norm(updates - numpy.median(updates, axis=0), axis=1)
    return distances.argsort(kind="stable")[len(updates) - question.remove :]


serve()
