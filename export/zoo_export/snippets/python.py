"""Python, with NumPy and one runtime."""

from __future__ import annotations

from zoo_export.snippets.subject import Subject, lines, quoted

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
    run = f"""interpreter = Interpreter({quoted(subject.path)})
runner = interpreter.get_signature_runner("serving_default")
outputs = runner(**inputs)"""
    return _program(subject, imports, run)


def _saved_model(subject: Subject) -> str:
    run = f"""model = tf.saved_model.load({quoted(subject.path)})
tensors = {{name: tf.constant(array) for name, array in inputs.items()}}
results = model.signatures["serving_default"](**tensors)
outputs = {{name: tensor.numpy() for name, tensor in results.items()}}"""
    return _program(subject, "import tensorflow as tf\n", run)


WRITERS = {"tflite": _tflite, "onnx": _onnx, "saved_model": _saved_model}
