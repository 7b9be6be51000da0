"""One preprocessing for training, evaluation and the device."""

import sys

import numpy as np
import pytest
from PIL import Image

from zoo_recipes.arrays.vocabulary import make_tokenizer
from zoo_recipes.configs import TokenizerConfig
from zoo_registry import UsageError
from zoo_runtime.errors import MissingPackageError
from zoo_runtime.preprocess import Preprocessor, as_step
from zoo_runtime.preprocess.pixels import size_of

GREY = {"step": "image", "size": [4, 6], "channels": 1}
COLOUR = {"step": "image", "size": [4, 6], "channels": 3}


def prepared(step, raw):
    return Preprocessor([step]).batch([raw])["image"][0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("step", [GREY, COLOUR], ids=["grey", "colour"])
def test_every_mode_of_a_white_image_is_white(mode, step):
    white = {"I;16": 65535, "I": 65535, "F": 255.0, "LA": (255, 255), "CMYK": (0, 0, 0, 0)}
    default = 1 if mode == "1" else "white"
    image = Image.new(mode, (12, 8), white.get(mode, default))
    result = prepared(step, image)
    assert result.dtype == np.float32
    assert result.shape == (4, 6, step["channels"])
    assert (result == 255).all()


def test_sixteen_bits_keep_their_shades():
    pixels = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
    step = {"step": "image", "size": [2, 2], "channels": 1}
    assert prepared(step, Image.fromarray(pixels))[..., 0].tolist() == [[0, 100], [200, 255]]


def test_transparent_pixels_are_white_also_in_a_palette():
    clear = Image.new("RGBA", (6, 4), (255, 0, 0, 0))
    assert (prepared(COLOUR, clear) == 255).all()
    palette = Image.new("P", (6, 4), 0)
    palette.putpalette([10, 20, 30])
    palette.info["transparency"] = 0
    assert (prepared(COLOUR, palette) == 255).all()
    palette.info.clear()
    assert prepared(COLOUR, palette)[0, 0].tolist() == [10, 20, 30]


def test_files_arrays_and_pictures_agree(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    results = [prepared(COLOUR, raw) for raw in (path, str(path), Image.fromarray(pixels), pixels)]
    results.append(prepared(COLOUR, pixels.astype(np.float64)))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_without_pillow_arrays_of_the_right_shape_still_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert prepared(GREY, np.ones((4, 6), np.uint8)).shape == (4, 6, 1)
    assert size_of(np.zeros((8, 9, 3), np.uint8)) == (8, 9)
    for raw, what in (
        ("digit.png", "An image file"),
        (np.ones((8, 12)), "An array of another size than the model takes"),
    ):
        with pytest.raises(MissingPackageError) as caught:
            prepared(GREY, raw)
        assert str(caught.value) == (
            f"{what} needs the package 'pillow', which is not installed: "
            "pip install 'kerazoo-runtime[images]'"
        )
    with pytest.raises(UsageError, match="or an array, not a dict"):
        prepared(GREY, {})


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned clockwise: what is left in the file is the top
    stored = Image.new("L", (6, 4))
    stored.paste(255, (0, 0, 3, 4))
    stored.save(tmp_path / "turned.png", exif=turned)
    upright = Preprocessor([{**GREY, "size": [6, 4]}]).batch([tmp_path / "turned.png"])["image"][0]
    assert (upright[:3] == 255).all()
    assert (upright[3:] == 0).all()


def test_an_array_of_the_right_size_keeps_its_fractions():
    pixels = np.full((4, 6), 3.25, np.float32)
    assert (prepared(GREY, pixels) == 3.25).all()
    assert (prepared(GREY, pixels[..., np.newaxis]) == 3.25).all()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            np.zeros((2, 4, 6, 3), np.uint8),
            "An image array is (height, width) or (height, width, 1, 3 or 4), not (2, 4, 6, 3).",
        ),
        (
            np.zeros((3, 8, 8), np.uint8),
            "An image array is (height, width) or (height, width, 1, 3 or 4), not (3, 8, 8).",
        ),
        (
            np.zeros((0, 8), np.uint8),
            "An image array is (height, width) or (height, width, 1, 3 or 4), not (0, 8).",
        ),
        (
            np.full((8, 8), -1.0),
            "An image array holds numbers in 0..255; this one has dtype float64 and values "
            "-1.0..-1.0.",
        ),
        (
            np.full((4, 6), np.nan),
            "An image array holds numbers in 0..255; this one has dtype float64 and values "
            "nan..nan.",
        ),
        (3, "An image is a path, bytes of a file, a Pillow image or an array, not a int."),
        ("no/such.png", "There is no image file 'no/such.png'."),
    ],
)
def test_what_is_no_image(raw, message):
    with pytest.raises(UsageError) as caught:
        prepared(GREY, raw)
    assert str(caught.value) == message


