"""The tables of a recipe, each a frozen dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

# Read by pydantic: no unknown keys, and "3" is not 3.
STRICT: dict[str, Any] = {"extra": "forbid", "strict": True}
BadRecords = Literal["error", "report"]
# What NumPy and Keras both take.
Seed = Annotated[int, Field(ge=0, lt=2**32)]


@dataclass(frozen=True, kw_only=True)
class Component:
    """Something of Keras by its registry name, with its arguments.

    In TOML it is a name, ``loss = "mse"``, or a table of the name and the arguments.

    Args:
        name: Such as ``adamw``, ``cosine_decay`` or ``RandomRotation``; both spellings are known.
        arguments: Keyword arguments.
    """

    __pydantic_config__: ClassVar = STRICT
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which model to build.

    Args:
        name: A registered model.
        task: One of its tasks; the model's first by default.
        overrides: Arguments of the builder that replace the model's defaults. ``num_classes`` and
            ``vocab_size`` follow from the data where they are left out.
        weights: What to start from, as for :func:`zoo.get_model`; ``None`` for fresh weights.
        trainable: What is trained: ``all``, ``head``, ``last:2`` or ``lora:8``. Corrections of low
            rank are added up before the model is saved.
    """

    __pydantic_config__: ClassVar = STRICT
    name: str
    task: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    trainable: str = "all"


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """Which data to train and test on.

    Args:
        name: A registered dataset, any name of tensorflow-datasets, ``name/config:version``, or
            the path of custom data, such as ``./flowers``.
        train: Split in slicing syntax, such as ``train[:90%]``.
        validation: Split looked at after each epoch, or ``None``.
        test: Held-out split, looked at once.
        input: Feature that is the raw input; a list of two for pairs of texts.
        label: Feature that is the class, the target text of ``seq2seq``, the tags of words, or the
            answers to a question; language models read none.
        target_length: Tokens of a target text, for ``seq2seq``.
        columns: Of custom data: role to column, such as ``text = "review"``.
        on_bad_record: Of custom data: ``error``, or ``report`` to leave bad records out.
        on_contradiction: Of custom data, what is done with the same content in several classes:
            ``keep``, ``drop`` it from what is trained on, or ``error``.
        folds: Of custom data: how many parts of a cross-validation they are put into, named
            ``fold1``, ``fold1_validation``, ``fold2``..., in place of train, validation and test.
    """

    __pydantic_config__: ClassVar = STRICT
    name: str
    train: str = "train"
    validation: str | None = None
    test: str = "test"
    input: str | tuple[str, ...] = "image"
    label: str = "label"
    target_length: PositiveInt = 64
    columns: Mapping[str, str] = field(default_factory=dict)
    on_bad_record: BadRecords = "error"
    on_contradiction: Literal["keep", "drop", "error"] = "keep"
    folds: Annotated[int, Field(ge=2)] | None = None

    @property
    def reading(self) -> dict[str, Any]:
        """Arguments of :func:`zoo_recipes.datasets.loading.open_dataset` for custom data."""
        return {
            "columns": self.columns,
            "on_bad_record": self.on_bad_record,
            "on_contradiction": self.on_contradiction,
            "folds": self.folds,
        }


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """How the tokenizer is made from the training split.

    Args:
        kind: ``char``, ``bpe`` or ``wordpiece`` (with ``[CLS]`` and ``[SEP]``, as BERT has them);
            ``pretrained`` is the one that the model's weights come with, as it is.
        vocab_size: Most tokens; ``char`` takes the most frequent characters.
        lowercase: Whether case is dropped.
        strip_accents: Whether accents are dropped.
        add_prefix_space: Whether ``bpe`` reads a text's first word as it reads the others.
        framed: Whether ``bpe`` puts ``[CLS]`` before a text and ``[SEP]`` after it, as RoBERTa
            does; ``wordpiece`` always does.
    """

    __pydantic_config__: ClassVar = STRICT
    kind: Literal["char", "bpe", "wordpiece", "pretrained"] = "bpe"
    vocab_size: PositiveInt = 4000
    lowercase: bool = False
    strip_accents: bool = False
    add_prefix_space: bool = False
    framed: bool = False


@dataclass(frozen=True, kw_only=True)
class CompileConfig:
    """Arguments of ``keras.Model.compile``.

    Args:
        optimizer: A Keras optimizer and its arguments.
        schedule: A Keras learning-rate schedule, or ``one_cycle``. It starts from, or peaks at, the
            optimizer's ``learning_rate``; ``decay_steps`` and ``warmup_steps`` up to 1 are a
            fraction of all steps, and ``decay_steps`` left out is the whole training. Any of them
            may have ``warmup_steps``.
        loss: A Keras loss, or ``smoothed_crossentropy``; ``from_logits`` is true unless it is
            given, as our models end there.
        metrics: Keras metrics.
        precision: Keras dtype policy of the training; ``auto`` is mixed precision on a GPU that has
            the units for it, and ``float32`` elsewhere.
        quantization_aware: Whether dense and convolutional layers round weights and activations as
            int8 does while they train; an export to ``tflite:int8`` then loses next to nothing.
        jit_compile: XLA or not; ``auto`` is without it on a CPU, where it is slower.
    """

    __pydantic_config__: ClassVar = STRICT
    optimizer: Component = Component(name="adam")
    schedule: Component | None = None
    loss: Component = Component(name="sparse_categorical_crossentropy")
    metrics: tuple[Component, ...] = (Component(name="accuracy"),)
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    quantization_aware: bool = False
    jit_compile: Literal["auto"] | bool = "auto"


