"""Questions whose answers are parts of a text, as SQuAD has them.

The format: https://rajpurkar.github.io/SQuAD-explorer/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_recipes.custom_data.content import (
    BadRecordError,
    Columns,
    Content,
    Example,
    Kind,
    Problem,
    digest_of,
)
from zoo_recipes.custom_data.files import files_of, head_of, json_in, location, splits_of, suffix_of
from zoo_registry import UsageError

ANSWERS = Kind(
    name="questions about texts",
    input=("question", "context"),
    label="answers",
    tasks=("question-answering",),
    roles=("question", "context", "answers"),
)


def is_squad(path: Path) -> bool:
    """Return whether a path is a JSON file of SQuAD's kind, or a folder of such files."""
    files = files_of(path)
    return all(suffix_of(file) == ".json" and _looks_like_squad(file) for file in files)


def read_squad(path: Path, columns: Columns) -> Content:
    """Read the questions of every file; locations count questions, not lines.

    Args:
        path: A file, or a folder with one for each split.
        columns: Not used.

    Raises:
        UsageError: A file that is not valid JSON.
    """
    examples: list[Example] = []
    problems: list[Problem] = []
    for file, split in splits_of(files_of(path), path).items():
        for at, (question, context, answers) in enumerate(_questions(file), 1):
            where = location(file, path, at)
            try:
                examples.append(answer_example(where, split, question, context, answers))
            except BadRecordError as error:
                problems.append(Problem(where, str(error)))
    return Content(ANSWERS, answer_features(), examples, problems, unanswered(examples))


def answer_example(
    where: str, split: str | None, question: Any, context: Any, answers: Any
) -> Example:
    """Return the example of a question.

    Args:
        where: Its location.
        split: The data's own.
        question: A text.
        context: The text that the answer is a part of.
        answers: ``text`` and ``answer_start``, each a list, or a list of such; none where the text
            has no answer.

    Raises:
        BadRecordError: No texts, or an answer that is not at its ``answer_start``.
    """
    for name, text in (("question", question), ("context", context)):
        if not isinstance(text, str) or not text.strip():
            raise BadRecordError(f"the {name} is empty or not a text")
    found = list(_answers(answers))
    for text, start in found:
        if context[start : start + len(text)] != text:
            stands = context[start : start + len(text)]
            raise BadRecordError(f"answer '{text}' should be at {start}: there is '{stands}'")
    values = {
        "question": question,
        "context": context,
        "answers": {"text": [t for t, _ in found], "answer_start": [start for _, start in found]},
    }
    return Example(where, split, digest_of(question, context), values, (len(context),))


def answer_features() -> dict[str, Any]:
    """Return the TFDS features of questions, those of TFDS' own SQuAD."""
    import numpy as np
    import tensorflow_datasets as tfds

    text = tfds.features.Text()
    answers = tfds.features.Sequence({"text": text, "answer_start": np.int32})
    return {"question": text, "context": text, "answers": answers}


def unanswered(examples: Sequence[Example]) -> list[str]:
    """Return a note where there are questions without an answer, which no training looks at."""
    count = sum(not example.values["answers"]["text"] for example in examples)
    return [f"{count:,} questions have no answer: nothing is learned from them"] if count else []


def _answers(answers: Any) -> Iterator[tuple[str, int]]:
    if isinstance(answers, Mapping):
        texts, starts = answers.get("text"), answers.get("answer_start")
        if not (isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts)):
            raise BadRecordError("its answers have not as many 'text' as 'answer_start'")
        pairs = list(zip(texts, starts, strict=True))
    elif isinstance(answers, list):
        if not all(isinstance(answer, Mapping) for answer in answers):
            raise BadRecordError("an answer is not an object with 'text' and 'answer_start'")
        pairs = [(answer.get("text"), answer.get("answer_start")) for answer in answers]
    else:
        raise BadRecordError("its answers are not a list")
    for text, start in pairs:
        is_offset = isinstance(start, int) and not isinstance(start, bool) and start >= 0
        if not (isinstance(text, str) and text and is_offset):
            raise BadRecordError("an answer has no 'text', or no 'answer_start' from 0 on")
        yield text, start


def _looks_like_squad(file: Path) -> bool:
    head = head_of(file)
    return b'"paragraphs"' in head and b'"data"' in head


def _questions(file: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Yield question, context and answers; what is none of these is ``None``."""
    try:
        data = json_in(file)
    except BadRecordError as error:
        raise UsageError(f"'{file}' {error}.") from error
    for document in _listed(data, "data"):
        for paragraph in _listed(document, "paragraphs"):
            for asked in _listed(paragraph, "qas"):
                question = asked if isinstance(asked, dict) else {}
                known = [] if question.get("is_impossible") else question.get("answers")
                context = paragraph.get("context") if isinstance(paragraph, dict) else None
                yield question.get("question"), context, known


def _listed(value: Any, key: str) -> list[Any]:
    """Return a list of SQuAD; where there is none, one entry that is not a question."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else [None]
