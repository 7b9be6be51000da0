"""Who trains together, before TensorFlow is there."""

import json
import threading
import time

import numpy as np
import pytest

from zoo_recipes.distributed.cluster import (
    Member,
    Workers,
    check_recipe,
    free_addresses,
    meet,
    this_member,
)
from zoo_recipes.distributed.launching import as_workers, joined, scaled
from zoo_recipes.distributed.steps import part_of
from zoo_recipes.overrides import with_overrides
from zoo_recipes.recipe import resolve_recipe
from zoo_registry import UsageError, ZooError


def environment(cluster, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_tf_config_says_which_one_this_is():
    assert this_member({}) is None
    assert this_member(environment({"worker": ["a:1"]})) is None
    assert this_member(environment({"worker": ["a:1", "b:2"]}, index=1)) == Member(
        1, ("a:1", "b:2")
    )
    both = {"worker": ["b:2"], "chief": ["a:1"]}
    assert this_member(environment(both)) == Member(1, ("a:1", "b:2"))
    assert this_member(environment(both, "chief")).rank == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "TF_CONFIG is damaged: JSONDecodeError"),
        ('{"cluster": {"worker": ["a:1", "b:2"]}}', r"TF_CONFIG is damaged: KeyError\('task'\)"),
        (environment({"worker": ["a:1", "b:2"]}, index=2)["TF_CONFIG"], "this one among them"),
        (environment({"worker": ["a:1"], "ps": ["b:2"]})["TF_CONFIG"], "types chief and worker"),
    ],
)
def test_a_tf_config_that_cannot_be_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        this_member({"TF_CONFIG": text})


def test_how_many_they_are():
    assert as_workers(None) == Workers(1)
    assert as_workers(None, 3) == as_workers(3) == Workers(3)
    assert as_workers(Workers(restarts=1), 2) == Workers(2, restarts=1)
    with pytest.raises(UsageError, match="workers=-1 must be a whole number from 1 on"):
        Workers(-1)
    with pytest.raises(UsageError, match="workers=3, but TF_CONFIG names 2: leave workers out"):
        joined(Member(0, ("a:1", "b:2")), 3)


def meeting(addresses, ranks, seconds=20.0):
    """Let some members meet, each in a thread, and return what became of them."""
    found = {}

    def come(rank):
        time.sleep(0.1 * (len(addresses) - rank))  # worker 0 is the last to come
        try:
            found[rank] = meet(Member(rank, tuple(addresses)), seconds)
        except ZooError as error:
            found[rank] = str(error)

    threads = [threading.Thread(target=come, args=(rank,)) for rank in ranks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def test_all_of_them_meet():
    assert meeting(free_addresses(4), range(4)) == dict.fromkeys(range(4))


def test_who_does_not_come_up_is_named_to_all_others():
    addresses = free_addresses(4)
    found = meeting(addresses, [0, 2], seconds=1.0)
    assert set(found) == {0, 2}
    for message in found.values():
        assert message == (
            f"Training did not begin: workers 1 ({addresses[1]}), 3 ({addresses[3]}) did not come "
            "up within 1 s. Every worker runs the same command with its own index in TF_CONFIG: "
            "look at what it says, or wait longer with --worker-timeout."
        )


@pytest.mark.parametrize(("number", "size"), [(64, 2), (5, 2), (7, 3), (4, 4)])
def test_the_parts_of_a_batch_are_the_batch(number, size):
    batch = ({"image": np.arange(number)}, np.arange(number) % 3, np.ones(number))
    parts = [part_of(batch, rank, size) for rank in range(size)]
    joined_again = np.concatenate([part[0]["image"] for part, _, _ in parts])
    assert joined_again.tolist() == list(range(number))
    assert sum(weight for _, weight, _ in parts) == pytest.approx(1)
    for part, weight, share in parts:
        assert weight == pytest.approx(len(part[1]) / number)
        assert (len(part[2]), share) == (len(part[1]), 1)
    # Padding is in no mean: the weight is the share of what is.
    kept = [np.count_nonzero(part[1]) for part, _, _ in parts]
    weights = [part_of(batch, rank, size, ignored=0)[1] for rank in range(size)]
    assert weights == pytest.approx([one / sum(kept) for one in kept])


def test_a_batch_of_too_few_is_for_all():
    batch = (np.arange(2), np.arange(2))
    for rank in range(3):
        part, weight, share = part_of(batch, rank, 3)
        assert part is batch
        assert (weight, share) == pytest.approx((1 / 3, 1 / 3))


def test_the_recipe_is_scaled_only_if_it_says_so():
    recipe = resolve_recipe("digits-cnn")
    assert scaled(recipe, 4) == recipe
    found = scaled(with_overrides(recipe, ["fit.scale_with_workers=sqrt"]), 4)
    assert found.fit.batch_size == 4 * recipe.fit.batch_size
    assert found.compile.optimizer.arguments["learning_rate"] == pytest.approx(2 * 3e-3)
    assert scaled(found, 4) == found
    plain = with_overrides(recipe, ["compile.optimizer=adam", "fit.scale_with_workers=linear"])
    with pytest.raises(UsageError, match=r'"linear" needs compile.optimizer.learning_rate: the ra'):
        scaled(plain, 4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("fit.batch_size=3", "fit.batch_size = 3 is of all 4 workers together: it needs 4"),
        ("compile.jit_compile=true", "XLA cannot add up gradients between workers"),
        ("compile.loss.reduction=sum", 'compile.loss.reduction = "sum": several workers can train'),
    ],
)
def test_what_several_would_train_otherwise_is_refused(setting, message):
    recipe = with_overrides(resolve_recipe("digits-cnn"), [setting])
    with pytest.raises(UsageError, match=message):
        check_recipe(recipe, 4)
