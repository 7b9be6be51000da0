r"""Neural matrix factorization.

A product of vectors, ``p_u * q_i`` (D), stands beside a perceptron of other vectors of the same
user and item, ``mlp([p'_u, q'_i])``; one dense layer weighs both. Index 0 is the unknown user and
the unknown item.

Paper: https://arxiv.org/abs/1708.05031.
Difference: the output is a rating and has no sigmoid, which the paper's clicks have; both parts
are trained together from fresh weights.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras

from zoo_models.layers import check_task, rating_embedding, rating_head, rating_inputs

Task = Literal["rating"]


def neumf(
    *,
    num_users: int = 944,
    num_items: int = 1683,
    embedding_dim: int = 8,
    mlp_embedding_dim: int = 32,
    hidden_dims: tuple[int, ...] = (32, 16, 8),
    dropout: float = 0.0,
    mean_rating: float = 0.0,
    l2: float = 0.0,
    stddev: float = 0.1,
    task: Task = "rating",
    name: str = "neumf",
) -> keras.Model:
    """Build NeuMF (https://arxiv.org/abs/1708.05031) with a rating as its output.

    Args:
        num_users: Users; index 0 is the unknown one.
        num_items: Items; index 0 is the unknown one.
        embedding_dim: Width of the vectors that are multiplied.
        mlp_embedding_dim: Width of the vectors that the perceptron takes.
        hidden_dims: Width of each of its layers.
        dropout: Rate after each of them.
        mean_rating: Added to every prediction.
        l2: Penalty on the squares of all vectors.
        stddev: Of the initial vectors.
        task: ``"rating"`` is all there is.
        name: Of the model.

    Returns:
        A model of ``user_id`` and ``item_id`` int32 (batch, 1); it gives ``rating`` float32
        (batch, 1).

    Raises:
        UsageError: An unknown task.

    Example:
        >>> neumf(num_users=5, num_items=7).count_params()
        3241
    """
    check_task("neumf", task, get_args(Task))
    user, item = inputs = rating_inputs()
    x: Any = keras.layers.Multiply(name="product")(
        [
            rating_embedding(num_users, embedding_dim, l2, stddev, "user_embedding")(user),
            rating_embedding(num_items, embedding_dim, l2, stddev, "item_embedding")(item),
        ]
    )
    y: Any = keras.layers.Concatenate(name="pair")(
        [
            rating_embedding(num_users, mlp_embedding_dim, l2, stddev, "mlp_user_embedding")(user),
            rating_embedding(num_items, mlp_embedding_dim, l2, stddev, "mlp_item_embedding")(item),
        ]
    )
    for index, units in enumerate(hidden_dims):
        y = keras.layers.Dense(units, activation="relu", name=f"dense_{index}")(y)
        if dropout:
            y = keras.layers.Dropout(dropout, name=f"dropout_{index}")(y)
    both = keras.layers.Concatenate(name="both")([x, y])
    x = keras.layers.Dense(1, name="prediction")(both)
    return keras.Model(inputs, rating_head(x, mean_rating), name=name)
