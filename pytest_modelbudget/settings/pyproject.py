"""From a pyproject.toml to its settings."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.settings.reading import decode
from pytest_modelbudget.settings.schema import Settings
from pytest_modelbudget.text.wording import shown as in_words

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load(file: Path, shown: str | None = None) -> Settings | None:
    """The settings in ``file``, or None where it has no ``[tool.modelbudget]`` table.

    Args:
        file: a TOML file, as a rule pyproject.toml.
        shown: its path as messages show it; by default its name.

    Raises:
        SettingsError: the file cannot be read, or holds mistakes; the message tells them all, a line each.
    """
    shown = file.name if shown is None else shown
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{shown}: cannot be read: {error.strerror or error}") from error
    return parse(data, file, shown)


def parse(data: bytes, file: Path, shown: str) -> Settings | None:
    """The settings in ``data``, the content of ``file``: as `load`, for what is held elsewhere (in git)."""
    # Most files have no such table, and need not be parsed to know it.
    if b"modelbudget" not in data:
        return None
    text = _decoded(data, shown)
    tool = _parsed(text, shown).get("tool", {})
    if not isinstance(tool, dict):
        raise SettingsError(f"{shown}: [tool] must be a table, not {in_words(tool)}")
    if "modelbudget" not in tool:
        return None
    return decode(tool["modelbudget"], text, file, shown)


def parse_value(text: str, what: str) -> Any:
    """One value of TOML, that a user wrote elsewhere.

    Raises:
        SettingsError: it is none.
    """
    try:
        # In brackets, so that the text cannot end the line and begin another key.
        [value] = tomllib.loads(f"value = [\n{text}\n]")["value"]
    except tomllib.TOMLDecodeError as error:
        reason = re.sub(r" \(at [^)]*\)$", "", str(error))
        raise SettingsError(f"{what} is broken TOML: {reason}") from None
    except (ValueError, RecursionError):
        raise SettingsError(f"{what} is no value of TOML") from None
    return value


def _decoded(data: bytes, shown: str) -> str:
    """The text of a file; a UTF-8 byte order mark is not part of it."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"{shown}:{line}: is not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8"
        ) from None


def _parsed(text: str, shown: str) -> dict[str, Any]:
    """The tables of a TOML text."""
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise SettingsError(f"{shown}: cannot be parsed: lists and tables are nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        if at is None:
            raise SettingsError(f"{shown}: broken TOML: {message}") from None
        reason = f"{message[: at.start()]} (column {at[2]})"
        raise SettingsError(f"{shown}:{at[1]}: broken TOML: {reason}") from None
    except ValueError:
        # Python refuses to read integers of thousands of digits.
        raise SettingsError(f"{shown}: cannot be parsed: a number has too many digits") from None
    return tables
