"""GitHub Actions: annotations on the line of the limit that broke, and the summary of the job."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_modelbudget.report.markdown import SUMMARY_LIMIT, to_markdown
from pytest_modelbudget.report.places import Places
from pytest_modelbudget.report.run import Run
from pytest_modelbudget.report.verdict_text import in_short, name_of
from pytest_modelbudget.settings.limits import Place


def is_github(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a job of GitHub Actions."""
    return environment.get("GITHUB_ACTIONS") == "true"


def annotation_lines(run: Run, root: Path, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """A line a broken limit, and one a model that could not be measured, as the runner reads them.

    Args:
        run: what was found.
        root: the folder that the places of limits are relative to.
        environment: that of the job.
    """
    places = Places(root, environment, "GITHUB_WORKSPACE") if run.over else None
    for verdict in run.over:
        for check in verdict.breaches:
            where = _where(check.place, places)
            yield _command("error", {**where, "title": f"{name_of(verdict)} is over budget"}, in_short(check))
    for each in run.unmeasured:
        yield _command("error", {"title": f"{each.test} could not be measured"}, each.message)


def append_summary(run: Run, file: Path) -> None:
    """Add the report to the summary of the job.

    Raises:
        OSError: it cannot be written.
    """
    with file.open("a", encoding="utf-8") as stream:
        stream.write(to_markdown(run, SUMMARY_LIMIT) + "\n")


def _where(place: Place | None, places: Places | None) -> dict[str, str]:
    if place is None or places is None:
        return {}
    file = places.path(place.file)
    return {"file": file} if place.line is None else {"file": file, "line": str(place.line)}


def _command(name: str, properties: Mapping[str, str], message: str) -> str:
    told = ",".join(f"{key}={_escaped(value, in_property=True)}" for key, value in properties.items())
    return f"::{name} {told}::{_escaped(message)}"


def _escaped(text: str, *, in_property: bool = False) -> str:
    """A text as the runner takes it back: by its toolkit's own table."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if in_property else text
