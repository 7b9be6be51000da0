"""From a recipe to a run: one training at a time in a process."""

from __future__ import annotations

import math
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import zoo_registry
from zoo_models.backend import check_backend
from zoo_models.calling import check_overrides
from zoo_recipes.configs import BadRecords
from zoo_recipes.custom_data.choosing import at_hand, on_custom_data
from zoo_recipes.custom_data.preparing import note_of, show_custom_data
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.distributed.cluster import (
    Ranks,
    Workers,
    check_recipe,
    telling_of_loss,
    this_member,
)
from zoo_recipes.distributed.launching import as_workers, joined, launch, scaled
from zoo_recipes.overrides import with_overrides, with_values
from zoo_recipes.recipe import Recipe, as_recipe, resolve_recipe
from zoo_recipes.run import (
    REPLACED,
    OnEpoch,
    Record,
    Run,
    check_free,
    held,
    load_run,
    new_folder,
    read_run,
)
from zoo_recipes.sizes import sized
from zoo_recipes.trackers.tracking import make_trackers, those_begun
from zoo_recipes.training.checkpoints import SECONDS, Position, newest
from zoo_recipes.training.checks import warn_of_drawn_weights, warn_of_lost_detail
from zoo_recipes.training.execution import carry_out, trained
from zoo_recipes.training.recording import first_info, versions
from zoo_registry import UsageError, ZooError
from zoo_runtime.run_info import RECIPE, LostInfoError, RunInfo, resuming
from zoo_system import fetching, folders
from zoo_system.durable import remove_partial
from zoo_system.errors import first_line
from zoo_system.untouched import untouched

_TRAINING = threading.Lock()


@contextmanager
def alone() -> Iterator[None]:
    """Keep other trainings of this process out, and leave all that a training sets as it was.

    These are the generators of Python, NumPy, TensorFlow and Keras, Keras' dtype policy, and the
    loggers.

    Raises:
        UsageError: There is another one.
    """
    check_backend()
    # TensorFlow connects the processes of a cluster before Keras is imported; they only train.
    here_only = this_member() is None
    if not _TRAINING.acquire(blocking=False):
        raise UsageError(
            "Another training is running in this process, and both would draw from the same random "
            "numbers: wait for it to end, or start one of the two in a process of its own "
            "(`zoo train`)."
        )
    try:
        with untouched():
            put_back = _keras() if here_only else None
            try:
                yield
            finally:
                if put_back is not None:
                    put_back()
    finally:
        _TRAINING.release()


def _keras() -> Callable[[], None]:
    # Seeds can be set in public, and not be read.
    import keras
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
    from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED
    from tensorflow.python.eager import context

    names = (GLOBAL_RANDOM_SEED, GLOBAL_SEED_GENERATOR)
    attributes = {name: global_state.get_global_attribute(name) for name in names}
    policy: Any = keras.config.dtype_policy()
    eager: Any = context.context()
    # A new generator is made for a seed: this one is not drawn from meanwhile.
    seed, generator = eager._seed, getattr(eager, "_rng", None)
    # A recipe sets its own precision.
    keras.config.set_dtype_policy("float32")

    def put_back() -> None:
        for name, value in attributes.items():
            global_state.set_global_attribute(name, value)
        keras.config.set_dtype_policy(policy)
        eager._seed = seed
        if generator is not None:
            eager._rng = generator

    return put_back


