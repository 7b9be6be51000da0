"""What a file of any batch costs: the same model in a file of batch 1, run beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from zoo_export.converters.tracing import Conversion, with_batch
from zoo_export.making.pace import medians
from zoo_runtime.running import Session


def cost(
    conversion: Conversion,
    convert: Callable[[Conversion], dict[str, Any]],
    open_session: Callable[..., Session],
) -> dict[str, Any]:
    """Convert the model for batch 1 too, and run both files in turns at batch 1.

    Args:
        conversion: How the file of any batch was made; the first sample is what is run.
        convert: Its converter.
        open_session: What loads it.

    Returns:
        Median milliseconds of both, ``times``, how much longer that of any batch takes, and of
        the file of batch 1 what XNNPACK takes.
    """
    inputs = {name: array[:1] for name, array in conversion.samples[0].items()}
    with tempfile.TemporaryDirectory(dir=conversion.path.parent) as folder:
        fixed = replace(
            conversion,
            inputs=with_batch(conversion.inputs, 1),
            outputs=with_batch(conversion.outputs, 1),
            path=Path(folder) / conversion.path.name,
            options=replace(conversion.options, batch_sizes=(1,)),
        )
        facts = convert(fixed)
        sessions = [open_session(path, threads=1) for path in (conversion.path, fixed.path)]
        milliseconds, static = medians([partial(session.run, inputs) for session in sessions])
    return {
        "ms": round(milliseconds, 4),
        "static_ms": round(static, 4),
        "times": round(milliseconds / static, 2),
        "static_xnnpack": facts["xnnpack"],
    }
