"""Changes to a pyproject.toml that keep its comments and its layout."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.text.atomic import replace_whole

_BOM = "\ufeff"


class TomlFile:
    """A file with its comments and layout; a new one where there is none.

    Args:
        file: the file.
    """

    def __init__(self, file: Path) -> None:
        """Read it.

        Raises:
            SettingsError: it cannot be read.
        """
        self.file = file
        try:
            text = file.read_bytes().decode("utf-8") if file.exists() else ""
            self._bom = _BOM if text.startswith(_BOM) else ""
            self.document = tomlkit.parse(text.removeprefix(_BOM))
        except (OSError, UnicodeDecodeError, TOMLKitError) as error:
            raise SettingsError(f"{file.name} cannot be read: {error}") from None

    def table(self, *keys: str) -> MutableMapping[str, Any]:
        """The table under some keys, made where there is none.

        Raises:
            SettingsError: something else stands there.
        """
        table: Any = self.document
        for at, key in enumerate(keys):
            if key not in table:
                # Only the last one is written as a heading.
                table[key] = tomlkit.table(is_super_table=at < len(keys) - 1)
            table = table[key]
            if not isinstance(table, MutableMapping):
                raise SettingsError(f"{self.file.name}: [{'.'.join(keys[: at + 1])}] is no table")
        found: MutableMapping[str, Any] = table
        return found

    def save(self) -> None:
        """Write it.

        Raises:
            SettingsError: it cannot be written.
        """
        try:
            replace_whole(self.file, (self._bom + tomlkit.dumps(self.document)).encode())
        except OSError as error:
            raise SettingsError(f"{self.file.name} cannot be written: {error.strerror or error}") from None


def value_of(text: str) -> Any:
    """A TOML value, to be put into a file.

    Raises:
        SettingsError: it is none.
    """
    try:
        document: Mapping[str, Any] = tomlkit.parse(f"value = {text}")
    except TOMLKitError as error:
        raise SettingsError(f"{text} is no value of TOML: {error}") from None
    return document["value"]
