"""``modelbudget init`` and ``modelbudget tighten``: pyproject.toml is changed, and its comments stay."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_modelbudget.commands.cli import main
from pytest_modelbudget.settings.pyproject import load
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
    assert (
        'has a model "resnet18" already; --name gives this one another name, and modelbudget tighten'
        in capsys.readouterr().err
    )
    assert (empty.path / "pyproject.toml").read_text() == before


TOKENS = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 4)

    def forward(self, ids):
        return self.embedding(ids)


class Functional(Net):
    def forward(self, ids):
        return nn.functional.embedding(ids, self.embedding.weight)


def inputs():
    import torch

    return torch.zeros(2, 3, dtype=torch.int64)
"""


@pytest.mark.needs_torch
@pytest.mark.parametrize("factory", ["tokens:Net", "tokens:Functional"])
def test_a_shape_for_an_embedding_says_how_tokens_are_written(
    empty: pytest.Pytester, capsys: Captured, factory: str
) -> None:
    empty.makepyfile(tokens=TOKENS)
    assert main(["init", factory, "--inputs", "2,3"]) == 4
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("modelbudget: --inputs 2,3: the forward pass failed ")
    written = line.partition("write the tensor as ")[2].partition(", with the size")[0]
    # What it says to write is right once it has the size of the vocabulary.
    assert main(["init", factory, "--inputs", written.replace("50257", "50")]) == 0
    written = (empty.path / "pyproject.toml").read_text()
    assert 'inputs = { shape = [2, 3], dtype = "int64", high = 50 }\n' in written
    assert "params = 210\n" in written  # 50·4 and 5 %


@pytest.mark.needs_torch
@pytest.mark.parametrize(
    ("given", "written"),
    [
        ('{ ids = { shape = [2, 3], dtype = "int64", high = 50 } }',) * 2,
        ("tokens:inputs", '"tokens:inputs"'),
        ('"tokens:inputs"',) * 2,
        ("[\n  { shape = [2, 3], dtype = 'int64', high = 50 },\n]",) * 2,
    ],
)
def test_inputs_are_written_as_they_were_given(empty: pytest.Pytester, given: str, written: str) -> None:
    empty.makepyfile(tokens=TOKENS)
    assert main(["init", "tokens:Net", "--inputs", given]) == 0
    assert f"inputs = {written}\n" in (empty.path / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            "nonsense",
            '--inputs "nonsense" is broken TOML: Invalid value; write a shape such as 1,3,224,224, or tensors',
        ),
        ("[1]\nparams = 3", "is broken TOML: "),
        ("[1], [2]", "is no value of TOML; write a shape"),
        ("{ ids = { shape = [1], dtyp = 1 } }", 'inputs.ids.dtyp: unknown key; did you mean "dtype"?'),
        ("[0]", "inputs"),
    ],
)
def test_wrong_inputs_are_one_line_without_a_line_of_a_file(
    empty: pytest.Pytester, capsys: Captured, inputs: str, message: str
) -> None:
    assert main(["init", "models:Net", "--inputs", inputs]) == 4
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert "the command line:" not in line


@pytest.mark.needs_torch
def test_a_model_can_be_given_a_name(empty: pytest.Pytester, capsys: Captured) -> None:
    assert main([*RESNET, "--name", "small"]) == 0
    assert main([*RESNET, "--name", "a b"]) == 0
    text = (empty.path / "pyproject.toml").read_text()
    assert "[tool.modelbudget.models.small]" in text
    assert '[tool.modelbudget.models."a b"]' in text
    assert main([*RESNET, "--name", "small"]) == 4
    assert 'has a model "small" already; --name gives this one another name' in capsys.readouterr().err
    assert main(["init", "a:b", "c:d", "--name", "small", "--inputs", "1"]) == 4
    assert "--name is for one model, and more are given" in capsys.readouterr().err


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


# Where an upper limit of 5000 stands, and where a lower one: for 58 parameters, and 3·48 = 144 multiply-accumulates.
BOTH = {
    "in one table": ("", "params = { max = 5000, min = 900 }", ""),
    "in units": ("", 'params = { max = "5K", min = "0.9K" }', ""),
    "for every model": ("[tool.modelbudget.limits]\nparams = { min = 900 }", "params = 5000", ""),
    "for every model's cases": ("[tool.modelbudget.limits]\nmacs = { min = 900 }", "macs = 5000", ""),
    "for a case": ("", "macs = { min = 900 }", "cases.two]\ninputs = [2, 4]\nmacs = 5000"),
    "for layers": ("", "", 'layers."hid*"]\nparams = { max = 5000, min = 900 }'),
}


@pytest.mark.needs_torch
@pytest.mark.parametrize("headroom", ["0%", "5%", "200%"])
@pytest.mark.parametrize("where", BOTH)
def test_no_upper_limit_is_lowered_below_the_lower_one(
    project: MakeProject, monkeypatch: pytest.MonkeyPatch, where: str, headroom: str
) -> None:
    defaults, own, inner = BOTH[where]
    below = f"[tool.modelbudget.models.perceptron.{inner}\n" if inner else ""
    made = project(f"{defaults}\n{PERCEPTRON.strip()}\n{own}\n{below}")
    monkeypatch.chdir(made.path)
    assert main(["tighten", "--headroom", headroom]) == 0
    settings = load(made.path / "pyproject.toml")
    assert settings is not None
    model = settings.models["perceptron"]
    limits = [model.limits, *(case.limits for case in model.cases.values()), *model.layers.values()]
    assert {limit.max for each in limits for limit in each.values()} - {None} == {900}


def test_nothing_to_tighten_is_one_line(empty: pytest.Pytester, capsys: Captured, tmp_path: Path) -> None:
    assert main(["tighten"]) == 4
    assert "there is no limit to lower" in capsys.readouterr().err
