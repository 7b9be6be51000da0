"""`zoo generate` and `zoo chat`: what they print, how they end, and what they refuse."""

import itertools
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

import zoo
from zoo.cli.main import cli
from zoo_registry import UsageError
from zoo_runtime import load_bundle
from zoo_runtime.generation.texts import Piece

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("writer")]
ENDLESS = ("--overflow", "slide", "--max-new-tokens", "1000000")
SEEN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


def say(*words, text=None):
    return CliRunner().invoke(cli, list(map(str, words)), input=text)


def start(*words, **pipes):
    command = [sys.executable, "-m", "zoo.cli", *map(str, words)]
    return subprocess.Popen(command, **{"stderr": subprocess.PIPE, **pipes})


def test_texts_are_printed_one_after_another(byte_writer):
    given = ("generate", byte_writer, "Hello", "--seed", 1, "--max-new-tokens", 40)
    texts = json.loads(say(*given, "--num-return-sequences", 3, "--json").output)
    assert [text["finish"] for text in texts] == ["length"] * 3
    done = say(*given, "--num-return-sequences", 3)
    from zoo_system.errors import printable

    assert done.stdout == "\n".join(f"{printable(text['text'])}\n" for text in texts)
    assert re.fullmatch(r"120 tokens, \d+\.\d tokens/s, the first after [\d,]+ ms\n", done.stderr)
    two = say("generate", byte_writer, "Hello", "-", *given[3:], text="Hello")
    alone = say(*given)
    assert two.stdout == f"{alone.stdout}\n{alone.stdout}"
    assert say(*given[:3], "--max-new-tokens", 0).output == "\n0 tokens\n"
    greedy = ("--temperature", 0, "--max-new-tokens", 5)
    assert say(*given[:3], *greedy).stdout == say(*given[:3], *greedy).stdout


def test_a_full_context_is_told(byte_writer):
    words = ("generate", byte_writer, "a" * 1020, "--max-new-tokens", 20, "--seed", 1)
    done = say(*words)
    assert "The context is full: --overflow slide forgets its beginning" in done.stderr
    assert done.stderr.startswith("5 tokens, ")
    done = say(*words, "--overflow", "slide")
    assert done.stderr.startswith("20 tokens, ")
    assert "context" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([""], "The prompt '' has no token, and the model has none that begins a text."),
        (["a" * 1025], "has 1,025 tokens and the model has 1,024 positions: shorten it"),
        (["\udcff"], r"is not text in UTF-8: '\udcff' (character 0) is half a character"),
        (["a", "--temperature", 0, "--top-p", 0.5], "top_p=0.5 has no effect: leave one of them"),
        (["a", "--seed", -1], "seed=-1 is not a whole number from 0 on."),
        (["a", "--stop", ""], "stop_strings holds '', which is not a text of a letter or more."),
        (["a", "--overflow", "slid"], "is not one of: stop, slide. Did you mean 'slide'?"),
        (["a", "--regex", "(("], "The grammar cannot be followed: "),
        (["a", "--json-schema", "none"], "--json-schema 'none' cannot be read: No such file or"),
        (["a", "--tokenizer", "x.json"], "has a tokenizer of its own: leave tokenizer= out."),
        (["a", "--weights", "x"], "weights= goes with the name of a model"),
        (["a", "--runtime", "onxx"], "There is no format 'onxx'. Did you mean 'onnx'?"),
        ([], "A prompt is missing"),
    ],
)
def test_what_cannot_be_followed_is_refused(byte_writer, words, message):
    done = say("generate", byte_writer, *words)
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)
    assert done.stdout == ""