@fetching.if_download
@alone()
def train(
    recipe: str | Path | Recipe,
    *,
    overrides: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    image_size: int | Sequence[int] | None = None,
    sequence_length: int | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    force: bool = False,
    data_dir: str | Path | None = None,
    download: bool = False,
    verbose: bool = True,
    checkpoint_seconds: float = SECONDS,
    data: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    on_bad_record: BadRecords | None = None,
    on_epoch: OnEpoch | None = None,
    workers: int | Workers | None = None,
    energy: str | None = None,
    mlflow: str | None = None,
    trackers: Sequence[str] = (),
) -> Run:
    """Train a recipe's model and leave all that came of it in a folder.

    Args:
        recipe: A registered name, a TOML file or a recipe.
        overrides: Values in place of the recipe's, by dotted key, such as ``{"fit.batch_size": 64,
            "compile.optimizer.learning_rate": 1e-3}``; ``None`` takes a key out.
        epochs: Short for ``{"fit.epochs": epochs}``.
        image_size: Height and width that images are brought to, and channels where they change; or
            one number for height and width.
        sequence_length: Tokens that texts are cut or padded to.
        out: The folder; ``runs/<recipe>`` by default.
        seed: In place of the recipe's.
        force: Whether a run that is there is replaced.
        data_dir: Where prepared datasets are; ``~/tensorflow_datasets`` by default.
        download: Whether a dataset that is not prepared may be downloaded.
        verbose: Whether progress is shown.
        checkpoint_seconds: Least time between two checkpoints, from which :func:`resume` goes on.
        data: Custom data, a file or a folder, in place of the recipe's.
        columns: Of custom data: role to column, such as ``{"text": "review"}``.
        on_bad_record: Of custom data: ``error``, or ``report`` to leave bad records out.
        on_epoch: Called with the index, from 0, and the metrics of each epoch.
        workers: How many processes train together. Where ``TF_CONFIG`` names several, this one is
            one of them, and each of them makes the same call.
        energy: Measure energy; three letters of the country of whose grid it comes, as ``"DEU"``.
        mlflow: Log to MLflow: the URI of a store, or a folder for one.
        trackers: What else follows the training, ``"NAME"`` or ``"NAME:ARGUMENT"`` each: those of
            plugins, and ``"energy:DEU"`` and ``"mlflow:logs"`` are the same as above.

    Returns:
        The complete run. A training that is interrupted or fails leaves a run with that status; one
        that is refused leaves nothing.

    Raises:
        UsageError: A recipe that cannot work, or a folder that is there already.
        ZooError: Data that are not available, a loss that is not a number, a disk that is full,
            workers that did not come up or were lost too often.
    """
    recipe = resolve_recipe(recipe)
    recipe = with_overrides(recipe, sized(recipe, image_size, sequence_length))
    short = {} if epochs is None else {"fit.epochs": epochs}
    recipe = with_values(recipe, {**(overrides or {}), **short})
    recipe = on_custom_data(recipe, data, columns=columns, on_bad_record=on_bad_record)
    recipe = with_absolute_teacher(recipe)
    if seed is not None:
        recipe = with_values(recipe, {"seed": seed})
    folder = Path(out) if out is not None else Path("runs") / recipe.name
    reading: dict[str, Any] = {"data_dir": data_dir, "download": download}
    options: dict[str, Any] = {
        "verbose": verbose,
        "checkpoint_seconds": checkpoint_seconds,
        "on_epoch": on_epoch,
    }
    member, team = this_member(), as_workers(workers)
    if member is None and team.number > 1:
        _refuse_with_workers(energy, mlflow, trackers)
        return launch(folder, team, recipe, {"force": force}, **reading, **options)
    ranks = joined(member, workers)
    if ranks and ranks.rank:
        return _follow(ranks, folder, **reading)
    spec = zoo_registry.models.get(recipe.model.name)
    task = recipe.model.task or (spec.tasks[0] if spec.tasks else "")
    if ranks:
        recipe = scaled(recipe, ranks.size)
        check_recipe(recipe, ranks.size)
    # What cannot work is refused before anything is written, or replaced.
    check_free(folder, force=force)
    check_settings(recipe, folder)
    followed = make_trackers(trackers, energy=energy, mlflow=mlflow)
    if recipe.model.weights is not None:
        from zoo_models.weights.opening import open_weights

        open_weights(spec, recipe.model.weights)
    builder = open_dataset(recipe.dataset.name, **recipe.dataset.reading, **reading)
    if verbose:
        show_custom_data(builder, recipe.dataset)
    warn_of_drawn_weights(recipe)
    warn_of_lost_detail(recipe, builder, note_of(builder))
    info = replace(first_info(recipe, task), workers=ranks.size if ranks else 1)
    record = Record(folder, info)
    with new_folder(folder, force=force):
        carry_out(recipe, builder, record, followed, checkpoint=None, ranks=ranks, **options)
    return load_run(folder)


