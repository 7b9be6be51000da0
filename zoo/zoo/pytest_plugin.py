"""``pytest --zoo-check PATTERN``: the conformance kit as tests, one for each check.

pytest imports this wherever Kerazoo is installed, so nothing else is imported before it is asked.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from zoo.conformance import Examination


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("kerazoo", "conformance of models, recipes, data sets and formats")
    group.addoption(
        "--zoo-check",
        action="append",
        default=[],
        metavar="PATTERN",
        help="Test what a registered name, or a pattern such as 'acme-zoo/*', promises.",
    )
    group.addoption(
        "--zoo-check-to",
        metavar="FORMATS",
        help="Formats that models are exported to, with commas, or none [those that they claim].",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add a test for every check; ``-k`` and ``-m`` then choose among all."""
    patterns, to = config.getoption("zoo_check"), config.getoption("zoo_check_to")
    if not patterns:
        return
    from zoo.conformance import examinations
    from zoo_registry import UnknownNameError

    formats = None if to is None else [] if to == "none" else to.split(",")
    for pattern in patterns:
        folder = tempfile.TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        try:
            found = list(examinations(pattern, Path(folder.name), formats=formats))
        except UnknownNameError as error:
            raise pytest.UsageError(f"--zoo-check: {error}") from error
        items += [
            CheckItem.from_parent(
                session,
                name=f"{examination.subject}: {check}",
                nodeid=f"zoo-check::{examination.subject}::{check}",
                examination=examination,
                check=check,
            )
            for examination in found
            for check in examination.checks
        ]


class CheckItem(pytest.Item):
    """One check of one subject; it is skipped where it says nothing, since another failed."""

    def __init__(self, *, examination: Examination, check: str, **options: Any) -> None:
        super().__init__(**options)
        self.examination, self.check = examination, check

    def runtest(self) -> None:
        """Make the check, unless another test made it as it needed it."""
        from zoo.conformance import FaultError
        from zoo_system.untouched import untouched

        with untouched():
            failed = self.examination.failed_need(self.check)
            if failed:
                pytest.skip(f"it says nothing, as '{failed}' failed")
            result = self.examination.result(self.check)
        if not result.ok:
            raise FaultError(result.detail)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what to change, without a traceback of the kit."""
        from zoo.conformance import FaultError

        if isinstance(excinfo.value, FaultError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return what stands for the test in reports."""
        return Path("zoo-check"), None, self.name
