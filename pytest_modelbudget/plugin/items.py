"""The models of a pyproject.toml as test items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_modelbudget.gate.judge import case_id
from pytest_modelbudget.plugin.failures import measuring, raise_if_over, record
from pytest_modelbudget.plugin.progress import busy
from pytest_modelbudget.plugin.state import PROJECT
from pytest_modelbudget.settings.schema import DEFAULT_CASE

if TYPE_CHECKING:
    from pytest_modelbudget.settings.schema import CaseSettings, ModelSettings, Settings


class ModelFile(pytest.File):
    """A pyproject.toml with ``[tool.modelbudget]``: an item for each case of each model."""

    def __init__(self, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = settings

    def collect(self) -> Iterator[ModelItem]:
        """The cases, in the order in which they are written."""
        if not self.config.stash[PROJECT].collects(self.settings):
            return
        for model in self.settings.models.values():
            for case in model.cases.values():
                yield ModelItem.from_parent(self, name=case_id(model.name, case.name), model=model, case=case)


class Mistaken(pytest.File):
    """A pyproject.toml with a mistake: an error of the collection, with one message."""

    def __init__(self, *, message: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.message = message

    def collect(self) -> NoReturn:
        """Fail.

        Raises:
            pytest.Collector.CollectError: always.
        """
        raise self.CollectError(self.message)


class ModelItem(pytest.Item):
    """One case of one model: measured in its set-up, held against its limits in its call."""

    parent: ModelFile

    def __init__(self, *, model: ModelSettings, case: CaseSettings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.case = case
        self.add_marker(pytest.mark.modelbudget(self.name))

    def setup(self) -> None:
        """Measure."""
        with busy(self.config, self.name), measuring(self.model.place):
            self._judge()

    def runtest(self) -> None:
        """Fail if a limit is broken."""
        verdict = self._judge()
        record(self, verdict)
        raise_if_over(self, verdict)

    def _judge(self) -> Any:
        session = self.config.stash[PROJECT].session
        return session.judge(self.parent.settings, self.model, self.case)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the case stands."""
        line = (self.model if self.case.name == DEFAULT_CASE else self.case).place.line
        return self.path, None if line is None else line - 1, self.name
