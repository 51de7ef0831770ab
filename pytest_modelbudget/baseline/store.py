"""The recorded profiles: one JSON file a model, compared with and replaced whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pytest_modelbudget.errors import BaselineError
from pytest_modelbudget.profile.layer_json import layer_line, layers_from_plain, parse_layers
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.profile import Profile
from pytest_modelbudget.text.atomic import UNFINISHED, replace_whole

SCHEMA = 1
"""The version of the file's form that this package reads and writes."""

_ENDING = ".json"
_LONGEST_NAME = 180
# Windows opens these as devices, whatever their ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_CASE_LINE = re.compile(rb'^    ("(?:[^"\\\n]|\\.)*"): \{', re.MULTILINE)
_CONFLICT = re.compile(rb"^(<<<<<<<|>>>>>>>)", re.MULTILINE)
# One layer's peak moves with every byte of the whole model: recorded, it would change each line with each edit.
_NOT_OF_A_LAYER = frozenset({"peak_memory"})


@dataclass(frozen=True)
class Recorded:
    """What one file holds.

    Attributes:
        model: name of the model.
        counter: what counted the MACs of every case.
        cases: name of the case to its profile; its layers have no ``peak_memory``.
    """

    model: str
    counter: str
    cases: Mapping[str, Profile]


class AnotherModelError(BaselineError):
    """The file of a model holds another one: their names differ in upper and lower case alone."""


def file_name(model: str) -> str:
    """The name of a model's file; what a file name cannot hold is written as in an address (``%2F``)."""
    name = quote(model, safe="", errors="surrogatepass")
    if name.startswith(".") or _DEVICES.match(name):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}~{hashlib.sha256(model.encode(errors='surrogatepass')).hexdigest()[:16]}"
    return name + _ENDING


# -- the form of a file


def to_text(recorded: Recorded) -> str:
    """A file's text: sorted keys, a layer a line; the same for the same profiles."""
    cases = ",\n".join(f"    {json.dumps(name)}: {_case(profile)}" for name, profile in sorted(recorded.cases.items()))
    return (
        f'{{\n  "cases": {{\n{cases}\n  }},\n  "counter": {json.dumps(recorded.counter)},\n'
        f'  "model": {json.dumps(recorded.model, ensure_ascii=False)},\n  "schema": {SCHEMA}\n}}\n'
    )


def _case(profile: Profile) -> str:
    layers = ",\n".join(f"        {layer_line(layer, _NOT_OF_A_LAYER)}" for layer in profile.layers.values())
    totals = ",\n".join(f'        "{key}": {value}' for key, value in sorted(profile.totals().items()))
    return (
        f'{{\n      "layers": [\n{layers}\n      ],\n      "mode": "{profile.mode}",\n'
        f'      "totals": {{\n{totals}\n      }}\n    }}'
    )


def from_bytes(data: bytes, shown: str) -> Recorded:
    """What a file holds.

    Args:
        data: its bytes.
        shown: its path, as messages show it.

    Raises:
        BaselineError: it is in conflict, broken, or of another schema.
    """
    if _CONFLICT.search(data):
        raise BaselineError(f"{shown} holds both sides of a merge conflict")
    try:
        return parse_layers(data.decode("utf-8-sig"), lambda plain: _from_plain(plain, shown))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise BaselineError(f"{shown} is broken: {what}") from None


def _from_plain(plain: Any, shown: str) -> Recorded:
    if not isinstance(plain, dict) or "schema" not in plain:
        raise ValueError("it is no baseline")
    if type(plain["schema"]) is not int or plain["schema"] != SCHEMA:
        raise BaselineError(
            f"{shown} is of schema {json.dumps(plain['schema'])}, and this version reads schema {SCHEMA}"
        )
    _check_keys(plain, {"cases", "counter", "model", "schema"})
    model, counter = plain["model"], plain["counter"]
    if {type(model), type(counter)} != {str}:
        raise ValueError("its model or its counter is no string")
    cases = {name: _profile(case, model, name, counter) for name, case in plain["cases"].items()}
    return Recorded(model, counter, cases)


def _profile(plain: Any, model: str, case: str, counter: str) -> Profile:
    _check_keys(plain, {"layers", "mode", "totals"})
    totals = plain["totals"]
    if plain["mode"] not in ("eval", "train"):
        raise ValueError(f'the mode of the case "{case}" is neither eval nor train')
    layers = layers_from_plain(plain["layers"])
    if len(layers) != len(plain["layers"]):
        raise ValueError(f'two layers of the case "{case}" have one name')
    for key, total in totals.items():
        if type(total) is not int or total < 0:
            raise ValueError(f'{key} of the case "{case}" cannot be {json.dumps(total)}')
    # A metric that is not there was not known to the version that recorded; one that is unknown is newer than this one.
    apart = {key: totals[key] for key, metric in METRICS.items() if key in totals and not metric.adds_up}
    unknown = tuple(key for key in METRICS if key not in totals)
    profile = Profile(layers, model, case, counter, plain["mode"], unknown=unknown, **apart)
    for key, total in profile.totals().items():
        # Git can merge two recordings line by line into one that nobody recorded.
        if total != totals[key]:
            raise ValueError(f'the layers of the case "{case}" add up to {total} {key}, and not to {totals[key]}')
    return profile


def _check_keys(table: Mapping[str, Any], right: set[str]) -> None:
    for key in table.keys() ^ right:
        raise ValueError(f'unknown key "{key}"' if key in table else f'"{key}" is missing')


# -- the folder of the files


