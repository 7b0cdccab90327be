"""With `--no-unlisted-skips` a test may be skipped only where tests/allowed_skips.txt says so: for
a GPU or the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("allowed_skips.txt")
CAUSES = ("GPU", "network")


@dataclass(frozen=True)
class Allowed:
    """Tests whose id begins with `tests` may be skipped for a reason that holds `reason`; `cause`
    is why that is right.
    """

    tests: str
    reason: str
    cause: str


def allowed(text: str) -> tuple[Allowed, ...]:
    """The entries of the list: `tests | reason | GPU or network: why`. Raises ValueError for
    another line.
    """
    found = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split("|")]
        if len(parts) != 3 or not all(parts) or parts[2].split(":")[0] not in CAUSES:
            raise ValueError(
                f"{LIST.name}: {line!r}; expected 'tests | reason | GPU or network: why'"
            )
        found.append(Allowed(*parts))
    return tuple(found)


class Skips:
    """Collects what was skipped, in tests and in whole files, and fails a run with a skip that is
    not listed.
    """

    def __init__(self, entries: tuple[Allowed, ...]) -> None:
        self.entries = entries
        self.unlisted: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._add(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._add(report)

    def _add(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(report.nodeid.startswith(e.tests) and e.reason in reason for e in self.entries):
            self.unlisted.append(f"{report.nodeid}: {reason}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unlisted and session.exitstatus in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unlisted:
            terminalreporter.section("skipped, and not in tests/allowed_skips.txt", red=True)
            for line in self.unlisted:
                terminalreporter.line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-unlisted-skips",
        action="store_true",
        help="fail if a test is skipped that tests/allowed_skips.txt does not list",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--no-unlisted-skips"):
        config.pluginmanager.register(Skips(allowed(LIST.read_text(encoding="utf-8"))), "skips")
