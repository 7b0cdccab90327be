"""python -m mechcla report RUN [RUN ...]: the page of a run, or of several beside each other."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import CliPositionalArg

from mechcla.commands.command import COMMANDS, Command, Flags, flags, parse
from mechcla.report.document import report


class ReportConfig(Flags):
    """Write one HTML file that opens from disk: the plane, curves by layer, control arms, and every
    test item under each condition."""

    model_config = flags("report")

    runs: CliPositionalArg[list[str]] = Field(
        description="run folders; several are also compared with the first"
    )
    out: str | None = Field(
        None,
        description="the file; default: report.html in the run's folder, or here for several runs",
    )


def main(arguments: list[str]) -> int:
    """Write the page and say where it is. Raises MechclaError for bad input."""
    config = parse("report", ReportConfig, arguments)
    print(f"Page: {report(config.runs, config.out)}")
    return 0


ABOUT = "a run as one HTML page: the plane, the curves, every item (extra: report)"
COMMANDS.register("report", Command(main, ABOUT))
