"""Python, with NumPy and one runtime."""

from __future__ import annotations

from zoo_export.card.snippets.subject import Subject, lines, quoted
from zoo_runtime.tensors import Tensor

TYPES = {name: name for name in ("float32", "int32", "int64", "bool", "uint8", "int8", "float16")}

# What the names of the labels are read with.
_STANDARD = "import json\nfrom pathlib import Path\n\n"


def _program(subject: Subject, imports: str, run: str) -> str:
    names = ", ".join(quoted(tensor.name) for tensor in subject.inputs)
    parts = [
        f"{_STANDARD if subject.labels is not None else ''}import numpy as np\n{imports}",
        lines(subject.about, "#"),
        'samples = np.load("assets/samples.npz")',
        f'inputs = {{name: samples[f"0/x/{{name}}"] for name in [{names}]}}\n',
        f"{run}\n",
        _answer(subject),
    ]
    return "\n".join(parts)


def _answer(subject: Subject) -> str:
    if subject.labels is None:
        return "for name, array in outputs.items():\n    print(name, array)"
    return (
        'labels = json.loads(Path("manifest.json").read_text("utf-8"))["labels"]\n'
        'print(labels[int(outputs["logits"][0].argmax())])'
    )


def _onnx(subject: Subject) -> str:
    outputs = ", ".join(quoted(tensor.name) for tensor in subject.outputs)
    run = f"""session = onnxruntime.InferenceSession(
    {quoted(subject.path)}, providers=["CPUExecutionProvider"]
)
names = [{outputs}]
outputs = dict(zip(names, session.run(names, inputs)))"""
    return _program(subject, "import onnxruntime\n", run)


def _tflite(subject: Subject) -> str:
    imports = "from ai_edge_litert.interpreter import Interpreter\n"
    integers = "".join(_integers(subject, tensor) for tensor in subject.inputs)
    reals = "".join(_reals(subject, tensor) for tensor in subject.outputs)
    run = f"""interpreter = Interpreter({quoted(subject.path)})
runner = interpreter.get_signature_runner({quoted(subject.signature)})
{integers}outputs = runner(**inputs){reals}"""
    return _program(subject, imports, run)


def _integers(subject: Subject, tensor: Tensor) -> str:
    affine, name = subject.affines.get(tensor.name), quoted(tensor.name)
    if affine is None:
        return ""
    return f"""# The file holds {tensor.name} as integers: real = scale * (integer - zero_point).
scale, zero_point = {affine.scale}, {affine.zero_point}
steps = inputs[{name}] / np.float32(scale)
nearest = np.trunc(steps + np.copysign(0.5, steps)) + zero_point
inputs[{name}] = nearest.clip(-128, 127).astype(np.{affine.dtype})
"""


def _reals(subject: Subject, tensor: Tensor) -> str:
    affine, name = subject.affines.get(tensor.name), quoted(tensor.name)
    if affine is None:
        return ""
    return f"""
scale, zero_point = {affine.scale}, {affine.zero_point}
outputs[{name}] = (outputs[{name}].astype(np.float32) - zero_point) * np.float32(scale)"""


def _saved_model(subject: Subject) -> str:
    run = f"""model = tf.saved_model.load({quoted(subject.path)})
tensors = {{name: tf.constant(array) for name, array in inputs.items()}}
results = model.signatures["serving_default"](**tensors)
outputs = {{name: tensor.numpy() for name, tensor in results.items()}}"""
    return _program(subject, "import tensorflow as tf\n", run)


WRITERS = {"tflite": _tflite, "onnx": _onnx, "saved_model": _saved_model}
