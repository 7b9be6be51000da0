"""Examples as arrays: where batches come from, and models as functions of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from zoo_models.saved import by_name, fed
from zoo_recipes.arrays.vocabulary import END
from zoo_registry import UsageError
from zoo_runtime.tokenizing import encoded

Arrays = dict[str, Any]
# Examples that are looked at together, without learning.
BATCH_SIZE = 256
# A target that no loss and no metric counts.
IGNORED = -1
Shapes = Mapping[str, tuple[Any, ...]]
# Takes inputs by name, batch first; returns outputs by name.
Predictor = Callable[[Arrays], Mapping[str, Any]]
LOGITS = "logits"
# What a model gives for a whole example, the first of them that it has.
EMBEDDINGS = ("sentence_embedding", "pooled_output")


class ArraySource(Protocol):
    """Examples by index."""

    @property
    def targets(self) -> Any:
        """One an example, or ``None`` where they are made as they are taken."""
        ...

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def take(self, indices: Any, shift: int = 0) -> tuple[Arrays, Any]:
        """Return the inputs by name and the targets of some examples."""
        ...


@dataclass(frozen=True)
class PreparedArrays:
    """Prepared arrays, one row an example.

    Args:
        inputs: By name of the model input, examples first.
        targets: One an example; by name where the model has several outputs.
    """

    inputs: Arrays
    targets: Any

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(next(iter(self.inputs.values())))

    def take(self, indices: Any, shift: int = 0) -> tuple[Arrays, Any]:
        """Return the inputs by name and the targets of some examples."""
        inputs = {name: array[indices] for name, array in self.inputs.items()}
        if isinstance(self.targets, dict):
            return inputs, {name: array[indices] for name, array in self.targets.items()}
        return inputs, self.targets[indices]


@dataclass(frozen=True)
class Rows(Sequence[Any]):
    """Some rows of an array that stays on the disk.

    Args:
        array: Examples first.
        indices: Of the rows, int (rows,).
    """

    array: Any
    indices: Any

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.indices)

    def __getitem__(self, at: Any) -> Any:
        """Return a row, or the rows of several indices as one array in memory."""
        return self.array[self.indices[at]]


def chosen(raws: Sequence[Any], indices: Any) -> Any:
    """Return some raw inputs: one array of rows of an array, else a list.

    Example:
        >>> chosen(["a", "b", "c"], [2, 0])
        ['c', 'a']
    """
    if isinstance(raws, np.ndarray | Rows):
        return raws[indices]
    return [raws[index] for index in indices]


@dataclass(frozen=True)
class LazyImages:
    """Images in uint8 that are prepared as they are taken: as float32 they are four times as large.

    Args:
        raws: uint8 (examples, height, width, channels), in memory or on the disk; rows of such an
            array; or a list.
        targets: One an example.
        prepare: Makes the inputs by name of a list of them.
    """

    raws: Sequence[Any]
    targets: Any
    prepare: Callable[[Sequence[Any]], Arrays]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.raws)

    def take(self, indices: Any, shift: int = 0) -> tuple[Arrays, Any]:
        """Return the inputs by name and the targets of some examples."""
        return self.prepare(chosen(self.raws, indices)), self.targets[indices]


@dataclass(frozen=True)
class Windows:
    """Windows of a stream of tokens; the targets are the tokens one further on.

    Args:
        name: Of the model input.
        stream: int32 (tokens,).
        length: Tokens a window.
        characters: Of the texts that the stream was made from.
    """

    name: str
    stream: Any
    length: int
    characters: int

    @property
    def targets(self) -> None:
        """They are made as they are taken."""
        return None

    def __len__(self) -> int:
        """Return the number of windows that there are at every shift."""
        return (len(self.stream) - 1) // self.length

    def take(self, indices: Any, shift: int = 0) -> tuple[Arrays, Any]:
        """Return inputs and targets; ``shift`` moves all windows, around the end of the stream."""
        starts = np.asarray(indices)[:, np.newaxis] * self.length + shift
        positions = starts + np.arange(self.length)
        size = len(self.stream)
        return {self.name: self.stream[positions % size]}, self.stream[(positions + 1) % size]


def batches_of(source: ArraySource) -> Iterator[Any]:
    """Yield the indices of all examples, as many at a time as are looked at together."""
    size = min(BATCH_SIZE, getattr(source, "rows_at_once", BATCH_SIZE))
    for start in range(0, len(source), size):
        yield np.arange(start, min(start + size, len(source)))


def windows(tokenizer: Any, texts: Sequence[str], length: int, name: str) -> Windows:
    """Return texts as one stream of tokens, each text after an end mark.

    Args:
        tokenizer: A ``tokenizers.Tokenizer`` with the token ``[EOS]``.
        texts: In their fixed order.
        length: Tokens a window.
        name: Of the model input.

    Raises:
        UsageError: Too little text for one window, or a tokenizer without the end mark.
    """
    if tokenizer.token_to_id(END) is None:
        raise UsageError(f"A language model needs a tokenizer with {END}: kind 'bpe' or 'char'.")
    ids = token_stream(tokenizer, texts, END)
    if len(ids) <= length:
        raise UsageError(
            f"The split has {len(ids)} tokens: too few for one window of {length + 1}."
        )
    return Windows(name, np.asarray(ids, np.int32), length, sum(map(len, texts)))


def token_stream(tokenizer: Any, texts: Sequence[str], mark: str) -> list[int]:
    """Return the tokens of all texts in one row, with a mark before, between and after them.

    Args:
        tokenizer: A ``tokenizers.Tokenizer``.
        texts: In their fixed order.
        mark: A token of it.
    """
    tokenizer.no_truncation()
    tokenizer.no_padding()
    between = tokenizer.token_to_id(mark)
    ids = [between]
    for encoding in encoded(tokenizer, texts, add_special_tokens=False):
        ids += [*encoding.ids, between]
    return ids


def fit(some: Shapes, others: Shapes) -> bool:
    """Return whether shapes have the same names and sizes; what is not a number fits any size.

    Args:
        some: Without the batch.
        others: The same.

    Example:
        >>> fit({"token_ids": (32,)}, {"token_ids": (None,)})
        True
        >>> fit({"image": (8, 8, 1)}, {"image": (8, 8, 3)})
        False
    """
    return some.keys() == others.keys() and all(
        len(shape) == len(others[name])
        and all(_same(*sizes) for sizes in zip(shape, others[name], strict=True))
        for name, shape in some.items()
    )


def _same(size: Any, other: Any) -> bool:
    return size == other or not (isinstance(size, int) and isinstance(other, int))


def keras_predictor(model: Any, jit_compile: Any = False) -> Predictor:
    """Return what computes the outputs of a Keras model as a graph.

    Args:
        model: A functional model.
        jit_compile: XLA or not, as Keras takes it.
    """
    model.compile(jit_compile=jit_compile)
    return lambda inputs: by_name(model, model.predict_on_batch(fed(model, inputs)))


def eager_predictor(model: Any) -> Predictor:
    """Return what computes the outputs of a Keras model layer by layer.

    On a CPU the graph of a GPT takes twelve times as long; that of other models is faster.
    """
    return lambda inputs: by_name(model, model(fed(model, inputs), training=False))


def only_logits(outputs: Mapping[str, Any]) -> Any:
    """Return the output that metrics are computed on: the logits, or the only one that there is.

    Raises:
        UsageError: Several, none of them logits.

    Example:
        >>> only_logits({"logits": [1.0], "features": [2.0]})
        [1.0]
    """
    if LOGITS in outputs:
        return outputs[LOGITS]
    if len(outputs) > 1:
        raise UsageError(
            f"The model gives {', '.join(outputs)}: metrics are computed on one output, '{LOGITS}'."
        )
    return next(iter(outputs.values()))


def only_embedding(outputs: Mapping[str, Any]) -> Any:
    """Return the output that is the embedding of an example, or the only one that there is.

    Raises:
        UsageError: Several, none of them known as an embedding.

    Example:
        >>> only_embedding({"sequence_output": [1.0], "pooled_output": [2.0]})
        [2.0]
    """
    found = [outputs[name] for name in EMBEDDINGS if name in outputs]
    if not found and len(outputs) > 1:
        raise UsageError(
            f"The model gives {', '.join(outputs)}, and none of them is {' or '.join(EMBEDDINGS)}."
        )
    return found[0] if found else next(iter(outputs.values()))
