"""Errors that the user sees, and the closest match that they suggest."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Control characters, line ends other than \n, halves of characters, and what turns the direction.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_OF_KERAS = re.compile(
    r"Exception encountered when calling .*?\x1b\[1m(.*)\x1b\[0m\s+Arguments received by .*",
    re.DOTALL,
)


class ZooError(Exception):
    """Work that failed: the message says what, what was received and what to do.

    Attributes:
        exit_code: What the command line returns, 1 for failed work and 2 for wrong use.
    """

    exit_code = 1

    def __init__(self, *args: object) -> None:
        # Keras raises what a layer of ours raises once more, with words and tensors around it.
        wrapped = _OF_KERAS.match(args[0]) if args and isinstance(args[0], str) else None
        super().__init__(*((wrapped[1], *args[1:]) if wrapped else args))


class UsageError(ZooError, ValueError):
    """A request that cannot be carried out as it was written."""

    exit_code = 2


class UnknownNameError(UsageError, LookupError):
    """A name that nobody registered."""


class DuplicateNameError(UsageError):
    """A name that two owners claim."""


class PluginError(ZooError):
    """A plugin that could not be imported, or holds a value of the wrong type."""


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like ``word``, or ``None`` where none is near.

    Args:
        word: What was received.
        candidates: What would have been accepted.

    Example:
        >>> closest("bert-tyni", ["bert-tiny", "gpt-nano"])
        'bert-tiny'
    """
    import difflib  # needed for mistakes alone

    matches = difflib.get_close_matches(word.lower(), list(candidates), n=1, cutoff=0.6)
    return matches[0] if matches else None


def taken(path: object) -> UsageError:
    """Return what to raise where something is at a path that is to be written.

    Example:
        >>> str(taken("runs/mine"))
        "'runs/mine' exists: choose another one (--out), or replace it (--force, force=True)."
    """
    return UsageError(
        f"'{path}' exists: choose another one (--out), or replace it (--force, force=True)."
    )


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` with a leading space, or an empty string.

    Example:
        >>> did_you_mean("onx", ["onnx", "tflite"])
        " Did you mean 'onnx'?"
    """
    match = closest(word, candidates)
    return f" Did you mean '{match}'?" if match else ""


def plain(message: str) -> str:
    r"""Return a message without the colours of a terminal, which Keras puts into its own.

    Example:
        >>> plain("\x1b[1mno such axis\x1b[0m")
        'no such axis'
    """
    return re.sub(r"\x1b\[[0-9;]*m", "", message)


def printable(text: str) -> str:
    r"""Return a text that cannot move a terminal's cursor, colour it or break an encoding.

    Args:
        text: Of others, such as the message of a plugin; line breaks and tabs stay.

    Example:
        >>> printable("\x1b[31mred\x00 \udc80")
        '\\x1b[31mred\\x00 \\udc80'
    """
    return _UNSEEN.sub(lambda mark: repr(mark[0])[1:-1], text)


def as_sentence(text: str) -> str:
    """Return a text with one full stop at its end, unless it ends as a sentence does.

    Example:
        >>> as_sentence("no such size"), as_sentence("Did you mean 'x'?")
        ('no such size.', "Did you mean 'x'?")
    """
    return text if text.endswith((".", "?", "!")) else f"{text}."


def first_line(message: str) -> str:
    r"""Return the first line of a message; ``[...]`` stands for others.

    Example:
        >>> first_line("Graph execution error:\n\nDetected at node")
        'Graph execution error: [...]'
    """
    first, *others = message.strip().splitlines() or [""]
    return f"{first} [...]" if others else first
