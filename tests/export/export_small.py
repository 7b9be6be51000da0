"""An export without child processes: the same roads in this one, for many small cases."""

from pathlib import Path

from zoo_export.exporting import _as_arrays, _request
from zoo_export.making import child
from zoo_export.making.artifacts import make_job, verified
from zoo_export.making.conversion import Converted, Result
from zoo_export.options import ExportOptions
from zoo_export.reading.model_file import model_file
from zoo_export.reading.source import read_source
from zoo_runtime.errors import ExportError
from zoo_runtime.formats import find
from zoo_runtime.running import open_runner

ALL = ("tflite", "onnx", "saved_model")


def convert(
    model, folder, formats=ALL, samples=None, batch_sizes=(1,), sequence_length=None, **known
):
    """Return the verified artifacts by format; what is refused is the error in its place."""
    folder = Path(folder)
    if samples is not None:
        known["rows"] = _as_arrays(samples, "samples", model)
    options = ExportOptions(batch_sizes=batch_sizes, sequence_length=sequence_length)
    source = read_source(_request(model, {"name": "m", "options": options, **known}))
    (folder / "work").mkdir(parents=True)
    found = {}
    with model_file(source.request, folder / "work") as (path, modules):
        for row in map(find, formats):
            loaded = make_job(source, row, path, modules, folder)
            trial = loaded.trial()  # an error of Keras is none of a format
            try:
                facts = child._convert(loaded)
                outputs = child._run(loaded.job, trial.samples)
                outputs += child._run_perturbed(loaded, trial.samples) if trial.perturbed else ()
                found[row.name] = verified(
                    source, row, Converted(loaded.job, 0.0, Result(facts), outputs)
                )
            except ExportError as error:
                found[row.name] = error
    return found


def runner(folder, artifact):
    """Open what :func:`convert` wrote."""
    return open_runner(
        find(artifact.format),
        Path(folder) / artifact.path,
        artifact.inputs,
        artifact.outputs,
        batch_sizes=artifact.batch_sizes,
    )