def test_a_file_that_is_no_image(tmp_path):
    for name, content in (("text.png", b"hello"), ("folder", None)):
        path = tmp_path / name
        path.mkdir() if content is None else path.write_bytes(content)
        with pytest.raises(UsageError, match=f"{name}' cannot be read as an image: "):
            prepared(GREY, path)


def test_a_picture_of_too_many_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = tmp_path / "wide.png"
    Image.new("1", (201, 1)).save(path)
    for read in (lambda raw: prepared(GREY, raw), size_of):
        with pytest.raises(UsageError) as caught:
            read(path)
        assert str(caught.value) == (
            f"'{path}' is too large: Image size (201 pixels) exceeds limit of 200 pixels, could be "
            "decompression bomb DOS attack. Make the image smaller."
        )


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assets")
    texts = ["Où est le café ?", "the cat sat on the mat", "naïve 你好 😀"]
    for kind in ("char", "bpe", "wordpiece"):
        tokenizer = make_tokenizer(TokenizerConfig(kind=kind, vocab_size=400), texts)
        tokenizer.save(str(folder / f"{kind}.json"))
    return folder


def tokens(assets, raw, kind="bpe", length=12, **options):
    step = {"step": "tokenize", "tokenizer": f"{kind}.json", "length": length, **options}
    return Preprocessor([step], assets).batch([raw])


@pytest.mark.parametrize("kind", ["char", "bpe", "wordpiece"])
@pytest.mark.parametrize("text", ["a", "the cat", "é" * 50, "😀👩‍👩‍👧", "مرحبا", "a\nb\tc"])
def test_any_text_gives_rows_of_one_length(assets, kind, text):
    arrays = tokens(assets, text, kind)
    assert list(arrays) == ["token_ids", "padding_mask"]
    assert {array.shape for array in arrays.values()} == {(1, 12)}
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.int32)}
    real = int(arrays["padding_mask"].sum())
    assert real >= 1
    assert arrays["padding_mask"][0].tolist() == [1] * real + [0] * (12 - real)
    assert (arrays["token_ids"][0, real:] == 0).all()


def test_bytes_bring_every_text_back(assets):
    text = "Où? 你好 😀 ÿ"
    step = {"step": "tokenize", "tokenizer": "bpe.json", "length": 64}
    tokenizer = Preprocessor([step], assets).tokenizer("bpe.json")
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_both_ways_to_write_an_accent_are_the_same(assets):
    composed, split = tokens(assets, "caf\u00e9"), tokens(assets, "cafe\u0301")
    np.testing.assert_array_equal(composed["token_ids"], split["token_ids"])


def test_language_models_have_no_mask(assets):
    assert list(tokens(assets, "the cat", padding_mask=False)) == ["token_ids"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("", "Input 0 is an empty text: there is nothing to read in it."),
        (" \n\t", "Input 0 is an empty text: there is nothing to read in it."),
        (b"abc", "Input 0 must be a text, not a bytes."),
        (None, "Input 0 must be a text, not a NoneType."),
        ("\u200b\u200b", "Input 0, '\\u200b\\u200b', has no token once it is normalised."),
    ],
)
def test_texts_with_nothing_in_them(assets, raw, message):
    with pytest.raises(UsageError) as caught:
        tokens(assets, raw, "wordpiece")
    assert str(caught.value) == message


def test_a_tokenizer_that_is_missing_or_broken(assets, tmp_path):
    with pytest.raises(UsageError, match=r"^Step 'tokenize' needs the file 'none.json' among the"):
        tokens(assets, "a", "none")
    (tmp_path / "bad.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"bad.json' is not a tokenizer file: "):
        tokens(tmp_path, "a", "bad")


def test_an_array_step_follows_an_image_step():
    steps = [
        {"step": "image", "size": [2, 2], "channels": 1},
        {"step": "array", "source": "image", "input": "sequence", "shape": [2, 2], "scale": 0.5},
    ]
    arrays = Preprocessor(steps).batch([np.array([[0, 2], [4, 6]], np.uint8)])
    assert list(arrays) == ["sequence"]
    assert arrays["sequence"].tolist() == [[[0, 1], [2, 3]]]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([1, 2, 3], "Input 0 has shape (3,): 'features' takes 4 numbers, shape (4,)."),
        (["a", "b"], "Input 0 must be numbers, not a list."),
        ([[1], [2, 3]], "Input 0 is not an array: "),
    ],
)
def test_arrays_of_the_wrong_shape(raw, message):
    step = {"step": "array", "input": "features", "shape": [4]}
    with pytest.raises(UsageError) as caught:
        Preprocessor([step]).batch([raw])
    assert str(caught.value).startswith(message)