@fetching.if_download
@alone()
def resume(
    run: str | Path | Run,
    *,
    data_dir: str | Path | None = None,
    download: bool = False,
    verbose: bool = True,
    checkpoint_seconds: float = SECONDS,
    data: str | Path | None = None,
    on_epoch: OnEpoch | None = None,
    workers: int | Workers | None = None,
    energy: str | None = None,
    mlflow: str | None = None,
    trackers: Sequence[str] = (),
) -> Run:
    """Go on with a training that was interrupted, failed or killed.

    It ends with the weights, bit for bit, that the training would have had without the break, on
    the same machine and with the same versions.

    Args:
        run: The run or its folder.
        data_dir: Where prepared datasets are; ``~/tensorflow_datasets`` by default.
        download: Whether a dataset that is not prepared may be downloaded.
        verbose: Whether progress is shown.
        checkpoint_seconds: As for :func:`train`.
        data: Where the run's custom data are, if they were moved.
        on_epoch: As for :func:`train`.
        workers: As for :func:`train`; as many as the run began with by default.
        energy: As for :func:`train`; a run that began with it goes on with it.
        mlflow: The same.
        trackers: The same.

    Raises:
        UsageError: No run, a complete one, one that another process is training, or custom data
            that are no longer where they were.
        ZooError: The data or the teacher are not those that the run began with, or as for
            :func:`train`.
    """
    before = _read_or_remade(Path(run))
    folder = before.path
    reading: dict[str, Any] = {"data_dir": data_dir, "download": download}
    options: dict[str, Any] = {
        "verbose": verbose,
        "checkpoint_seconds": checkpoint_seconds,
        "on_epoch": on_epoch,
    }
    member, team = this_member(), as_workers(workers, before.info.workers)
    if member is None and team.number > 1:
        _refuse_with_workers(energy, mlflow, trackers)
        # Workers may be started in other folders.
        data = None if data is None else Path(data).expanduser().absolute()
        return launch(folder, team, data=data, **reading, **options)
    ranks = joined(member, workers)
    if ranks and ranks.rank:
        return _follow(ranks, folder, data, **reading)
    anew = make_trackers(trackers, energy=energy, mlflow=mlflow)
    with held(folder):
        # From here on no other process changes it.
        found = _read_or_remade(folder)
        remove_partial(folder)
        # The run that it replaces, where it was killed before its run.json was written.
        shutil.rmtree(folder / REPLACED, ignore_errors=True)
        if found.status == "complete":
            raise UsageError(
                f"Run '{folder}' is complete: there is nothing to go on with. Train it further, "
                f"from its weights and into a run of its own, with `{resuming(folder)} --set "
                f"fit.epochs={found.recipe.fit.epochs}`."
            )
        found.info.check_whole(folder)
        recipe = on_custom_data(at_hand(found.recipe, data))
        builder = open_dataset(recipe.dataset.name, **recipe.dataset.reading, **reading)
        checkpoint = newest(folder)
        position = checkpoint.position if checkpoint else Position()
        _warn_of_changes(found.info, ranks)
        info = replace(
            found.info,
            status="running",
            error=None,
            finished=None,
            resumed=(*found.info.resumed, str(position)),
            workers=ranks.size if ranks else 1,
        )
        record, followed = Record(folder, info), those_begun(info, anew)
        carry_out(recipe, builder, record, followed, checkpoint=checkpoint, ranks=ranks, **options)
    return load_run(folder)


