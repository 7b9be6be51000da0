"""What the support matrix has a row for: every built-in model and head, equal ones once."""

from __future__ import annotations

from collections.abc import Iterable

import zoo_registry
from zoo.support_matrix import Case, heads
from zoo_registry.entries import BUILTIN_OWNER

# Reduced models say what converts, not what is fast: these are measured as they are named too.
FULL_SIZE = ("bert-base", "lstm-classifier", "mobilenet-v3-small", "resnet50")
# Of the same layers as another, and more of them or wider.
ALIKE = {
    **dict.fromkeys((f"efficientnet-lite{n}" for n in range(1, 5)), "efficientnet-lite0"),
    "mistral-7b": "llama",
    "roberta-large": "roberta-base",
    "xlm-roberta-base": "roberta-base",
}


def builtin() -> list[str]:
    """Return the names of the models that come with Kerazoo, without those of other libraries."""
    owners = zoo_registry.models.view()
    return [name for name, owner in owners.items() if owner == BUILTIN_OWNER and "/" not in name]


def first_equal(cases: Iterable[Case]) -> dict[Case, Case]:
    """Return for each case the first of them that is the same model at reduced size, or alike.

    Example:
        >>> cases = [Case("bert", "features"), Case("bert-base", "features")]
        >>> first_equal(cases)[cases[1]].name
        'bert'
    """
    seen: dict[tuple[str, str | None, str], Case] = {}
    found = {}
    for case in cases:
        spec = zoo_registry.models.get(ALIKE.get(case.name, case.name))
        arguments = {**spec.defaults, **({} if case.full_size else spec.reduced)}
        key = (spec.target, case.task, repr(sorted(arguments.items())))
        found[case] = seen.setdefault(key, case)
    return found


def every_case() -> dict[Case, Case]:
    """Return every built-in model and head at reduced size, and the case that stands for it."""
    return first_equal(Case(name, task) for name in sorted(builtin()) for task in heads(name))


def distinct_cases() -> list[Case]:
    """Return the built-in models and heads that are not alike at reduced size."""
    return list(dict.fromkeys(every_case().values()))


def wanted() -> list[Case]:
    """Return the cases that the matrix has a row for."""
    full = [Case(name, heads(name)[0], full_size=True) for name in FULL_SIZE]
    return [*distinct_cases(), *full]
