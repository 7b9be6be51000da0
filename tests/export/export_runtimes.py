"""Models converted and run in this process: many small ones in the time of one export."""

import numpy as np
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops import op_gru, op_loop, op_lstm, op_rnn

from zoo_export.converters import onnx, saved_model, tflite
from zoo_export.converters.axes import input_tensors, output_tensors
from zoo_export.converters.inference import in_structure, reference
from zoo_export.converters.tracing import Conversion, with_batch
from zoo_export.runtime import Runner
from zoo_export.runtime.sessions import open_onnx, open_saved_model, open_tflite


def by_keras(model, arrays):
    """Return what Keras' own call gives, without the converters' way of calling it."""
    made = model(in_structure(model, arrays), training=False)
    values = made if isinstance(made, dict) else None
    given = reference(model, arrays)
    for name, value in (values or {}).items():
        np.testing.assert_array_equal(given[name], np.asarray(value))
    return given


def conversion_of(model, arrays, path, batch=None, **options):
    """Describe a model as an export does: open sizes have names, unless a batch is fixed."""
    inputs = input_tensors(model)
    sizes = {
        size: array.shape[axis]
        for tensor, array in ((t, arrays[t.name]) for t in inputs)
        for axis, size in enumerate(tensor.shape)
        if isinstance(size, str)
    }
    outputs = output_tensors(model, [(sizes, reference(model, arrays))])
    if batch is not None:
        fixed = {name: array[:batch] for name, array in arrays.items()}
        inputs = tuple(type(t)(t.name, t.dtype, fixed[t.name].shape) for t in inputs)
        given = reference(model, fixed)
        outputs = tuple(type(t)(t.name, t.dtype, given[t.name].shape) for t in outputs)
        inputs, outputs = with_batch(inputs, batch), with_batch(outputs, batch)
    return Conversion(model, inputs, outputs, path, samples=(arrays,), **options)


def onnx_outputs(model, arrays, path, **options):
    """Return what ONNX Runtime and the standard's own evaluator make of the file, and its facts."""
    conversion = conversion_of(model, arrays, path, **options)
    facts = onnx.convert(conversion)
    run = Runner(open_onnx(path), conversion.inputs, conversion.outputs).run(arrays)
    return run, by_the_standard(path, arrays), facts


def by_the_standard(path, arrays):
    """Run an ONNX file in ``onnx.reference``, which knows nothing but the standard."""
    evaluator = ReferenceEvaluator(str(path), new_ops=[Loop, LSTM, GRU, RNN])
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


def _by_length(base):
    """Let rows end where ``sequence_lens`` says: onnx 1.23 reads that input and forgets it."""

    class Recurrent(base):
        op_domain = ""

        def _run(self, x, w, r, b=None, sequence_lens=None, *states, **options):
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


def tflite_outputs(model, arrays, path, **options):
    """Return what LiteRT makes of a file of batch 1, and its facts."""
    conversion = conversion_of(model, arrays, path, batch=1, **options)
    facts = tflite.convert(conversion)
    return Runner(open_tflite(path), conversion.inputs, conversion.outputs).run(arrays), facts


def saved_model_outputs(model, arrays, path, **options):
    """Return what TensorFlow makes of a SavedModel."""
    conversion = conversion_of(model, arrays, path, **options)
    saved_model.convert(conversion)
    return Runner(open_saved_model(path), conversion.inputs, conversion.outputs).run(arrays)