class Baseline:
    """The recorded profiles of one folder.

    Args:
        folder: where the files are; it need not exist.
        shown: its path, as messages show it.
    """

    def __init__(self, folder: Path, shown: str) -> None:
        self.folder = folder
        self.shown = shown

    def shown_file(self, model: str) -> str:
        """The path of a model's file, as messages show it."""
        return f"{self.shown}/{file_name(model)}"

    def read(self, model: str) -> Recorded | None:
        """What is recorded of a model, or None.

        Raises:
            BaselineError: its file cannot be read or used.
        """
        data = self._bytes(model)
        return None if data is None else self._decode(model, data)

    def _bytes(self, model: str) -> bytes | None:
        try:
            return (self.folder / file_name(model)).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            text = f"{self.shown_file(model)} cannot be read: {_reason(error)}"
            raise BaselineError(text, can_be_replaced=False) from None

    def _decode(self, model: str, data: bytes) -> Recorded:
        shown = self.shown_file(model)
        recorded = from_bytes(data, shown)
        if recorded.model != model:
            text = f'{shown} is the baseline of "{recorded.model}", and not of "{model}"'
            raise AnotherModelError(text, can_be_replaced=False)
        return recorded

    def files(self) -> list[str]:
        """The names of the files, sorted."""
        try:
            return sorted(each.name for each in self.folder.iterdir() if each.name.endswith(_ENDING))
        except OSError:
            return []

    def cases(self, file: str) -> list[str]:
        """The names of the cases in a file, as it is written here; empty where it cannot be read."""
        try:
            data = (self.folder / file).read_bytes()
            return [json.loads(name) for name in _CASE_LINE.findall(data)]
        except (OSError, ValueError):
            return []

    def model_of(self, file: str) -> str:
        """The model that is recorded in a file.

        Raises:
            BaselineError: the file cannot be read or used.
        """
        shown = f"{self.shown}/{file}"
        try:
            return from_bytes((self.folder / file).read_bytes(), shown).model
        except OSError as error:
            raise BaselineError(f"{shown} cannot be read: {_reason(error)}") from None

    def record(self, model: str, profiles: Iterable[Profile], *, replaces: bool = True) -> bool:
        """Record the profiles of some cases of a model; its other cases stay as they are recorded.

        Args:
            model: the model.
            profiles: its cases, all counted with one counter.
            replaces: whether a file of another counter, or one that cannot be understood, may be replaced.

        Returns:
            Whether the file's text is another now.

        Raises:
            BaselineError: the file cannot be written or may not be replaced, or another case of it was counted with
                another counter.
        """
        new = {profile.case: profile for profile in profiles}
        counter = next(iter(new.values())).counter
        with self._locked():
            kept = self._kept(model, counter, set(new), replaces)
            return self._write(model, Recorded(model, counter, {**kept, **new}))

    def forget(self, model: str, keep: Iterable[str] = ()) -> None:
        """Remove a model's file, or of its cases all but those to keep.

        Raises:
            BaselineError: the file cannot be read or written.
        """
        with self._locked():
            recorded = self.read(model)
            cases = {} if recorded is None else {case: recorded.cases[case] for case in keep if case in recorded.cases}
            if recorded is not None and cases:
                self._write(model, replace(recorded, cases=cases))
                return
            try:
                (self.folder / file_name(model)).unlink(missing_ok=True)
            except OSError as error:
                raise BaselineError(f"{self.shown_file(model)} cannot be removed: {_reason(error)}") from None

    def _kept(self, model: str, counter: str, new: set[str], replaces: bool) -> dict[str, Profile]:
        """The recorded cases that stay beside the new ones."""
        data = self._bytes(model)
        if data is None:
            return {}
        try:
            recorded = self._decode(model, data)
        except AnotherModelError:
            raise
        except BaselineError as error:
            if not replaces:
                raise self._another_counter(model, counter, str(error)) from None
            # What nobody can understand cannot be kept, and to replace it is what was asked for.
            return {}
        if recorded.counter != counter and not replaces:
            raise self._another_counter(model, counter, f"it was counted with {recorded.counter}")
        others = {case: each for case, each in recorded.cases.items() if case not in new}
        if others and recorded.counter != counter:
            raise BaselineError(
                f"{self.shown_file(model)} was not recorded: its other cases ({', '.join(others)}) were counted with "
                f"{recorded.counter}, and one file has one counter; record all cases of the model in one run"
            )
        return others

    def _another_counter(self, model: str, counter: str, reason: str) -> BaselineError:
        return BaselineError(
            f"{self.shown_file(model)} was not recorded: {reason}, and {counter} is the counter of this run alone; "
            f'set counter = "{counter}" in [tool.modelbudget], or remove the file'
        )

    def _write(self, model: str, recorded: Recorded) -> bool:
        file = self.folder / file_name(model)
        data = to_text(recorded).encode(errors="backslashreplace")
        try:
            with contextlib.suppress(FileNotFoundError):
                # Git may check files out with other line ends.
                if file.read_bytes().replace(b"\r\n", b"\n") == data:
                    return False
            replace_whole(file, data)
        except OSError as error:
            raise BaselineError(f"{self.shown_file(model)} cannot be written: {_reason(error)}") from None
        return True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from changing the folder, where the system can lock one."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise BaselineError(f"the folder {self.shown} cannot be made: there is a file of that name") from None
        except OSError as error:
            raise BaselineError(f"the folder {self.shown} cannot be made: {_reason(error)}") from None
        try:
            import fcntl
        except ImportError:
            yield
            return
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            # A file system that knows no locks is used without.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            for left in self.folder.glob(f"{UNFINISHED}*"):
                left.unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
