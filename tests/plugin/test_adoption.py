"""``modelbudget init`` and ``modelbudget tighten``: pyproject.toml is changed, and its comments stay."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_modelbudget.cli import main
from tests.plugin.conftest import PERCEPTRON, MakeProject

Captured = pytest.CaptureFixture[str]
RESNET = ["init", "torchvision.models:resnet18", "--inputs", "1,3,224,224"]


@pytest.fixture(autouse=True)
def _own_models() -> Iterator[None]:
    """The module of each test's project is its own, though the commands run in this process."""
    sys.modules.pop("models", None)
    yield
    sys.modules.pop("models", None)


@pytest.fixture
def empty(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.chdir(pytester.path)
    return pytester


@pytest.mark.needs_torch
def test_an_empty_project_is_green_in_two_commands(empty: pytest.Pytester, capsys: Captured) -> None:
    assert main(RESNET) == 0
    assert capsys.readouterr().err.endswith("modelbudget: now run: pytest\n")
    assert (empty.path / "pyproject.toml").read_text() == (
        "[tool.modelbudget.models.resnet18]\n"
        'factory = "torchvision.models:resnet18"\n'
        "inputs = [1, 3, 224, 224]\n"
        'params = "12.3M"\n'
        'size = "49.2 MB"\n'
        'macs = "1.91G"\n'
        'peak_memory = "56.6 MB"\n'
    )
    empty.runpytest().assert_outcomes(passed=1)


EXISTING = """\
# The project.
[project]   # of ours
name = "x"

[tool.ruff]
line-length = 99          # long lines

[tool.modelbudget]
uncounted = "warn"        # for now
"""


@pytest.mark.needs_torch
@pytest.mark.parametrize("text", [EXISTING, EXISTING.replace("\n", "\r\n"), "\ufeff" + EXISTING])
def test_what_was_there_stays_as_it_was(empty: pytest.Pytester, text: str) -> None:
    file = empty.path / "pyproject.toml"
    file.write_bytes(text.encode())
    assert main(RESNET) == 0
    written = file.read_bytes().decode()
    assert written.startswith(text)
    assert "[tool.modelbudget.models.resnet18]" in written
    # Not with pytest, which itself refuses a byte order mark.
    assert main(["check"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["torchvision.models"], '"torchvision.models" is no factory; write it as module:callable'),
        pytest.param(["torchvision.models:resnet19"], 'did you mean "resnet', marks=pytest.mark.needs_torch),
        (["torchvision.models:resnet18", "--headroom", "5"], '"5" is no percentage; write one as "5%"'),
    ],
)
def test_a_mistake_writes_nothing(empty: pytest.Pytester, capsys: Captured, arguments: list[str], message: str) -> None:
    try:
        code: object = main(["init", *arguments, "--inputs", "1,3,224,224"])
    except SystemExit as ended:
        code = ended.code
    assert code == 4
    assert message in capsys.readouterr().err
    assert not (empty.path / "pyproject.toml").exists()


@pytest.mark.needs_torch
def test_a_model_that_is_there_is_not_written_again(empty: pytest.Pytester, capsys: Captured) -> None:
    main(RESNET)
    before = (empty.path / "pyproject.toml").read_text()
    assert main(RESNET) == 4
    assert 'has a model "resnet18" already; modelbudget tighten lowers its limits' in capsys.readouterr().err
    assert (empty.path / "pyproject.toml").read_text() == before


LOOSE = f"""\
{PERCEPTRON.strip()}
params = "1M"       # much too much
macs = {{ max = 150, growth = "5%" }}
size = 232          # exact

[tool.modelbudget.models.perceptron.cases.many]
inputs = [9, 4]
macs = 9000         # nine rows

[tool.modelbudget.models.perceptron.layers."hid*"]
params = 400
"""


@pytest.mark.needs_torch
def test_limits_are_lowered_to_what_is_measured(
    project: MakeProject, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = project("")
    file = made.path / "pyproject.toml"
    file.write_text(LOOSE)
    monkeypatch.chdir(made.path)
    monkeypatch.syspath_prepend(made.path)
    assert main(["tighten"]) == 0
    # 58, 9·48 = 432 and 40, each and 5 %; 144 and 5 % is more than 150, and 232 is not raised.
    assert file.read_text() == (
        LOOSE.replace('"1M" ', "61 ").replace("9000", "454").replace("params = 400", "params = 42")
    )
    assert capsys.readouterr().err.splitlines() == [
        "modelbudget: perceptron params: 1M → 61",
        "modelbudget: perceptron@many macs: 9000 → 454",
        "modelbudget: perceptron hid* params: 400 → 42",
    ]
    assert main(["tighten"]) == 0
    assert "no limit is further above what is measured than that" in capsys.readouterr().err
    assert main(["tighten", "--headroom", "0%"]) == 0
    assert "macs = { max = 144, growth" in file.read_text()


def test_nothing_to_tighten_is_one_line(empty: pytest.Pytester, capsys: Captured, tmp_path: Path) -> None:
    assert main(["tighten"]) == 4
    assert "there is no limit to lower" in capsys.readouterr().err
