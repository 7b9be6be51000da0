"""Files of the ``tokenizers`` library, each tried in a process of its own before it is used here.

Such a file is a small program: rules that replace text by longer text, regular expressions that go
back over it. Some never end, fill the memory, or break the library. So bytes that this machine has
not seen are first run in a child process with bounds, on texts made of what they look for.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from zoo_registry.plugins import version_of
from zoo_runtime.optional import need
from zoo_runtime.tried import mark_of, remember, was_tried
from zoo_system.errors import UsageError

TIME_LIMIT = 60.0
# A tokenizer of a million words has 80 MB.
MAX_BYTES = 1 << 28
_MEMORY, _TIMES_BYTES = 2 << 30, 16
_REPEATS, _MOST_UNITS = 200, 200
_USUAL = "aZ0 \n\t.,!'-_/é中😀"
_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens")
_OPAQUE = "precompiled_charsmap"
_NOT_ITS_OWN = (KeyboardInterrupt, SystemExit, GeneratorExit)


def open_tokenizer(path: Path) -> Any:
    """Return the ``tokenizers.Tokenizer`` that a file holds.

    Args:
        path: Its JSON file. What is read is what was tried, whatever becomes of the file meanwhile.

    Raises:
        MissingPackageError: tokenizers is not installed.
        UsageError: It is not such a file, it breaks the library, or it takes more time or memory
            than any tokenizer does.

    Example:
        >>> import tempfile
        >>> from tokenizers import Tokenizer, models
        >>> path = Path(tempfile.mkdtemp(), "tokenizer.json")
        >>> Tokenizer(models.WordLevel({"yes": 0}, unk_token="yes")).save(str(path))
        >>> open_tokenizer(path).encode("yes").ids
        [0]
    """
    library = need("tokenizers", "A text")
    content = _read(path)
    _ensure_tried(path, content)
    with asking(f"'{path}' is not a tokenizer file"):
        return library.Tokenizer.from_buffer(content)


@contextlib.contextmanager
def asking(failure: str) -> Iterator[None]:
    """Turn whatever a tokenizer raises into a message of ours.

    A panic of the library is no ``Exception`` and would end a program that catches those.

    Args:
        failure: What the message begins with.

    Raises:
        UsageError: The tokenizer raised something.
    """
    try:
        yield
    except (*_NOT_ITS_OWN, UsageError):
        raise
    except BaseException as error:
        raise UsageError(f"{failure}: {error}") from error


def encoded(tokenizer: Any, texts: Iterable[Any], **options: Any) -> list[Any]:
    """Return a ``tokenizers.Encoding`` of each text.

    Raises:
        UsageError: The tokenizer cannot read one of them.
    """
    with asking("The tokenizer cannot read these texts"):
        return list(tokenizer.encode_batch(list(texts), **options))


def decoded(tokenizer: Any, rows: Iterable[Sequence[int]], **options: Any) -> list[str]:
    """Return the text of each row of token ids.

    Raises:
        UsageError: The tokenizer cannot write one of them.
    """
    with asking("The tokenizer cannot write these tokens"):
        return list(tokenizer.decode_batch([list(row) for row in rows], **options))


def trust(text: str) -> None:
    """Note that a tokenizer's file was made in this process, so that it is not tried."""
    remember(_mark(text.encode()))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(
                f"'{path}' is not a tokenizer file: it has {path.stat().st_size:,} bytes."
            )
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error}") from error


def _ensure_tried(path: Path, content: bytes) -> None:
    mark = _mark(content)
    if was_tried(mark):
        return
    # For the first time alone: predictions begin without them.
    import subprocess

    from zoo_system import processes

    try:
        done = processes.run(__name__, str(path), mark.name, time_limit=TIME_LIMIT)
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"Tokenizer '{path}' took longer than {TIME_LIMIT:g} s to read a few short texts: it "
            "is damaged or hostile."
        ) from error
    except OSError as error:
        raise UsageError(
            f"Tokenizer '{path}' cannot be tried in another process: {error}"
        ) from error
    code, lines = done.returncode, done.stdout.strip().splitlines()
    if code == 1 and lines:
        raise UsageError(f"'{path}' is not a tokenizer file: {lines[-1]}")
    if code:
        name = f"exit code {code}" if code > 0 else processes.signal_name(-code)
        raise UsageError(
            f"'{path}' is not a tokenizer file: it ended the process that tried it ({name}): it "
            "is damaged or hostile."
        )
    remember(mark)


def _mark(content: bytes) -> Path:
    return mark_of(content, f"tokenizers {version_of('tokenizers')}".encode())


def _units(content: bytes) -> list[str]:
    """Return what the rules of a tokenizer look for: their words, and all characters in them."""
    data = json.loads(content)
    words = [word for part in _PARTS for word in _words(data.get(part))]
    characters = dict.fromkeys([*_USUAL, *"".join(words)])
    return [*characters][:_MOST_UNITS] + list(dict.fromkeys(words))[:_MOST_UNITS]


def _words(data: Any, key: str = "") -> Iterator[str]:
    if isinstance(data, str) and key not in {_OPAQUE, "type"}:
        yield data[:64]
    elif isinstance(data, dict):
        for name, value in data.items():
            yield from _words(value, name)
    elif isinstance(data, list):
        for value in data:
            yield from _words(value, key)


def _try(content: bytes) -> None:
    tokenizer = need("tokenizers", "A text").Tokenizer.from_buffer(content)
    size = tokenizer.get_vocab_size()
    for word, token_id in tokenizer.get_vocab().items():
        tokenizer.token_to_id(word)
        tokenizer.id_to_token(token_id)
    tokenizer.to_str()
    tokenizer.decode(list(range(0, size, max(1, size // 64))))
    for unit in _units(content):
        # What comes behind lets an expression that has matched so far go back.
        with contextlib.suppress(Exception):  # a small vocabulary knows few of them
            encoding = tokenizer.encode(unit * _REPEATS + "\x01" + unit)
            tokenizer.decode(encoding.ids[:_REPEATS])
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16)
    with contextlib.suppress(Exception):
        tokenizer.encode_batch([_USUAL, "a b"])


def main(path: str, wanted: str) -> None:
    """Try one file; what is wrong with it is the last line that is printed."""
    from zoo_system import processes

    content = _read(Path(path))
    processes.limit_memory(_MEMORY + _TIMES_BYTES * len(content))
    try:
        if _mark(content).name != wanted:
            raise UsageError("it was changed while it was read")
        _try(content)
    except BaseException as error:
        print(f"{error}".splitlines()[0] if str(error) else type(error).__name__)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