REFUSED = [
    ({}, [[999]], "Prompt 0 has the token 999: the model has the tokens 0 to 255."),
    ({}, [[]], "Prompt 0 has no token: a text begins with one."),
    ({}, [[1.5]], "A prompt is a text or a list of token ids, not list."),
    ({}, [b"a"], "A prompt is a text or a list of token ids, not bytes."),
    ({"stop_strings": 5}, ["a"], "stop_strings holds 5: it is a list of texts."),
    ({"suppress_tokens": 1.5}, ["a"], "suppress_tokens holds 1.5: it is a list of tokens."),
    ({"bad_words_ids": [1]}, ["a"], "bad_words_ids holds 1: it is a list of lists of tokens."),
    ({"bad_words_ids": [[]]}, ["a"], "bad_words_ids holds a list of no token."),
    ({"bad_words_ids": [["a"]]}, ["a"], "bad_words_ids=('a',) is not the index of a token."),
    ({"seed": True}, ["a"], "seed=True is not a whole number from 0 on."),
    ({"max_new_tokens": 2.0}, ["a"], "max_new_tokens=2.0 is not a number of tokens, 0 or more."),
    ({"regex": "a", "json_schema": {}}, ["a"], "Give a json_schema or a regex, one of them."),
]
NOTHING_LEFT = "No token may come after 0 new ones: suppress_tokens, bad_words_ids, "


def test_what_python_cannot_ask_for(byte_writer):
    generator = load_bundle(byte_writer).text_generator("onnx")
    for options, prompts, message in REFUSED:
        with pytest.raises(UsageError) as caught:
            generator.complete(prompts, **options)
        assert str(caught.value) == message
    # Drawn, the most probable ones and beams: what is forbidden is not written for want of others.
    every = {"suppress_tokens": np.arange(256)}
    for search in ({"top_p": 0.5}, {"temperature": 0}, {"num_beams": 2}):
        with pytest.raises(UsageError, match=NOTHING_LEFT):
            generator.complete(["a"], **every, **search)
    with pytest.raises(UsageError, match="A prompt is a text, or a list of texts, not NoneType"):
        zoo.generate(byte_writer, None)
    numbers = {"max_new_tokens": np.int64(3), "temperature": np.float32(1e-40), "seed": np.int8(1)}
    (coldest,) = generator.complete(["a"], **numbers)
    (greedy,) = generator.complete(["a"], max_new_tokens=3, temperature=0)
    assert coldest.tokens == greedy.tokens


def test_a_text_matches_though_its_model_has_no_token_for_the_end(byte_writer):
    generator = load_bundle(byte_writer).text_generator("onnx")
    for expression in ("", "a?", "a|ab", "[0-9]{1,3}", "(ab)*"):
        for seed in range(5):
            options = {"regex": expression, "seed": seed, "max_new_tokens": 6}
            (made,) = generator.complete(["a"], **options)
            assert re.fullmatch(expression, made.text), (expression, made)
    (made,) = generator.complete(["a"], regex="", num_beams=2)
    assert (made.text, made.finish) == ("", "stop")


def test_a_stop_string_is_found_wherever_it_is_split(byte_writer):
    generator = load_bundle(byte_writer).text_generator("tflite")
    options = {"seed": 3, "max_new_tokens": 12}
    (whole,) = generator.complete(["a"], **options)
    for at in range(len(whole.text) - 2):
        stop = whole.text[at : at + 3]
        parts = [piece.text for piece in generator.stream(["a"], **options, stop_strings=stop)]
        assert "".join(parts) == whole.text[: whole.text.index(stop)]


def test_two_streams_of_one_bundle_go_on_in_turns(byte_writer):
    for runtime in ("tflite", "onnx"):
        generator = load_bundle(byte_writer).text_generator(runtime)
        asked = {"seed": 1, "max_new_tokens": 8}
        alone = [text.text for p in ("ab", "xyz") for text in generator.complete([p], **asked)]
        streams = [generator.stream([prompt], **asked) for prompt in ("ab", "xyz")]
        parts = itertools.zip_longest(*streams, fillvalue=Piece(0, ""))
        found = ["".join(piece.text for piece in row) for row in zip(*parts, strict=True)]
        assert found == alone, runtime