def test_without_steps_arrays_go_through_by_name():
    none = Preprocessor([])
    rows = [{"a": np.ones(2), "b": np.zeros(1)}] * 3
    assert {name: array.shape for name, array in none.batch(rows).items()} == {
        "a": (3, 2),
        "b": (3, 1),
    }
    one = Preprocessor([], inputs=["features"])
    assert one.batch([np.ones(4)])["features"].shape == (1, 4)
    with pytest.raises(UsageError, match=r"^No preprocessing is recorded for this model: give a"):
        none.batch([np.ones(2)])
    with pytest.raises(UsageError, match=r"^Input 1 has a; wanted: a, b\."):
        none.batch([rows[0], {"a": np.ones(2)}])
    with pytest.raises(UsageError, match=r"^The inputs cannot be put into one batch: "):
        one.batch([np.ones(4), np.ones(5)])
    with pytest.raises(UsageError, match=r"^There is no input to prepare: the list is empty\."):
        one.batch([])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            {"step": "imge"},
            "There is no step 'imge'. Did you mean 'image'? There are: image, tokenize, audio, "
            "array, lookup, table.",
        ),
        (
            {"size": [1, 1]},
            "There is no step 'None'. There are: image, tokenize, audio, array, lookup, table.",
        ),
        ({"step": "image"}, "Step 'image' needs 'size'."),
        (
            {"step": "image", "size": [8]},
            "Step 'image': size=(8,) must be two positive integers, [height, width].",
        ),
        (
            {"step": "image", "size": [8, 2**31]},
            "Step 'image': size=(8, 2147483648) must be at most 268,435,456 numbers.",
        ),
        (
            {"step": "tokenize", "length": 10**12},
            "Step 'tokenize': length=1000000000000 must be at most 1,048,576.",
        ),
        (
            {"step": "image", "size": [8, 9], "shorter_side": 8},
            "Step 'image': shorter_side=8 must be 9 or more, as size is cut out.",
        ),
        (
            {"step": "image", "size": [8, 8], "channels": 2},
            "Step 'image': channels=2 must be 1 or 3.",
        ),
        (
            {"step": "tokenize", "lenght": 3},
            "Step 'tokenize' has no 'lenght'. Did you mean 'length'? It has: tokenizer, length, "
            "input, padding_mask, segment_ids.",
        ),
        (
            {"step": "tokenize", "length": 0},
            "Step 'tokenize': length=0 must be a positive integer.",
        ),
        (
            {"step": "array", "input": "x", "shape": [2], "dtype": "int8"},
            "Step 'array': dtype='int8' must be float32 or int32.",
        ),
        (
            {"step": "array", "input": "x", "shape": [2], "dtype": {}},
            "Step 'array': dtype={} must be a text.",
        ),
        (
            {"step": "array", "input": [], "shape": [2]},
            "Step 'array': input=[] must be a text.",
        ),
        (
            {"step": "array", "input": "x", "shape": [2], "source": 3},
            "Step 'array': source=3 must be a text.",
        ),
        (
            {"step": "array", "input": "x", "shape": [2], "scale": float("nan")},
            "Step 'array': scale=nan must be a number that float32 holds.",
        ),
        (
            {"step": "array", "input": "x", "shape": [2], "scale": 1e39},
            "Step 'array': scale=1e+39 must be a number that float32 holds.",
        ),
        (
            {"step": "image", "size": [8, 8], "channels": True},
            "Step 'image': channels=True must be 1 or 3.",
        ),
        (
            {"step": "image", "size": [8, 8], "channels": [3]},
            "Step 'image': channels=(3,) must be 1 or 3.",
        ),
        ("image", "A step is 'image': it must be an object with the key 'step'."),
        (None, "A step is None: it must be an object with the key 'step'."),
    ],
)
def test_wrong_steps(step, message):
    with pytest.raises(UsageError) as caught:
        as_step(step)
    assert str(caught.value) == message


def test_the_source_of_an_array_step_must_exist():
    steps = [GREY, {"step": "array", "source": "imge", "input": "x", "shape": [24]}]
    with pytest.raises(UsageError) as caught:
        Preprocessor(steps).batch([np.zeros((4, 6), np.uint8)])
    assert str(caught.value) == (
        "Step 'array': no earlier step makes 'imge'. Did you mean 'image'?"
    )
