"""Packages of one repository whose modules and models have the same names: each is measured as its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from pytest_modelbudget.engine.importing import Imports

SETTINGS = """
[tool.modelbudget.models.net]
factory = "{factory}"
inputs = [1, 4]
params = 1000
macs = 1000
"""
LINEAR = "from torch import nn\n\n\ndef build():\n    return nn.Linear(4, {width}, bias=False)\n"
# From 4 to 2 and to 3: 8 and 12 weights, and as many multiply-accumulates.
PARAMS = {"a": 8, "b": 12}
LAYOUTS = {
    "a module": ("models:build", {"models.py": LINEAR}),
    "a module of src": ("models:build", {"src/models.py": LINEAR}),
    "a package": ("zoo.models:build", {"zoo/__init__.py": "", "zoo/models.py": LINEAR}),
    "a package without a file of its own": ("zoo.models:build", {"zoo/models.py": LINEAR}),
    "a package in one without a file": (
        "zoo.inner.models:build",
        {"zoo/inner/models.py": LINEAR},
    ),
    "a module that another one imports": (
        "{package}_net:make",
        {"{package}_net.py": "from layers import build as make\n", "layers.py": LINEAR},
    ),
    "a module that is imported when the model is built": (
        "{package}_net:build",
        {
            "{package}_net.py": "def build():\n    import layers\n    return layers.build()\n",
            "layers.py": LINEAR,
        },
    ),
    "a module that is imported when the model runs": (
        "{package}_net:Net",
        {
            "{package}_net.py": "from torch import nn\n\n\nclass Net(nn.Module):\n"
            "    def __init__(self):\n        super().__init__()\n"
            "        import layers\n        self.layer = layers.build()\n"
            "    def forward(self, x):\n        from layers import times\n        return self.layer(x) * times()\n",
            "layers.py": LINEAR + "\n\ndef times():\n    return {width}\n",
        },
    ),
}


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """The modules of these packages are forgotten, and so are their folders."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in ("models", "zoo", "layers", "a_net", "b_net", "helper"):
            del sys.modules[name]


def packages(root: Path, layout: str) -> None:
    (root / "pytest.ini").write_text("[pytest]\n")
    factory, files = LAYOUTS[layout]
    for package, width in (("a", 2), ("b", 3)):
        folder = root / "packages" / package
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(SETTINGS.format(factory=factory.format(package=package)))
        for name, text in files.items():
            file = folder / name.format(package=package)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.format(width=width))


def measured(result: pytest.RunResult) -> dict[str, list[str]]:
    """Model to the numbers that the report has."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in result.outlines:
        words = line.split()
        if len(words) > 3 and "params" in words[:2] and "packages/" in words[0]:
            name = words[0].split("/")[1]
            found[name] = [words[2]]
        elif name and words[:1] == ["macs"]:
            found[name].append(words[1])
    return found


@pytest.mark.needs_torch
@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_modules_of_one_name_are_each_packages_own(
    pytester: pytest.Pytester, layout: str, order: tuple[str, str]
) -> None:
    packages(pytester.path, layout)
    result = pytester.runpytest_inprocess(*(f"packages/{each}/pyproject.toml" for each in order))
    result.assert_outcomes(passed=2)
    assert measured(result) == {package: [str(params)] * 2 for package, params in PARAMS.items()}


@pytest.mark.needs_torch
def test_what_tests_imported_of_one_package_is_no_other_packages(pytester: pytest.Pytester) -> None:
    packages(pytester.path, "a module")
    (pytester.path / "packages" / "a" / "test_a.py").write_text(
        "import models\n\n\ndef test_it():\n    assert models.build().out_features == 2\n"
    )
    (pytester.path / "packages" / "b" / "test_b.py").write_text(
        'import pytest\n\n\n@pytest.mark.modelbudget("net")\ndef test_it(model_profile):\n'
        "    assert model_profile.params == 12\n"
    )
    result = pytester.runpytest_inprocess("packages")
    result.assert_outcomes(passed=4)
    assert measured(result) == {"a": ["8", "8"], "b": ["12", "12"]}


@pytest.mark.needs_torch
def test_what_a_marker_describes_is_measured_by_the_settings_of_each_package(pytester: pytest.Pytester) -> None:
    (pytester.path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (pytester.path / "helper.py").write_text(LINEAR.format(width=2))
    for package, counter in (("a", "aten"), ("b", "thop")):
        folder = write(
            pytester.path / package,
            **{
                f"test_{package}": "import pytest\nfrom helper import build\n\n\n"
                "@pytest.mark.modelbudget(model=build, inputs=(1, 4), params=8)\ndef test_it(model_profile):\n"
                f'    assert model_profile.counter == "{counter}"\n'
            },
        )
        (folder / "pyproject.toml").write_text(f'[tool.modelbudget]\ncounter = "{counter}"\n')
    pytester.runpytest_inprocess().assert_outcomes(passed=2)


# -- without torch: what is put aside, and put back


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_modules_are_put_back_as_they_were(tmp_path: Path) -> None:
    a, b = (write(tmp_path / name, models=f"which = '{name}'") for name in "ab")
    imports = Imports()
    with imports.from_([a]):
        first = import_module("models")
    for _ in range(2):
        with imports.from_([b]):
            second = import_module("models")
            assert second.which == "b"
        assert sys.modules["models"] is first
        with imports.from_([a]):
            assert import_module("models") is first
    with imports.from_([b]):
        # Imported once: what it registered, it registered once.
        assert import_module("models") is second


def test_they_are_put_back_after_an_error(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", models=""), write(tmp_path / "b", models="raise ZeroDivisionError")
    imports = Imports()
    with imports.from_([a]):
        models = import_module("models")
    with pytest.raises(ZeroDivisionError), imports.from_([b]):
        import_module("models")
    assert sys.modules["models"] is models


def test_what_is_installed_stays_whatever_a_project_calls_its_files(tmp_path: Path) -> None:
    here = write(tmp_path, json="", pytest="", hypothesis="", sys="", typing="")
    before = dict(sys.modules)
    with Imports().from_([here]):
        assert {name: sys.modules[name] for name in before} == before


def test_a_module_made_by_hand_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    made = types.ModuleType("models")
    monkeypatch.setitem(sys.modules, "models", made)
    with Imports().from_([write(tmp_path, models="")]):
        assert sys.modules["models"] is made


def test_a_folder_stays_importable_and_what_its_modules_add_to_the_path_too(tmp_path: Path) -> None:
    here = write(tmp_path / "a", models=f"import sys\nsys.path.insert(0, {str(tmp_path / 'vendored')!r})")
    write(tmp_path / "vendored", helper="")
    imports = Imports()
    with imports.from_([here]):
        import_module("models")
    with imports.from_([here]):
        import_module("helper")
    assert str(here) in sys.path


def test_folders_of_one_project_are_not_those_of_another(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", helper=""), write(tmp_path / "b", models="import helper")
    imports = Imports()
    with imports.from_([a]):
        pass
    with imports.from_([b]), pytest.raises(ModuleNotFoundError):
        import_module("models")
