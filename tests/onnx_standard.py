"""Every ONNX file that a test exports runs in ``onnx.reference`` too, which is the standard itself.

ONNX Runtime takes what older versions of the standard had, and attributes that none has.
"""

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops import op_gru, op_loop, op_lstm, op_rnn

from zoo_export.converters.onnx.file import STANDARD
from zoo_export.converters.onnx.graph import all_nodes
from zoo_runtime.comparing import compared, settle, usual_sizes
from zoo_runtime.saved_samples import EDGE, EXAMPLE

# Rows of a batch that are tried: NumPy takes its time, and the operators are those of all rows.
_ROWS = 2


def faults_of(source, row, job):
    """Yield what is wrong with a file by the standard, on a few rows of the samples.

    Args:
        source: What was exported.
        row: The format.
        job: How the file was made.
    """
    domains = {node.domain for node in all_nodes(onnx.load(job.path).graph)} - STANDARD
    if domains:
        # Operators of one runtime are where somebody asked for them, and nowhere else.
        if job.options.optimize is None:
            yield f"it has operators of {sorted(domains)}"
        return
    evaluator, samples = evaluator_of(job.path), source.samples
    dtypes = {tensor.name: tensor.dtype for tensor in source.outputs}
    for at in samples.for_file(job.inputs, is_scheme=row.scheme is not None):
        sample = samples.batches[at]
        if sample.kind == EXAMPLE:
            continue
        batch = job.inputs[0].shape[0]  # of a file that takes one alone, that many rows
        part = slice(batch if isinstance(batch, int) else None if samples.row_dependence else _ROWS)
        inputs, expected, unsteady = (
            {name: array[part] for name, array in arrays.items()}
            for arrays in (sample.inputs, sample.expected, sample.unsteady)
        )
        try:
            given = evaluate(evaluator, inputs)
            settle(expected, given, unsteady)
            scales, sizes = samples.scales.get(sample.group or ""), usual_sizes(samples.scales)
            known = {"sizes": sizes, "is_edge": sample.kind == EDGE}
            rows = compared(row, expected, given, scales, dtypes, **known)
        except Exception as error:  # what the evaluator raises is what is wrong
            yield f"{sample.kind}: {type(error).__name__}: {error}"
        else:
            yield from (f"{sample.kind}: {one}" for one in rows if not one.ok)


def by_the_standard(path, arrays):
    """Run an ONNX file in ``onnx.reference``, which knows nothing but the standard."""
    return evaluate(evaluator_of(path), arrays)


def evaluator_of(path):
    """Return the standard's evaluator of a file."""
    return ReferenceEvaluator(str(path), new_ops=[Loop, LSTM, GRU, RNN, GatherElements, LogSoftmax])


def evaluate(evaluator, arrays):
    """Return the outputs by name."""
    return dict(zip(evaluator.output_names, evaluator.run(None, dict(arrays)), strict=True))


class Loop(op_loop.Loop):
    """Stack what each round gives along a new axis, as the standard says: onnx 1.23 joins it."""

    op_domain = ""

    def __init__(self, *args):
        super().__init__(*args)
        run, self.rounds = self._run_body, []

        def run_body(*inputs, **options):
            self.rounds.append(run(*inputs, **options))
            return self.rounds[-1]

        self._run_body = run_body

    def _run(self, *args, **options):
        self.rounds = []
        made = list(super()._run(*args, **options))
        for at in range(-self.K, 0):
            made[at] = np.stack([outputs[at] for outputs in self.rounds])
        return tuple(made)


class GatherElements(OpRun):
    """Take indices of any sizes, as the standard says: onnx 1.23 wants those of the data."""

    op_domain = ""

    def _run(self, data, indices, axis=None):
        axis %= data.ndim
        part = tuple(slice(None if at == axis else n) for at, n in enumerate(indices.shape))
        return (np.take_along_axis(data[part], indices, axis),)


class LogSoftmax(OpRun):
    """Take the logarithm of a share that float32 has no number for: onnx 1.23 makes it infinite."""

    op_domain = ""

    def _run(self, x, axis=None):
        x = x - x.max(axis=axis, keepdims=True)
        return (x - np.log(np.exp(x).sum(axis=axis, keepdims=True)),)


# What an LSTM or a GRU may compute with, at the settings that are usual.
_FUNCTIONS = {
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Relu": lambda x: np.maximum(x, 0),
    "HardSigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Softplus": lambda x: np.logaddexp(x, 0),
    "Elu": lambda x: np.where(x > 0, x, np.expm1(x)),
}


def _by_length(base):
    """Let rows end where ``sequence_lens`` says: onnx 1.23 reads that input and forgets it.

    It forgets the activations of LSTM and GRU too.
    """

    class Recurrent(base):
        op_domain = ""

        def _run(self, x, w, r, b=None, sequence_lens=None, *states, **options):
            if base is not op_rnn.RNN_14 and options.get("activations"):
                names = options["activations"][: 2 if base is op_gru.GRU else 3]
                assert options["activations"] in (names, names * 2)
                self.f, self.g, self.h = [*map(_FUNCTIONS.get, names), None][:3]
            if sequence_lens is None:
                return super()._run(x, w, r, b, None, *states, **options)
            rows = [
                self._row(x, row, length, (w, r, b), states, options)
                for row, length in enumerate(sequence_lens)
            ]
            sequences, *last = zip(*rows, strict=True)
            return (
                np.concatenate(sequences, axis=2),
                *(np.concatenate(state, axis=1) for state in last),
            )

        def _row(self, x, row, length, weights, states, options):
            firsts = [s if s is None else s[:, row : row + 1] for s in states]
            if length == 0:
                size = weights[1].shape[-1]
                zeros = np.zeros((1, 1, size), x.dtype)
                last = [zeros if s is None else s for s in firsts] or [zeros] * 2
                count = max(self.n_outputs - 1, 0)
                last = (last + [zeros] * 2)[:count]
                return np.zeros((len(x), 1, 1, size), x.dtype), *last
            part = x[:length, row : row + 1]
            sequence, *last = super()._run(part, *weights, None, *firsts, **options)
            missing = [(0, len(x) - length), *[(0, 0)] * 3]
            return np.pad(sequence, missing), *last

    Recurrent.__name__ = base.__name__.partition("_")[0]
    return Recurrent


LSTM, GRU, RNN = map(_by_length, (op_lstm.LSTM, op_gru.GRU, op_rnn.RNN_14))
