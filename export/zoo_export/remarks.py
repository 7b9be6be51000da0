"""What a converter found in a file that is worth a sentence, in the card and in the shell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_SHOWN_KINDS = 6


def remarks(facts: Mapping[str, Any]) -> list[str]:
    """Return what to know about an artifact beyond its size and difference, a sentence each.

    Args:
        facts: Those of a :class:`zoo_export.manifest.Artifact`.

    Example:
        >>> remarks({"xnnpack": {"nodes": 9, "taken": 8, "left": {"CUMSUM": 1}}})
        ["XNNPACK computes 8 of 9 nodes (88 %), LiteRT's own kernels the rest: 1 CUMSUM."]
        >>> remarks({"xnnpack": {"nodes": 0, "taken": 0, "left": {}}})
        ['It has no nodes: every output is an input as it came.']
        >>> remarks({"unchosen_sizes": {"height": 64, "width": 96}})
        ['Sizes that nobody chose are fixed in it: height 64, width 96 (see image_size, \
sequence_length).']
    """
    return list(_sentences(facts))


def _sentences(facts: Mapping[str, Any]) -> Iterator[str]:
    if "xnnpack" in facts:
        yield _xnnpack(facts["xnnpack"])
    if "times_float" in facts:
        yield f"One row takes {facts['times_float']:.2f} times as long as in the float file."
    if "optimized" in facts:
        yield _optimized(facts["optimized"])
    if facts.get("float_layers"):
        yield f"Layers that stayed in float32: {_some(facts['float_layers'])}."
    if "rnn" in facts:
        yield _recurrent(facts["rnn"].values())
    if "dynamic_batch" in facts:
        yield _dynamic(facts["dynamic_batch"])
    yield from _of_samples(facts)
    signatures = facts.get("signatures", {})
    if isinstance(signatures, Mapping):  # a SavedModel has a list of names
        for name, row in signatures.items():
            share = row["xnnpack"]
            yield (
                f"Its signature {name} takes {row['batch']} rows at once "
                f"(XNNPACK: {share['taken']:,} of {share['nodes']:,} nodes)."
            )


def _of_samples(facts: Mapping[str, Any]) -> Iterator[str]:
    if "unchosen_sizes" in facts:
        sizes = ", ".join(f"{name} {size}" for name, size in facts["unchosen_sizes"].items())
        yield f"Sizes that nobody chose are fixed in it: {sizes} (see image_size, sequence_length)."
    if "edges_left_out" in facts:
        kinds = " and ".join(facts["edges_left_out"])
        yield f"Not compared on {kinds}, to which Keras itself has no steady answer."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_KINDS} more" if len(names) > _SHOWN_KINDS else ""
    return ", ".join(names[:_SHOWN_KINDS]) + more


def _optimized(by: Mapping[str, Any]) -> str:
    done = f"Optimised by {by['by']} {by['version']}"
    kinds = ", ".join(f"{count:,} {name}" for name, count in by["operators"].items())
    if not kinds:
        return f"{done}, with standard operators alone."
    return f"{done}, the only runtime that has its {kinds} of the domain {by['domain']}."


def _recurrent(layers: Iterable[Mapping[str, Any]]) -> str:
    kinds = Counter((row["strategy"], row["steps"]) for row in layers)
    forms = {"loop": "{} in a loop of {} steps", "unroll": "{} unrolled, {} steps"}
    told = [forms[strategy].format(n, steps) for (strategy, steps), n in kinds.items()]
    return f"Recurrent layers: {'; '.join(told)}."


def _dynamic(cost: Mapping[str, Any]) -> str:
    static = cost["static_xnnpack"]
    return (
        f"It takes any batch: one row took {cost['times']:.2f} times as long as in a file of "
        f"batch 1 ({cost['ms']:.3g} ms, there {cost['static_ms']:.3g} ms with {static['taken']:,} "
        f"of {static['nodes']:,} nodes in XNNPACK)."
    )


def _xnnpack(share: Mapping[str, Any]) -> str:
    nodes, taken, left = share["nodes"], share["taken"], list(share["left"].items())
    if not nodes:
        return "It has no nodes: every output is an input as it came."
    # Rounded down: 449 of 450 are not all.
    computes = f"XNNPACK computes {taken:,} of {nodes:,} nodes ({taken * 100 // nodes} %)"
    if not left:
        return f"{computes}."
    kinds = ", ".join(f"{count:,} {name}" for name, count in left[:_SHOWN_KINDS])
    more = f" and {len(left) - _SHOWN_KINDS} other kinds" if len(left) > _SHOWN_KINDS else ""
    return f"{computes}, LiteRT's own kernels the rest: {kinds}{more}."
