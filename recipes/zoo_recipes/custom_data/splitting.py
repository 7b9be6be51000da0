"""The splits of custom data: their own ones, and those that follow from what each example holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from zoo_recipes.custom_data.content import Content, Example, digest_of
from zoo_registry import UsageError

PARTS = ("train", "validation", "test")
SHARE = Fraction(1, 10)
# Of sha256, as a number from 0 to 1: below the first is train, below the second validation.
TRAIN, VALIDATION = 0.8, 0.9
# A class of so many is split by the hash of each example alone, so that what is added moves
# nothing. Of fewer, too many or none at all might come to the same split by luck.
MANY = 1000
# Of a fold, what others look at after each epoch.
HELD = "_validation"
OWN_SPLITS = "the data's own"


@dataclass(frozen=True)
class Splits:
    """The examples of each split.

    Args:
        parts: ``train``, ``validation`` and ``test``, each in the order of the files.
        rule: How they came to be there, in words.
        are_made: Whether the data have no splits of their own.
    """

    parts: Mapping[str, list[Example]]
    rule: str
    are_made: bool

    def views(self) -> Iterator[tuple[str, Mapping[str, list[Example]]]]:
        """Yield the one way in which they are looked at."""
        yield "", self.parts


@dataclass(frozen=True)
class Folds:
    """The parts of a cross-validation.

    Args:
        parts: ``fold1``, ``fold1_validation``, ``fold2``...: what is tested in a fold, and of it
            what the other folds look at after each epoch. Those without an example are left out.
        rule: How they came to be there, in words.
        count: Of the folds.
    """

    parts: Mapping[str, list[Example]]
    rule: str
    count: int
    are_made: ClassVar = True

    def views(self) -> Iterator[tuple[str, dict[str, list[Example]]]]:
        """Yield of each fold what it is called, and its train, validation and test."""
        for fold in range(1, self.count + 1):
            views = {
                part: [e for name in names for e in self.parts[name]]
                for part, names in fold_splits(fold, self.count, self.parts).items()
            }
            yield f" in fold {fold} of {self.count}", views


@dataclass(frozen=True)
class _Unit:
    """What stays in one split: the copies of an example, or all of a group.

    Args:
        key: Decides the split.
        stratum: Its class.
    """

    key: str
    stratum: str


def split(content: Content) -> Splits:
    """Return the examples of train, validation and test.

    Splits that the data have stay as they are; those that are missing are a tenth of the rest
    each, of every class alike. Copies of an example, and examples of one group, stay together.
    """
    given = {example.split for example in content.examples} - {None}
    missing = [part for part in PARTS if part not in given]
    free = [_is_free(example, missing) for example in content.examples]
    labels = strata_of(content)
    pool = dict.fromkeys(
        _Unit(_key(example), label)
        for example, label, is_free in zip(content.examples, labels, free, strict=True)
        if is_free
    )
    taken = _taken(list(pool), [part for part in missing if part != "train"])
    parts: dict[str, list[Example]] = {part: [] for part in PARTS}
    for example, is_free in zip(content.examples, free, strict=True):
        own = taken.get(_key(example), "train")
        parts[own if is_free else str(example.split)].append(example)
    return Splits(parts, _rule(content, missing, bool(given)), not given)


def folded(path: Path, content: Content, count: int) -> Folds:
    """Return the parts of a cross-validation: copies and groups together, every class alike.

    Each part takes turns at being the test. As in scikit-learn's StratifiedGroupKFold, the largest
    groups are dealt first, each to the fold that has least of its classes; without groups it is
    StratifiedKFold, and KFold where there are no classes. Of the rest a tenth is validation.

    Args:
        path: For messages.
        content: What was read.
        count: Of the folds.

    Raises:
        UsageError: Splits of the data's own, or fewer groups than folds.
    """
    own = next((example for example in content.examples if example.split), None)
    if own is not None:
        raise UsageError(
            f"The data at '{path}' have splits of their own ({own.location} is in {own.split}), "
            "and folds are splits too: give one file or folder without splits."
        )
    strata = strata_of(content)
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for example, stratum in zip(content.examples, strata, strict=True):
        sizes[_key(example)][stratum] += 1
    if len(sizes) < count:
        raise UsageError(
            f"The data at '{path}' have {len(sizes)} examples or groups that differ: too few for "
            f"{count} folds."
        )
    fold_of = _dealt(sizes, count)
    held = _held(sizes, fold_of, count)
    parts: dict[str, list[Example]] = defaultdict(list)
    for example in content.examples:
        key = _key(example)
        parts[f"fold{fold_of[key]}{HELD if key in held else ''}"].append(example)
    of_class = " of each class" if content.classes() is not None else ""
    rule = f"{count} folds{of_class}; a tenth of what is not tested is validation"
    return Folds(dict(sorted(parts.items())), rule, count)


def fold_splits(fold: int, count: int, names: Container[str]) -> dict[str, list[str]]:
    """Return the parts that are train, validation and test of a fold.

    Args:
        fold: From 1.
        count: Of the folds.
        names: Of the parts that there are.

    Example:
        >>> fold_splits(1, 2, ["fold1", "fold1_validation", "fold2"])
        {'train': ['fold2'], 'validation': [], 'test': ['fold1', 'fold1_validation']}
    """
    own = f"fold{fold}"
    others = [f"fold{number}" for number in range(1, count + 1) if number != fold]
    splits = {
        "train": others,
        "validation": [name + HELD for name in others],
        "test": [own, own + HELD],
    }
    return {part: [name for name in found if name in names] for part, found in splits.items()}


def _held(sizes: Mapping[str, Counter[str]], fold_of: Mapping[str, int], count: int) -> set[str]:
    """Return the keys that are validation: a tenth of all, of every fold and class alike."""
    wanted = max(2, round(len(sizes) * SHARE))
    held: set[str] = set()
    for fold in range(1, count + 1):
        strata: dict[str, list[str]] = defaultdict(list)
        for key in sorted(key for key, own in fold_of.items() if own == fold):
            strata[min(sizes[key], key=lambda name: (-sizes[key][name], name))].append(key)
        quota = wanted // count + (fold <= wanted % count)
        held |= {key for key, _ in _by_count(strata, ["validation"], quota)}
    return held


def _dealt(sizes: Mapping[str, Counter[str]], count: int) -> dict[str, int]:
    """Return the fold of each key, from 1."""
    import numpy as np

    names = sorted({name for counter in sizes.values() for name in counter})
    at = {name: index for index, name in enumerate(names)}
    total = Counter[str]()
    for counter in sizes.values():
        total.update(counter)
    filled, loads, found = np.zeros((count, len(names))), np.zeros(count), {}
    for key in sorted(sizes, key=lambda key: (-sizes[key].total(), key)):
        columns = [at[name] for name in sizes[key]]
        counts = np.array(list(sizes[key].values()), float)
        of_all = counts / [total[name] for name in sizes[key]]
        cost = filled[:, columns] @ of_all
        best = min(range(count), key=lambda fold: (round(float(cost[fold]), 12), loads[fold]))
        filled[best, columns] += of_all
        loads[best] += counts.sum()
        found[key] = best + 1
    return found


def strata_of(content: Content) -> list[str]:
    """Return what is split alike of each example: its class, or of several the rarest one.

    So those classes are spread first that there is least of, as by iterative stratification
    (https://doi.org/10.1007/978-3-642-23808-6_10).
    """
    classes = content.classes() or [()] * len(content.examples)
    counts = Counter(name for names in classes for name in names)
    return [min(names, key=lambda name: (counts[name], name), default="") for names in classes]


def _is_free(example: Example, missing: Sequence[str]) -> bool:
    return example.split is None or (example.split == "train" and bool(missing))


def _rule(content: Content, missing: Sequence[str], has_splits: bool) -> str:
    of_class = " of each class" if content.classes() is not None else ""
    if not has_splits:
        return f"80/10/10{of_class}, by the hash of each example"
    if missing:
        return f"{OWN_SPLITS}; {' and '.join(missing)} by hash, 10 % of train each"
    return OWN_SPLITS


def _key(example: Example) -> str:
    return example.digest if example.together is None else digest_of("group", example.together)


def _taken(units: Sequence[_Unit], parts: Sequence[str]) -> dict[str, str]:
    """Return the split of each key that does not stay in train.

    Args:
        units: All there are.
        parts: What is missing.
    """
    strata: dict[str, dict[str, None]] = defaultdict(dict)
    seen: set[str] = set()
    for unit in units:
        # What is in several classes counts in the first of them.
        if unit.key not in seen:
            strata[unit.stratum][unit.key] = None
        seen.add(unit.key)
    taken = {}
    small = {name: sorted(keys) for name, keys in strata.items() if len(keys) < MANY}
    for keys in (keys for name, keys in strata.items() if name not in small):
        taken.update({key: part for key in keys if (part := part_of(key)) in parts})
    return taken | dict(_by_count(small, parts))


def part_of(key: str) -> str:
    """Return the split that follows from a hash alone, whatever else there is.

    Args:
        key: sha256.

    Example:
        >>> part_of("00" * 32), part_of("d0" * 32), part_of("ff" * 32)
        ('train', 'validation', 'test')
    """
    fraction = int(key[:8], 16) / 16**8
    return "train" if fraction < TRAIN else "validation" if fraction < VALIDATION else "test"


def _by_count(
    strata: Mapping[str, Sequence[str]], parts: Sequence[str], wanted: int | None = None
) -> Iterator[tuple[str, str]]:
    """Yield keys with their split: a tenth of all, or ``wanted``, of each stratum alike.

    Those of the highest hashes are taken first, as :func:`part_of` does, and one of each stratum
    is left.
    """
    left = {name: list(keys) for name, keys in strata.items()}
    if wanted is None:
        wanted = max(1, round(sum(map(len, left.values())) * SHARE))
    for part in reversed(parts):
        for name, count in _allotted({n: len(keys) for n, keys in strata.items()}, wanted, left):
            yield from ((left[name].pop(), part) for _ in range(count))


def _allotted(
    sizes: Mapping[str, int], wanted: int, left: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, int]]:
    """Yield how many each stratum gives: the whole part of its quota, then largest remainders."""
    total = sum(sizes.values())
    quotas = {name: Fraction(size * wanted, total) for name, size in sizes.items()}
    counts = {name: min(int(quota), len(left[name]) - 1) for name, quota in quotas.items()}
    # Of equal remainders those come first that have most left, so that all give in turn.
    ranked = sorted(sizes, key=lambda n: (int(quotas[n]) - quotas[n], -len(left[n]), digest_of(n)))
    for name in ranked:
        if sum(counts.values()) < wanted and counts[name] < len(left[name]) - 1:
            counts[name] += 1
    yield from counts.items()
