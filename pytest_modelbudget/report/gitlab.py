"""GitLab's Code Quality report: a broken limit as an issue on its line."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modelbudget.report.places import Places
from pytest_modelbudget.report.run import Run
from pytest_modelbudget.report.verdict_text import in_short, name_of, what_is_limited
from pytest_modelbudget.settings.limits import Place


def code_quality(
    run: Run, root: Path | None = None, environment: Mapping[str, str] = os.environ
) -> list[dict[str, Any]]:
    """The issues of a run; the same breach has the same fingerprint in each pipeline, whatever its numbers are.

    Args:
        run: what was found.
        root: the folder that the places of limits are relative to; by default the current one.
        environment: that of the job.
    """
    places = Places(root or Path.cwd(), environment, "CI_PROJECT_DIR")
    issues = []
    for verdict in run.over:
        for check in verdict.breaches:
            name = name_of(verdict)
            key = f"{name} {what_is_limited(check)} {check.bound}"
            told = f"{name} is over budget: {in_short(check)}"
            issues.append(_issue(told, key, check.place, places))
    issues += (
        _issue(f"{each.test} could not be measured: {each.message.partition(chr(10))[0]}", each.test, None, places)
        for each in run.unmeasured
    )
    return issues


def _issue(description: str, key: str, place: Place | None, places: Places) -> dict[str, Any]:
    return {
        "description": description,
        "check_name": "pytest-modelbudget",
        "fingerprint": hashlib.sha256(key.encode(errors="replace")).hexdigest(),
        "severity": "major",
        "location": {
            "path": places.path("pyproject.toml" if place is None else place.file),
            "lines": {"begin": 1 if place is None or place.line is None else place.line},
        },
    }
