"""Kotlin on Android, with LiteRT or ONNX Runtime."""

from __future__ import annotations

from zoo_export.card.snippets import subject as shared
from zoo_export.card.snippets.subject import Subject, count, lines
from zoo_runtime.tensors import Tensor

# The class of java.nio that holds such numbers.
TYPES = {"float32": "FloatBuffer", "int32": "IntBuffer", "int64": "LongBuffer"}


def quoted(text: str) -> str:
    # In a Kotlin literal a dollar begins an expression.
    return shared.quoted(text).replace("$", "\\$")


def _tflite(subject: Subject) -> str:
    outputs = "\n".join(
        f"        {quoted(t.name)} to {TYPES[t.dtype]}.allocate({count(t)}),"
        for t in subject.outputs
    )
    return f"""// implementation("com.google.ai.edge.litert:litert:1.4.2")
import java.nio.*
import org.tensorflow.lite.Interpreter

{lines(subject.about, "//")}
// model: the bytes of {subject.path}, such as a file of the app's assets mapped into memory.
fun run(model: ByteBuffer, inputs: Map<String, Any>): Map<String, Any> {{
    val outputs = mapOf<String, Any>(
{outputs}
    )
    Interpreter(model).use {{ it.runSignature(inputs, outputs, {quoted(subject.signature)}) }}
    return outputs
}}

{_use(subject, "model")}"""


def _onnx(subject: Subject) -> str:
    tensors = "\n".join(
        f"        {quoted(t.name)} to OnnxTensor.createTensor(\n"
        f"            env, inputs[{quoted(t.name)}] as {TYPES[t.dtype]}, "
        f"longArrayOf({', '.join(map(str, t.shape))})\n        ),"
        for t in subject.inputs
    )
    outputs = "\n".join(
        f"        {quoted(t.name)} to (results[{quoted(t.name)}].get() as OnnxTensor)"
        f".{TYPES[t.dtype][0].lower()}{TYPES[t.dtype][1:]},"
        for t in subject.outputs
    )
    return f"""// implementation("com.microsoft.onnxruntime:onnxruntime-android:1.23.0")
import ai.onnxruntime.*
import java.nio.*

{lines(subject.about, "//")}
// model: the bytes of {subject.path}, such as a file of the app's assets.
fun run(model: ByteArray, inputs: Map<String, Any>): Map<String, Any> {{
    val env = OrtEnvironment.getEnvironment()
    val session = env.createSession(model)
    val tensors = mapOf(
{tensors}
    )
    val results = session.run(tensors)
    return mapOf(
{outputs}
    )
}}

{_use(subject, "model")}"""


def _use(subject: Subject, model: str) -> str:
    inputs = ", ".join(_zeros(tensor) for tensor in subject.inputs)
    call = f"val outputs = run({model}, mapOf({inputs}))"
    if subject.few_labels is None:
        return call
    labels = ", ".join(map(quoted, subject.few_labels))
    return f"""{call}
val labels = listOf({labels})
val logits = (outputs["logits"] as FloatBuffer).apply {{ rewind() }}
val best = labels.indices.maxBy {{ logits.get(it) }}
println(labels[best])"""


def _zeros(tensor: Tensor) -> str:
    return f"{quoted(tensor.name)} to {TYPES[tensor.dtype]}.allocate({count(tensor)})"


WRITERS = {"tflite": _tflite, "onnx": _onnx}
