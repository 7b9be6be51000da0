"""JavaScript, with ONNX Runtime in Node or in a browser."""

from __future__ import annotations

from zoo_export.card.snippets.subject import Subject, count, lines, quoted
from zoo_runtime.tensors import Tensor

TYPES = {
    "float32": "Float32Array",
    "int32": "Int32Array",
    "int64": "BigInt64Array",
    "bool": "Uint8Array",
    "uint8": "Uint8Array",
    "int8": "Int8Array",
}


def _onnx(subject: Subject) -> str:
    tensors = "\n".join(f"    {_tensor(tensor)}," for tensor in subject.inputs)
    zeros = "\n".join(
        f"  {quoted(t.name)}: new {TYPES[t.dtype]}({count(t)})," for t in subject.inputs
    )
    return f"""// npm install onnxruntime-node; onnxruntime-web has the same functions in a browser
import {{ readFile }} from "node:fs/promises";
import ort from "onnxruntime-node";

{lines(subject.about, "//")}
const session = await ort.InferenceSession.create({quoted(subject.path)});

export function run(inputs) {{
  return session.run({{
{tensors}
  }});
}}

const outputs = await run({{
{zeros}
}});
{_answer(subject)}"""


def _tensor(tensor: Tensor) -> str:
    shape = ", ".join(map(str, tensor.shape))
    data = f"inputs[{quoted(tensor.name)}]"
    return f'{quoted(tensor.name)}: new ort.Tensor("{tensor.dtype}", {data}, [{shape}])'


def _answer(subject: Subject) -> str:
    if subject.labels is None:
        return "for (const [name, { dims, data }] of Object.entries(outputs)) {\n" + (
            "  console.log(name, dims, data);\n}"
        )
    return """const { labels } = JSON.parse(await readFile("manifest.json", "utf8"));
const logits = Array.from(outputs["logits"].data);
console.log(labels[logits.indexOf(Math.max(...logits))]);"""


WRITERS = {"onnx": _onnx}
