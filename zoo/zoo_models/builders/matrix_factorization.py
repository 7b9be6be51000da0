r"""Matrix factorization.

User u and item i have a vector (D) and a bias each: ``r = mean + b_u + b_i + p_u . q_i``. Number 0
is the unknown user and the unknown item.

Paper: https://doi.org/10.1109/MC.2009.263, equation 3.
Difference: the penalty on a vector or bias counts once, not once for each of its ratings.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras
from keras import ops

from zoo_models.layers import check_task, rating_embedding, rating_head, rating_inputs

Task = Literal["rating"]


def matrix_factorization(
    *,
    num_users: int = 944,
    num_items: int = 1683,
    embedding_dim: int = 32,
    mean_rating: float = 0.0,
    l2: float = 0.0,
    stddev: float = 0.1,
    task: Task = "rating",
    name: str = "matrix_factorization",
) -> keras.Model:
    """Build biases and the product of two vectors (https://doi.org/10.1109/MC.2009.263).

    Args:
        num_users: Users; index 0 is the unknown one.
        num_items: Items; index 0 is the unknown one.
        embedding_dim: Width of the vectors; 0 leaves the biases alone.
        mean_rating: Added to every prediction.
        l2: Penalty on the squares of vectors and biases.
        stddev: Of the initial vectors; biases begin with 0.
        task: ``"rating"`` is all there is.
        name: Of the model.

    Returns:
        A model of ``user_id`` and ``item_id`` int32 (batch, 1); it gives ``rating`` float32
        (batch, 1).

    Raises:
        UsageError: An unknown task.

    Example:
        >>> matrix_factorization(num_users=5, num_items=7, embedding_dim=3).count_params()
        48
    """
    check_task("matrix-factorization", task, get_args(Task))
    user, item = inputs = rating_inputs()
    x: Any = rating_embedding(num_users, 1, l2, None, "user_bias")(user)
    x = keras.layers.Add(name="biases")(
        [x, rating_embedding(num_items, 1, l2, None, "item_bias")(item)]
    )
    if embedding_dim:
        users = rating_embedding(num_users, embedding_dim, l2, stddev, "user_embedding")(user)
        items = rating_embedding(num_items, embedding_dim, l2, stddev, "item_embedding")(item)
        x = x + ops.sum(users * items, axis=-1, keepdims=True)
    return keras.Model(inputs, rating_head(x, mean_rating), name=name)
