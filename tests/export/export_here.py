"""Conversions in the process of the tests: what the child does, without its start."""

import time

from zoo_export.converters import child
from zoo_export.converters.conversion import Converted
from zoo_export.converters.job import Result
from zoo_export.errors import ExportError


def convert_here(tasks, work, *, time_limit, started):
    """Take the place of ``convert_all``: the same converters, files and runtimes."""
    for task in tasks:
        started(task.job.format)
        begun = time.monotonic()
        try:
            result = Result(facts=child._convert(task))
            outputs = child._run(task.job, task.cases)
            outputs += child._prove(task) if task.job.proof else ()
        except ExportError as error:
            yield Converted(task.job, 0.0, error=error)
        else:
            yield Converted(task.job, time.monotonic() - begun, result, outputs)