Sampling = Literal["shuffled", "balanced", "by_length"]


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """When to stop before the last epoch; the best weights are kept.

    Args:
        monitor: What is watched; as for ``fit.keep_best``.
        patience: Epochs without improvement.
    """

    __pydantic_config__: ClassVar = STRICT
    monitor: str = "val_loss"
    patience: PositiveInt = 5


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Arguments of ``keras.Model.fit``.

    Args:
        epochs: Times the training split is gone through.
        batch_size: Examples a step, of all workers together.
        early_stopping: Needs a validation split if it watches one.
        keep_best: What is watched, such as ``val_accuracy``: the weights of the epoch in which it
            was best are kept, the lowest of losses and errors, the highest of all else. Early
            stopping does so by itself.
        callbacks: ``ReduceLROnPlateau`` or ``TensorBoard`` of Keras; the former knows as
            ``keep_best`` what is better, unless it is given a ``mode``.
        class_weight: Of the loss: ``balanced``, or weights by class name.
        sampling: ``balanced`` draws every class equally often; an epoch is as long as before.
            ``by_length``, for ``seq2seq``, puts pairs of about the same length into a batch, which
            is as long as its longest: less padding is computed with.
        scale_with_workers: What N workers change: ``batch`` takes N times the batch, ``linear`` N
            times the learning rate too (https://arxiv.org/abs/1706.02677), ``sqrt`` its square
            root; ``none`` trains as one process does.
    """

    __pydantic_config__: ClassVar = STRICT
    epochs: PositiveInt = 10
    batch_size: PositiveInt = 32
    early_stopping: EarlyStopping | None = None
    keep_best: str | None = None
    callbacks: tuple[Component, ...] = ()
    class_weight: Literal["balanced"] | Mapping[str, NonNegativeFloat] | None = None
    sampling: Sampling = "shuffled"
    scale_with_workers: Literal["none", "batch", "linear", "sqrt"] = "none"


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """Which tokens are masked, for the tasks ``masked-lm`` and ``pretraining``.

    Args:
        rate: Fraction of the tokens that are to be predicted.
        mean_span: Tokens in a row that are masked together, on average: 1 masks each by itself, as
            BERT does; SpanBERT has 5 (https://arxiv.org/abs/1907.10529).
    """

    __pydantic_config__: ClassVar = STRICT
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.15
    mean_span: Annotated[float, Field(ge=1)] = 1.0


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """A trained model whose predictions are learned beside the right ones.

    Args:
        teacher: A run or a bundle with the same inputs and classes, in the same order; a run keeps
            its absolute path.
        runtime: Of a bundle, a format of it, such as ``onnx``; its first by default.
        temperature: What both models' logits are divided by before they are compared.
        weight: Weight of the teacher in the loss, from 0 to 1.
    """

    __pydantic_config__: ClassVar = STRICT
    teacher: str
    runtime: str | None = None
    temperature: PositiveFloat = 4.0
    weight: Annotated[float, Field(gt=0, le=1)] = 0.5


@dataclass(frozen=True, kw_only=True)
class ContrastiveConfig:
    """Embeddings that are learned from which examples belong together.

    Of one input these are two views of it, which differ by augmentation and dropout, and of two
    texts the texts. It needs no compile.loss and no compile.metrics: ``accuracy`` is the fraction
    of rows of a batch whose nearest other row is the second view.

    Args:
        temperature: What cosines are divided by.
        projection_dim: Width of what is compared, behind two dense layers that only training has;
            0 compares the embeddings themselves.
    """

    __pydantic_config__: ClassVar = STRICT
    temperature: PositiveFloat = 0.1
    projection_dim: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The result on the test split that the recipe promises, or that others have published.

    Args:
        metric: Such as ``accuracy``, or ``bits_per_character`` for language models.
        value: Mean over the seeds.
        tolerance: How far from it a run of any seed may be.
        seeds: Those it was measured with.
        cpu_minutes: Processor time of a training of one of them, without a GPU.
        published: Where the value is from, if it was not measured with this recipe.

    Example:
        >>> print(Expected(metric="accuracy", value=0.9125, published="He et al. 2016"))
        accuracy 0.9125 (published)
    """

    __pydantic_config__: ClassVar = STRICT
    metric: str = "accuracy"
    value: float
    tolerance: NonNegativeFloat = 0.0
    seeds: tuple[int, ...] = ()
    cpu_minutes: NonNegativeFloat = 0.0
    published: str = ""

    def __str__(self) -> str:
        """Return it as it is shown."""
        how = "(published)" if self.published else f"± {self.tolerance:g}"
        return f"{self.metric} {self.value:g} {how}"


@dataclass(frozen=True, kw_only=True)
class Range:
    """The values of one setting that a search may try: those between two ends, or a list.

    Args:
        low: The smallest. Whole numbers at both ends mean that only whole numbers are tried.
        high: The largest.
        log: Whether 0.001 to 0.01 is as long a way as 0.01 to 0.1.
        choices: The values themselves.
    """

    __pydantic_config__: ClassVar = STRICT
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[bool | int | float | str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """What ``zoo tune`` searches.

    Args:
        metric: Of the validation split, such as ``val_loss``; that of the recipe's first metric by
            default.
        direction: ``max`` or ``min``; known for losses, errors, accuracies and the like.
        space: Dotted key of a setting, as ``--set`` takes it, to its values.
    """

    __pydantic_config__: ClassVar = STRICT
    metric: str | None = None
    direction: Literal["max", "min"] | None = None
    space: Mapping[str, Range] = field(default_factory=dict)