def test_what_is_no_language_model_is_refused():
    for source, message in [
        ("gpt2-smal", "It is not the name of a model either. Did you mean 'gpt2-small'?"),
        ("x" * 5000, f"'{'x' * 60}' cannot be read: File name too long."),
        ("resnet50", "'resnet50' is not a language model: its tasks are image-classification, "),
        ("gpt-nano", "Model 'gpt' has no tokenizer: load weights that come with one"),
    ]:
        done = say("generate", source, "a")
        assert isinstance(done.exception, UsageError), source
        assert message in str(done.exception)


def test_a_stream_ends_with_its_reader(byte_writer):
    process = start("generate", byte_writer, "a", *ENDLESS, stdout=subprocess.PIPE)
    assert process.stdout.read(20)
    process.stdout.close()
    assert process.wait(30) == 1
    assert process.stderr.read() == b""


def test_ctrl_c_ends_a_stream(byte_writer):
    process = start("generate", byte_writer, "a", *ENDLESS, stdout=subprocess.PIPE)
    assert process.stdout.read(20)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, b"\ninterrupted\n")


def test_a_conversation_has_its_history(byte_writer, tmp_path):
    """The answer to the second message depends on the first, unless there is a new conversation."""
    (tmp_path / "chat.jinja").write_text(SEEN)
    words = ("chat", byte_writer, "--chat-template", tmp_path / "chat.jinja", "--temperature", 0)
    words = (*words, "--max-new-tokens", 30, "--system", "be kind")
    found = [say(*words, text=text).output for text in ("hi\nyou\n", "hi\n/new\nyou\n", "you\n")]
    assert [text.count("30 tokens") for text in found] == [2, 2, 1]
    assert found[0] != found[1]
    with_template = say(*words, text="").output
    assert with_template == ""
    prompt = "<system>be kind<user>you"
    written = ("generate", byte_writer, prompt, "--temperature", 0, "--max-new-tokens", 30)
    assert say(*words, text="you\n").stdout == say(*written).stdout


def test_a_model_without_a_template_continues_the_text(byte_writer):
    words = ("--temperature", 0, "--max-new-tokens", 9, "--overflow", "stop")
    done = say("chat", byte_writer, *words, text="hi\n")
    assert done.stderr.startswith("'writer' has no chat template: it continues your text.\n")
    assert done.stdout == say("generate", byte_writer, "hi\n", *words).stdout


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('no users') }}", "refuses the messages: no users"),
        ("{% for %}", "The chat template fails: syntax error"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "fuel"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion limit exceeded"),
        ("{% set n = namespace(s='x') %}{% for i in range(40) %}{% set n.s = n.s ~ n.s %}"
         "{% endfor %}{{ n.s }}", "fuel"),
        ("{{ ().__class__.__bases__ }}{{ messages.x.y }}", "undefined value"),
        ("{% include '/etc/passwd' %}", "The chat template fails: "),
    ],
)  # fmt: skip
def test_a_template_that_fails_or_does_not_end(byte_writer, tmp_path, template, message):
    (tmp_path / "chat.jinja").write_text(template)
    words = ["chat", byte_writer, "--chat-template", tmp_path / "chat.jinja"]
    done = say(*words, text="hi\n")
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)


def test_ctrl_c_ends_an_answer_and_not_the_conversation(byte_writer, tmp_path):
    (tmp_path / "chat.jinja").write_text(SEEN)
    ours, its = pty.openpty()
    words = ("chat", byte_writer, "--chat-template", tmp_path / "chat.jinja")
    process = start(*words, *ENDLESS, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)

    def read_until(wanted):
        found, end = "", time.monotonic() + 30
        while wanted not in found:
            assert time.monotonic() < end
            found += os.read(ours, 1000).decode(errors="replace")
        return found

    read_until("> ")
    os.write(ours, b"hi\n")
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    read_until("\n> ")
    os.write(ours, b"\n")
    assert process.wait(30) == 0
    os.close(ours)
