"""A conversation as one text, by the template that comes with a model's tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from zoo_registry import UsageError
from zoo_runtime.optional import need

FILE, TEMPLATE = "tokenizer_config.json", "chat_template.jinja"
# Steps of a template: one of a hundred messages takes fewer than a thousandth of them.
_FUEL = 1_000_000
_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True)
class ChatTemplate:
    r"""A template in Jinja's language, as Hugging Face's tokenizers have it.

    It runs without access to Python and ends after a number of steps, whatever it says.

    Args:
        template: The text of it.
        tokens: Special tokens by name, such as ``bos_token``.

    Example:
        >>> template = ChatTemplate(
        ...     "{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}"
        ... )
        >>> template.render([{"role": "user", "content": "Hello"}])
        '<user> Hello\n'
    """

    template: str
    tokens: Mapping[str, str] | None = None

    def render(
        self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True
    ) -> str:
        """Return a conversation as the text that the model continues.

        Args:
            messages: Each with a ``role``, such as ``user``, and its ``content``.
            add_generation_prompt: Whether the text ends with the beginning of an answer.

        Raises:
            MissingPackageError: minijinja is not installed.
            UsageError: A message that is none, or a template that refuses the conversation, fails
                or does not end.
        """
        library = need("minijinja", "A chat template")
        for index, message in enumerate(messages):
            if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
                raise UsageError(f"Message {index} needs a 'role' and a 'content': {message!r}.")
        machine = library.Environment(trim_blocks=True, lstrip_blocks=True, pycompat=True)
        machine.fuel = _FUEL
        machine.add_function("raise_exception", _refuse)
        machine.add_function("strftime_now", lambda form: datetime.now().strftime(form))
        try:
            text = machine.render_str(
                self.template,
                messages=[dict(message) for message in messages],
                add_generation_prompt=add_generation_prompt,
                **(self.tokens or {}),
            )
        except _RefusedError as refused:
            raise UsageError(f"The chat template refuses the messages: {refused}") from refused
        except library.TemplateError as error:
            said = str(error).splitlines()[0]
            raise UsageError(f"The chat template fails: {said}") from error
        return str(text)


class _RefusedError(Exception):
    pass


def _refuse(message: str) -> None:
    raise _RefusedError(message)


def read_chat_template(folder: Path) -> ChatTemplate | None:
    """Return the chat template of a snapshot, ``None`` if it has none.

    Args:
        folder: With ``tokenizer_config.json``, and maybe ``chat_template.jinja``.

    Raises:
        UsageError: A file that cannot be read.
    """
    settings: Any = {}
    path = folder / FILE
    try:
        if path.is_file():
            settings = json.loads(path.read_text("utf-8"))
        path = folder / TEMPLATE
        own = path.read_text("utf-8") if path.is_file() else None
    except (OSError, ValueError) as error:
        raise UsageError(f"'{path}' cannot be read: {error}") from error
    if not isinstance(settings, Mapping):
        return None
    template = own or settings.get("chat_template")
    if isinstance(template, list):
        named = {each.get("name"): each.get("template") for each in template}
        template = named.get("default", next(iter(named.values()), None))
    if not isinstance(template, str):
        return None
    tokens = {name: _content(settings.get(name)) for name in _SPECIAL}
    return ChatTemplate(template, {name: text for name, text in tokens.items() if text})


def _content(token: Any) -> str | None:
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else None
