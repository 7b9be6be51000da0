"""Programs that run a bundle's files without Kerazoo, written from its manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from zoo_export.card import programs
from zoo_export.card.program_file import ProgramFile, in_file, program_file
from zoo_runtime.manifest import Artifact, Manifest
from zoo_runtime.running.sessions import recorded

Writer = Callable[[ProgramFile], str]


@dataclass(frozen=True)
class Language:
    """How one language runs the formats that it can.

    Args:
        name: As in a heading.
        fence: As in a Markdown fence.
        types: NumPy dtypes that it has a type for.
        writers: By format, the best first; each returns a program.
        all_formats: Whether a program for each format is of use, or one is enough.
    """

    name: str
    fence: str
    types: Mapping[str, str]
    writers: Mapping[str, Writer]
    all_formats: bool = False


@dataclass(frozen=True)
class Snippet:
    """One program.

    Args:
        language: Name of its language.
        format: The format that it runs.
        fence: As in a Markdown fence.
        code: The program.
    """

    language: str
    format: str
    fence: str
    code: str


LANGUAGES = (
    Language("Python", "python", programs.PYTHON_TYPES, programs.PYTHON, all_formats=True),
    Language("JavaScript", "js", programs.JAVASCRIPT_TYPES, programs.JAVASCRIPT),
    Language("Kotlin", "kotlin", programs.KOTLIN_TYPES, programs.KOTLIN),
    Language("Swift", "swift", programs.SWIFT_TYPES, programs.SWIFT),
    Language("C++", "cpp", programs.CPP_TYPES, programs.CPP),
)


def snippets(manifest: Manifest) -> Iterator[Snippet]:
    """Give the programs for the formats that a bundle has.

    Args:
        manifest: The bundle's manifest.
    """
    for language in LANGUAGES:
        for name, write in language.writers.items():
            artifact = _first(manifest, name, language)
            if artifact is None:
                continue
            code = write(program_file(manifest, artifact))
            yield Snippet(language.name, artifact.format, language.fence, code)
            if not language.all_formats:
                break


def _first(manifest: Manifest, name: str, language: Language) -> Artifact | None:
    # As it is in float, or else in the first scheme whose dtypes the language has.
    of_format = (a for a in manifest.artifacts if a.format.partition(":")[0] == name)
    return next((a for a in of_format if _knows(language, a)), None)


def _knows(language: Language, artifact: Artifact) -> bool:
    affines = recorded(artifact.facts)
    tensors = (in_file(tensor, affines) for tensor in (*artifact.inputs, *artifact.outputs))
    return all(tensor.dtype in language.types for tensor in tensors)