def _read_or_remade(folder: Path) -> Run:
    """Return a run, also one whose ``run.json`` is lost: its recipe is enough to go on."""
    try:
        return read_run(folder)
    except LostInfoError as error:
        if not (folder / RECIPE).is_file():
            raise
        recipe = as_recipe(folder / RECIPE, folder.name)
        spec = zoo_registry.models.get(recipe.model.name)
        task = recipe.model.task or (spec.tasks[0] if spec.tasks else "")
        warnings.warn(
            f"{first_line(str(error)).partition('. Make it')[0]}. It is made anew from {RECIPE}; "
            "when the run began and what it cost until now are not known any more.",
            stacklevel=3,
        )
        return Run(folder, replace(first_info(recipe, task), status="interrupted"))


def with_absolute_teacher(recipe: Recipe) -> Recipe:
    """Return a recipe that finds its teacher from every working folder."""
    if recipe.distillation is None:
        return recipe
    path = Path(recipe.distillation.teacher).expanduser().absolute()
    return replace(recipe, distillation=replace(recipe.distillation, teacher=str(path)))


def check_settings(recipe: Recipe, folder: Path) -> None:
    """Refuse what neither the model's builder nor Keras takes; nothing is built or written.

    Args:
        recipe: The recipe.
        folder: Of the run that it is to become.

    Raises:
        UsageError: What does not exist, or has the wrong type.
        ZooError: A callback needs what is not installed.
    """
    from zoo_recipes.augmentation.changes import TextMarks, make_changes
    from zoo_recipes.augmentation.mixing import make_mixes
    from zoo_recipes.compiling.components import compile_arguments, make_callback

    check_overrides(zoo_registry.models.get(recipe.model.name), recipe.model.overrides)
    make_changes(recipe.augmentation, TextMarks())
    make_mixes(recipe.augmentation)
    compile_arguments(recipe.compile, steps=1_000_000)
    for callback in recipe.fit.callbacks:
        make_callback(callback, folder)


def _refuse_with_workers(energy: str | None, mlflow: str | None, trackers: Sequence[str]) -> None:
    options = {"energy": energy, "mlflow": mlflow, "track": trackers or None}
    for name in (name for name, value in options.items() if value is not None):
        raise UsageError(
            f"{name} does not go with workers that are launched here, of which each is a process "
            f"of its own: leave --{name} or --workers out."
        )


def _warn_of_changes(info: RunInfo, ranks: Ranks | None) -> None:
    now_used = {**versions(), "workers": ranks.size if ranks else 1}
    before = {**info.versions, "workers": info.workers}
    changed = {k: v for k, v in before.items() if now_used.get(k) != v}
    if changed:
        listed = ", ".join(f"{k} {v} (now {now_used.get(k)})" for k, v in changed.items())
        warnings.warn(
            f"the run began with others, so the weights may differ: {listed}", stacklevel=3
        )


def _follow(ranks: Ranks, folder: Path, data: str | Path | None = None, **reading: Any) -> Run:
    """Train with worker 0, which writes the run; this worker leaves no files.

    Args:
        ranks: Those that train together.
        folder: Of the run, on a disk that all of them see.
        data: Where the run's custom data are, if they were moved.
        reading: ``data_dir`` and ``download``, as ``train`` takes them.

    Raises:
        ZooError: The folder is not seen here, or as :func:`zoo_recipes.training.training.train`.
    """
    with telling_of_loss(folder, ranks), tempfile.TemporaryDirectory() as scratch:
        ranks.meet_versions()
        try:
            run = read_run(folder)
        except UsageError as error:
            raise ZooError(
                f"Worker {ranks.rank} does not see run '{folder}' that worker 0 has begun: all "
                "workers need the same --out, on a disk that they share."
            ) from error
        recipe = on_custom_data(at_hand(run.recipe, data))
        builder = open_dataset(recipe.dataset.name, **recipe.dataset.reading, **reading)
        Path(scratch, folders.ASSETS).mkdir()
        trained(
            recipe,
            builder,
            Record(Path(scratch), run.info),
            checkpoint=newest(folder),
            checkpoint_seconds=math.inf,
            verbose=False,
            on_epoch=None,
            ranks=ranks,
        )
        ranks.meet_at_the_end()
    return load_run(folder)
