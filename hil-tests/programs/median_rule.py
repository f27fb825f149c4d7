"""A rule: the median of each coordinate."""

import numpy
from outpost_program import rule, serve


@rule
def median(updates):
    return numpy.median(updates, axis=0)


serve()
