"""What a run measured, written as the baseline; and what is recorded of what no longer exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_modelbudget.baseline.store import Baseline, file_name
from pytest_modelbudget.errors import BaselineError
from pytest_modelbudget.gate.verdict import Verdict
from pytest_modelbudget.profile.profile import Profile


@dataclass(frozen=True)
class Recorded:
    """One file of an update.

    Attributes:
        file: its path, as messages show it.
        verdicts: those of the cases that were recorded in it.
        is_changed: whether its text is another now.
    """

    file: str
    verdicts: tuple[Verdict, ...]
    is_changed: bool


@dataclass(frozen=True)
class Refused:
    """A file that stays as it is, since its model is over budget; so that the next run shows what changed, too.

    Attributes:
        file: its path, as messages show it.
        over: the verdicts whose limits are broken.
    """

    file: str
    over: tuple[Verdict, ...]


@dataclass
class Update:
    """What became of each file of an update.

    Attributes:
        done: those that were recorded.
        refused: those of models over budget.
        problems: what could not be recorded and why.
    """

    done: list[Recorded] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Stale:
    """A recorded model, or one case of it, that no longer exists.

    Attributes:
        folder: the folder of its file, as messages show it.
        model: the model.
        gone: the cases that are gone; empty where the model is.
        kept: the cases that are not.
    """

    folder: str
    model: str
    gone: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def __str__(self) -> str:
        file = f"{self.folder}/{file_name(self.model)}"
        if self.gone:
            return f"{file}: no case of {self.model} is called {', '.join(self.gone)} any more"
        return f"{file}: no model of this run is called {self.model}"


def record(root: Path, verdicts: Iterable[Verdict]) -> Update:
    """Record what was measured, but for models of which a case is over budget: an update accepts growth alone.

    A file is of one state of its model. The limits on what all cases share are held against one of them, and where
    that one breaks them the others are no better.

    Args:
        root: the folder that shown paths are relative to.
        verdicts: everything that a run measured, with growth from itself.
    """
    files: dict[tuple[str, str], dict[str, list[Verdict]]] = {}
    for verdict in verdicts:
        profile = verdict.profile
        files.setdefault((verdict.folder, profile.model), {}).setdefault(profile.case, []).append(verdict)
    update = Update()
    for (folder, model), cases in sorted(files.items()):
        baseline = Baseline(root / folder, folder)
        try:
            _refuse_namesakes(model, cases)
            new = [verdicts[0] for verdicts in cases.values()]
            over = tuple(verdict for verdicts in cases.values() for verdict in verdicts if verdict.breaches)
            if over:
                update.refused.append(Refused(baseline.shown_file(model), over))
                continue
            replaces = new[0].profile.counter == new[0].own_counter
            is_changed = baseline.record(model, [verdict.profile for verdict in new], replaces=replaces)
            update.done.append(Recorded(baseline.shown_file(model), tuple(new), is_changed))
        except BaselineError as error:
            update.problems.append(str(error))
    return update


def _refuse_namesakes(model: str, cases: Mapping[str, Sequence[Verdict]]) -> None:
    for verdicts in cases.values():
        if any(_costs(verdict.profile) != _costs(verdicts[0].profile) for verdict in verdicts):
            raise BaselineError(
                f'"{model}" was not recorded: tests of this run measured different models under that name; '
                "give each a name of its own, as in modelbudget(model, inputs, name=...)"
            )


def _costs(profile: Profile) -> tuple[object, ...]:
    return profile.counter, profile.peak_memory, list(profile.layers.values())


def find_stale(root: Path, known: Mapping[str, Mapping[str, Sequence[str]]]) -> list[Stale]:
    """What is recorded of models and cases that no longer exist.

    Args:
        root: the folder that shown paths are relative to.
        known: folder to model to the cases that exist.
    """
    stale = []
    for folder, models in known.items():
        baseline = Baseline(root / folder, folder)
        names = {file_name(model): model for model in models}
        for file in baseline.files():
            model = names.get(file)
            if model is not None:
                gone = [case for case in baseline.cases(file) if case not in models[model]]
                if gone:
                    stale.append(Stale(folder, model, tuple(gone), tuple(models[model])))
                continue
            try:
                stale.append(Stale(folder, baseline.model_of(file)))
            except BaselineError:
                # It is no baseline, and not ours to judge.
                continue
    return stale


def prune(root: Path, stale: Iterable[Stale]) -> list[str]:
    """Remove what is recorded of what no longer exists; gives what could not be removed and why."""
    return [problem for each in stale if (problem := _forget(root, each))]


def _forget(root: Path, stale: Stale) -> str:
    try:
        Baseline(root / stale.folder, stale.folder).forget(stale.model, stale.kept)
    except BaselineError as error:
        return str(error)
    return ""
