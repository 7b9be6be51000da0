"""Notes on an artifact, a sentence each, for the card and the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from zoo_export.reading.calibration import FEW_ROWS
from zoo_runtime.generation.files import Generation
from zoo_runtime.verification import Fit, Verification

_SHOWN_KINDS = 6
# Of a column's standard deviation: float32 files stay far below.
_NOTABLE = 1e-3
# Times of the float file that are no noise.
_SLOWER = 1.1


def notes(facts: Mapping[str, Any]) -> list[str]:
    """Return what to know about an artifact beyond its size and difference, a sentence each.

    Args:
        facts: Those of a :class:`zoo_runtime.manifest.Artifact`.

    Example:
        >>> notes({"xnnpack": {"nodes": 9, "taken": 8, "left": {"CUMSUM": 1}}})
        ["XNNPACK computes 8 of 9 nodes (88 %), LiteRT's own kernels the rest: 1 CUMSUM."]
        >>> notes({"xnnpack": {"nodes": 0, "taken": 0, "left": {}}})
        ['It has no nodes: every output is an input as it came, or a constant.']
        >>> notes({"unchosen_sizes": {"height": 64, "width": 96}})
        ['Sizes that nobody chose are fixed in it: height 64, width 96 (see image_size, \
sequence_length).']
    """
    return list(_sentences(facts))


def verification_notes(verification: Verification) -> list[str]:
    """Return what the comparison with Keras verifies, and what it does not, a sentence each.

    Args:
        verification: Of an artifact.

    Example:
        >>> from zoo_runtime.verification import Fit
        >>> fit = Fit("logits", 2, 0.02, 1.0, 0.15, 10, answers=64, keras_answers=64, label="cat")
        >>> verification_notes(Verification("tflite:int8", 0.3, (), fits=(fit,)))
        ["Of the columns of 'logits' it keeps least of column 2 ('cat'): it is off by 2 % of its \
standard deviation."]
        >>> constant = Fit("y", None, 0, 0, 0, keras_answers=1)
        >>> verification_notes(Verification("onnx", 1e-5, (), fits=(constant,)))
        ["Keras gives one answer for all samples in output 'y': agreement with it verifies \
nothing."]
    """
    return list(_verification_notes(verification))


def generation_notes(generation: Generation | None) -> list[str]:
    """Return how a language model's file reads token by token, a sentence.

    Args:
        generation: Of an artifact.

    Example:
        >>> from zoo_runtime.generation.files import CacheEntry
        >>> entries = (CacheEntry("past_key_values.0.key", "present.0.key", (2, None, 16)),)
        >>> generation_notes(Generation(500, 64, entries, weight_bytes=4_000, cache_bytes=128))
        ['It reads token by token behind a cache of 64 positions: 4,000 bytes of weights for each \
token, and 128 bytes of cache for each token before it.']
        >>> rounded = (CacheEntry("k", "new_k", (2, None, 16), dtype="int8"),)
        >>> generation_notes(Generation(500, None, rounded))[0][:62]
        'It reads token by token behind a cache that grows in int8: 0 b'
    """
    if generation is None:
        return []
    if not any(entry.grows for entry in generation.cache):
        return [
            "It reads token by token behind the states of its recurrent layers: "
            f"{generation.weight_bytes:,} bytes of weights for each token."
        ]
    most = generation.max_length
    positions = "that grows" if most is None else f"of {most:,} positions"
    # Beside int8 are scales in float32.
    dtype = next((e.dtype for e in generation.cache if e.dtype != "float32"), None)
    positions += f" in {dtype}" if dtype else ""
    return [
        f"It reads token by token behind a cache {positions}: {generation.weight_bytes:,} bytes of "
        f"weights for each token, and {generation.cache_bytes:,} bytes of cache for each token "
        "before it."
    ]


def _verification_notes(verification: Verification) -> Iterator[str]:
    silent = verification.uninformative
    if silent:
        names = ", ".join(f"'{name}'" for name in silent)
        meaning = (
            "a file of the same model with changed weights agrees with Keras."
            if verification.perturbed
            else "agreement with it verifies nothing."
        )
        yield f"Keras gives one answer for all samples in output {names}: {meaning}"
    elif verification.perturbed:
        yield (
            "Some of its weights are so near zero that nothing passes them: a file of the same "
            "model with changed weights agrees with Keras too."
        )
    if verification.perplexity is not None:
        yield (
            f"Its perplexity on the examples is {verification.perplexity:.2f}, that of Keras "
            f"{verification.keras_perplexity:.2f}."
        )
        return
    for fit in verification.fits:
        if fit.centred or not fit.is_informative:
            continue
        if 0 < fit.constant < fit.columns:
            yield (
                f"{fit.constant:,} of {fit.columns:,} columns of '{fit.output}' are one number in "
                "Keras, whatever the sample: of those no more is verified."
            )
        if fit.deviation and fit.difference >= _NOTABLE * fit.deviation:
            yield _least_kept(fit)


def _least_kept(fit: Fit) -> str:
    loss = f"off by {fit.difference / fit.deviation:,.1f} times"
    if fit.difference < fit.deviation:
        loss = f"off by {fit.difference / fit.deviation * 100:.2g} % of"
    if fit.column is None:
        return f"Output '{fit.output}' is {loss} its standard deviation."
    label = f" ('{fit.label}')" if fit.label is not None else ""
    return (
        f"Of the columns of '{fit.output}' it keeps least of column {fit.column}{label}: it is "
        f"{loss} its standard deviation."
    )


def _of_texts(facts: Mapping[str, Any]) -> Iterator[str]:
    if "no_cache" in facts:
        yield f"Each token reads the whole text again: {facts['no_cache']}"
    if "no_tokenizer" in facts:
        yield f"It takes token ids, not texts: {facts['no_tokenizer']}"
    if "context_length" not in facts:
        return
    lengths = ", ".join(map(str, facts.get("prefill_lengths", ())))
    at_once = f", of which {lengths} are read at once" if lengths else ""
    left_out = ", ".join(facts.get("sampler_left_out", ()))
    without = f" Its runtime has no {left_out}, which the model is to be sampled with."
    yield (
        f"A text has {facts['context_length']:,} tokens at most{at_once}; its cache takes "
        f"{facts['cache_bytes'] / 1e6:,.3g} MB.{without if left_out else ''}"
    )


def _sentences(facts: Mapping[str, Any]) -> Iterator[str]:
    if "xnnpack" in facts:
        yield _xnnpack(facts["xnnpack"])
    if "times_float" in facts:
        slower = facts["times_float"] > _SLOWER
        costs = ": on this processor the scheme saves bytes, not time" if slower else ""
        yield f"One row takes {facts['times_float']:.2f} times as long as in the float file{costs}."
    if "optimized" in facts:
        yield _optimized(facts["optimized"])
    yield from _of_calibration(facts)
    if facts.get("float_layers"):
        yield f"Layers that stayed in float32: {_some(facts['float_layers'])}."
    yield from _of_texts(facts)
    if "rnn" in facts:
        yield _recurrent(facts["rnn"].values())
    if "dynamic_batch" in facts:
        yield _dynamic(facts["dynamic_batch"])
    yield from _of_samples(facts)
    signatures = facts.get("signatures", {})
    if isinstance(signatures, Mapping):  # a SavedModel has a list of names
        for name, row in signatures.items():
            delegated = row["xnnpack"]
            yield (
                f"Its signature {name} takes {row['batch']} rows at once "
                f"(XNNPACK: {delegated['taken']:,} of {delegated['nodes']:,} nodes)."
            )


def _of_calibration(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts.get("calibration", {}).get("rows", FEW_ROWS) < FEW_ROWS:
        yield (
            f"Its ranges were measured on {facts['calibration']['rows']} rows, and what is beyond "
            "them is cut off: a few hundred are usual."
        )
    if "judged_by_calibration" in facts:
        yield (
            "It was compared with Keras on rows of the calibration data, which its ranges fit "
            "best: give other ones too (samples=...)."
        )


def _of_samples(facts: Mapping[str, Any]) -> Iterator[str]:
    if "unchosen_sizes" in facts:
        sizes = ", ".join(f"{name} {size}" for name, size in facts["unchosen_sizes"].items())
        yield f"Sizes that nobody chose are fixed in it: {sizes} (see image_size, sequence_length)."
    if "edges_left_out" in facts:
        kinds = " and ".join(facts["edges_left_out"])
        yield f"Not compared on {kinds}, to which Keras itself has no steady answer."
    if "drawn_left_out" in facts:
        yield _drawn(**facts["drawn_left_out"])
    if "ties_left_out" in facts:
        yield (
            f"Not compared in {facts['ties_left_out']:,} integers that change in Keras itself "
            "with the last bit of its inputs."
        )
    if "from_float64" in facts:
        yield (
            "The model computes in float64 and this file in float32: it was compared with the "
            "float64 model."
        )
    if "unrolled_by_author" in facts:
        yield _unrolled(**facts["unrolled_by_author"])
    if "rows_depend" in facts:
        yield (
            "Its rows depend on each other: the answer to one moves by "
            f"{facts['rows_depend']:.3g} with the rows beside it."
        )


def _drawn(left: int | None, positive: bool) -> str:
    if left is None:
        return "Not compared on random inputs: Keras itself gives NaN or fails on them."
    drawn = "Random inputs are numbers from 0 to 1, as Keras gives NaN or fails on others"
    if not positive:
        return f"Not compared on {left} random rows, to which Keras itself has no answer."
    return f"{drawn}." if not left else f"{drawn}; {left} more rows were left out."


def _unrolled(layers: Sequence[str], by: float) -> str:
    return (
        f"In Keras itself the zeros of masked steps are in the wrong places, as {_some(layers)} "
        f"runs backwards with unroll=True: by up to {by:.3g} these answers, and those of this "
        "file, are not those of the same layers without it. Build and train it without unroll."
    )


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
    parts = [forms[strategy].format(n, steps) for (strategy, steps), n in kinds.items()]
    return f"Recurrent layers: {'; '.join(parts)}."


def _dynamic(cost: Mapping[str, Any]) -> str:
    static = cost["static_xnnpack"]
    return (
        f"It takes any batch: one row took {cost['times']:.2f} times as long as in a file of "
        f"batch 1 ({cost['ms']:.3g} ms, there {cost['static_ms']:.3g} ms with {static['taken']:,} "
        f"of {static['nodes']:,} nodes in XNNPACK)."
    )


def _xnnpack(delegated: Mapping[str, Any]) -> str:
    nodes, taken, left = delegated["nodes"], delegated["taken"], list(delegated["left"].items())
    if not nodes:
        return "It has no nodes: every output is an input as it came, or a constant."
    # Rounded down: 449 of 450 are not all.
    computes = f"XNNPACK computes {taken:,} of {nodes:,} nodes ({taken * 100 // nodes} %)"
    if not left:
        return f"{computes}."
    kinds = ", ".join(f"{count:,} {name}" for name, count in left[:_SHOWN_KINDS])
    more = f" and {len(left) - _SHOWN_KINDS} other kinds" if len(left) > _SHOWN_KINDS else ""
    return f"{computes}, LiteRT's own kernels the rest: {kinds}{more}."
