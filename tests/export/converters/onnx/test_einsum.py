"""Einsum of attention becomes one product in ONNX files, and gives the same numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo_export import export
from zoo_export.converters.onnx import einsum

_SIZES = {"a": 2, "b": 3, "c": 4, "d": 5, "e": 6}


@pytest.mark.parametrize(
    ("equation", "is_product"),
    [
        ("abc,cde->abde", True),  # queries, keys and values
        ("aecd,abcd->acbe", True),  # scores
        ("acbe,aecd->abcd", True),  # what the scores weigh
        ("abcd,cde->abe", True),  # the heads' outputs together
        ("ab,bc->ac", True),
        ("ab,ab->a", False),
        ("aab,bc->ac", False),
        ("ab,cd->abcd", False),
        ("abd,cbe->ac", False),
        ("abcd,abce->abde", True),
        ("abcd,abd->abc", False),
    ],
)
def test_an_einsum_is_a_product_where_it_can_be(equation, is_product, monkeypatch):
    def refuse(*_, **__):
        raise LookupError("TensorFlow's own einsum")

    draw = np.random.default_rng(0)
    terms = equation.partition("->")[0].split(",")
    arrays = [draw.normal(size=[_SIZES[c] for c in term]) for term in terms]
    monkeypatch.setattr(tf, "einsum", refuse)
    with einsum.einsum_as_products():
        if not is_product:
            with pytest.raises(LookupError, match="own einsum"):
                tf.einsum(equation, *map(tf.constant, arrays))
            return
        given = tf.einsum(equation, *map(tf.constant, arrays)).numpy()
    np.testing.assert_allclose(given, np.einsum(equation, *arrays), rtol=1e-12)


def _attention():
    inputs = keras.Input((None, 16), name="features")
    attended = keras.layers.MultiHeadAttention(2, 8)(inputs, inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(attended), name="attention")


def _hub_bert():
    import keras_hub

    return keras_hub.models.BertBackbone(
        vocabulary_size=50,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=32,
        name="hub_bert",
    )


@pytest.mark.slow
@pytest.mark.parametrize(("build", "products"), [(_attention, 7), (_hub_bert, 17)])
def test_attention_of_keras_has_no_sizes_to_compute(build, products, tmp_path):
    bundle = export(build(), to=["onnx"], out=tmp_path / "out", sequence_length=16)
    operators = bundle.artifacts[0].facts["operators"]
    assert operators["MatMul"] + operators.get("Gemm", 0) == products
    assert not {"Einsum", "ReduceProd"} & set(operators)
