"""The README beside the C++ sources: what was measured, and a program that runs the model."""

from __future__ import annotations

import json
from textwrap import indent

from zoo_export.targets.c_sources import Model


def render(model: Model) -> str:
    """Return the text of ``README.md``."""
    facts = model.facts
    steps = [json.dumps(step, ensure_ascii=False) for step in model.manifest.preprocessing]
    prepared = (
        "Inputs are prepared as in training:\n\n" + "\n".join(f"- `{step}`" for step in steps)
        if steps
        else "Inputs are those of the Keras model."
    )
    apart = facts["one_step_apart"]
    exception = (
        f"""
  One step apart, all in `FULLY_CONNECTED`: {apart:,} of them. There LiteRT rounds once and
  TensorFlow Lite Micro, as everywhere, twice."""
        if apart
        else ""
    )
    return f"""# {model.manifest.name} on a microcontroller

- Flash: {facts["flash_bytes"]:,} bytes of model. Not counted: the interpreter, the kernels of the
  operators and your own program.
- Operators: `{"`, `".join(facts["operators"])}`.
- Tensor arena: {facts["arena_bytes"]:,} bytes, the least that {facts["interpreter"]} took on a
  64-bit machine with the reference kernels. Pointers of 32 bits need less; kernels of a vendor,
  such as CMSIS-NN, may need more: `AllocateTensors` says so.
- Compared with LiteRT's reference kernels, operator by operator: every one that got the same bits
  gave the same bits, in {facts["compared_values"]:,} values.{exception}

{prepared}

Compile `model.cc` with your program and TensorFlow Lite Micro:

```cpp
{_program(model).strip()}
```
"""


def _program(model: Model) -> str:
    quantized = model.artifact.facts["quantization"]
    types = {tensor.name: f"model::input_{tensor.name}::Type" for tensor in model.artifact.inputs}
    types |= dict.fromkeys(quantized, "float")
    parameters = [f"const {types[name]}* given_{name}" for name in model.inputs]
    parameters += [f"model::output_{name}::Type* taken_{name}" for name in model.outputs]
    steps = [_fill(name, name in quantized) for name in model.inputs]
    steps += ["if (interpreter.Invoke() != kTfLiteOk) return false;", *map(_take, model.outputs)]
    return f"""
#include <algorithm>

#include "model.h"
#include "operators.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace model = {model.namespace};

alignas(16) static std::uint8_t arena[model::kArenaSize];

bool Run({", ".join(parameters)}) {{
  static model::Resolver resolver;
  static const TfLiteStatus added = model::AddOperators(resolver);
  static model::tflm::MicroInterpreter interpreter(
      tflite::GetModel(model::kModel), resolver, arena, sizeof(arena));
  static const TfLiteStatus allocated = interpreter.AllocateTensors();
  if (added != kTfLiteOk || allocated != kTfLiteOk) return false;
{indent(chr(10).join(steps), "  ")}
  return true;
}}
"""


def _fill(name: str, quantized: bool) -> str:
    value = f"given_{name}[i]"
    return f"""{{
  namespace input = model::input_{name};
  auto* values = interpreter.typed_input_tensor<input::Type>(input::kIndex);
  for (std::size_t i = 0; i < input::kSize; ++i) {{
    values[i] = {f"input::Quantize({value})" if quantized else value};
  }}
}}"""


def _take(name: str) -> str:
    return f"""{{
  namespace output = model::output_{name};
  const auto* values = interpreter.typed_output_tensor<output::Type>(output::kIndex);
  std::copy(values, values + output::kSize, taken_{name});
}}"""
