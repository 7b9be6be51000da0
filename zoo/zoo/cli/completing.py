"""``zoo completion``: commands, names, runs and bundles completed by the shell."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

SHELLS: dict[str, Any] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, models, recipes, formats, runs and bundles.

    \b
    bash:  eval "$(zoo completion bash)"
    zsh:   eval "$(zoo completion zsh)"
    fish:  zoo completion fish > ~/.config/fish/completions/zoo.fish
    """  # noqa: D301 - click wants the character, not its name
    click.echo(SHELLS[shell](ctx.find_root().command, {}, "zoo", "_ZOO_COMPLETE").source())
