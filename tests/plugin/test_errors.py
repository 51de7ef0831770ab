"""What is wrong is said in one message: exit code 4 for the file, an ERROR item for what shows at run time."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import PERCEPTRON, MakeProject

LIMITED = f"{PERCEPTRON}params = 58\n"
GOOD = '[tool.modelbudget.models.good]\nfactory = "models:Perceptron"\ninputs = [3, 4]\nparams = 58\n'


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("[tool.modelbudget]\nconter = 'aten'\n", '*:2: [[]tool.modelbudget[]] conter: unknown key; *"counter"?'),
        (f"{PERCEPTRON}parms = 58\n", '*:4: [[]tool.modelbudget.models.perceptron[]] parms: unknown key; *"params"?'),
        (f"{PERCEPTRON}params = 58.0\n", "*models.perceptron[]] params: *bare float*"),
        (f"{PERCEPTRON}macs = '1 GFLOPs'\n", "*models.perceptron[]] macs: *FLOPs is the unit of flops*"),
        (f"{PERCEPTRON}params = -1\n", "*models.perceptron[]] params: *negative*"),
        (f"{PERCEPTRON}params = '1X'\n", "*models.perceptron[]] params: *unknown suffix*"),
        ("[tool.modelbudget.models.a]\ninputs = [1]\n", "*models.a[]]*factory*"),
        ("[tool.modelbudget.models.a]\nfactory = 'a:b'\n", "*models.a[]]*inputs*"),
    ],
)
def test_a_mistake_in_the_file_ends_the_run_before_it_starts(project: MakeProject, settings: str, message: str) -> None:
    result = project(settings, "raise RuntimeError('imported')").runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(f"ERROR: {message}")
    for output in (result.stdout, result.stderr):
        output.no_fnmatch_line("*Traceback*")
        output.no_fnmatch_line("*INTERNALERROR*")
        output.no_fnmatch_line("*imported*")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[tool.modelbudget]\nconter = 'aten'\n", "2: [[]tool.modelbudget[]] conter: unknown key;*"),
        ("[tool.modelbudget]\nbaseline = \n", "2: broken TOML: Invalid value*"),
    ],
)
def test_a_mistake_in_a_package_below_ends_the_run_too(project: MakeProject, content: str, message: str) -> None:
    made = project(LIMITED)
    made.mkdir("package").joinpath("pyproject.toml").write_text(content)
    for args in ([], ["-n", "2"]):
        result = made.runpytest_subprocess(*args)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stdout.fnmatch_lines(
            ["* ERROR collecting package/pyproject.toml *", f"package/pyproject.toml:{message}"]
        )
        result.stdout.no_fnmatch_line("*Traceback*")


def test_broken_toml_ends_the_run(project: MakeProject) -> None:
    made = project("[tool.modelbudget]\nbaseline = \n")
    result = made.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("ERROR: *pyproject.toml: Invalid value (at *")


def test_an_unknown_counter_on_the_command_line_is_a_usage_error(project: MakeProject) -> None:
    result = project(LIMITED).runpytest("--modelbudget-counter", "ptflop")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines('*--modelbudget-counter: no counter is called "ptflop"; did you mean "ptflops"?*')


@pytest.mark.needs_torch
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (LIMITED.replace("models:", "modles:"), "*factory: modles:Perceptron could not be imported: ModuleNotFound*"),
        (
            LIMITED.replace(":Perceptron", ":Percepton"),
            '*models:Percepton could not be imported: "models" has no "Percepton"; did you mean "Perceptron"?',
        ),
        (LIMITED.replace(":Perceptron", ":__name__"), "*models:__name__ is a str, not a callable"),
        (f"{LIMITED}kwargs = {{ depth = 2 }}\n", "*models:Perceptron could not be built: TypeError: *depth*"),
        (LIMITED.replace("models:Perceptron", "builtins:dict"), "*builtins:dict gave a dict, not an nn.Module"),
        (
            LIMITED.replace("[3, 4]", "[3, 5]"),
            "*inputs: the forward pass failed in hidden (Linear) on float32 3×5: RuntimeError: *",
        ),
        (LIMITED.replace("[3, 4]", "{ y = [3, 4] }"), "*inputs: the forward pass failed on y=float32 3×4: TypeError*"),
        (LIMITED.replace("[3, 4]", "'builtins:dict'"), "*the forward pass failed on no inputs: TypeError*"),
        (LIMITED.replace("[3, 4]", "'models:batch'"), '*inputs: models:batch could not be imported: *has no "batch"*'),
        (LIMITED.replace("[3, 4]", "'models:Perceptron'"), "*inputs: models:Perceptron gave no inputs: expected a *"),
        (LIMITED.replace("[3, 4]", "'builtins:object'"), "*builtins:object gave no inputs: expected a tensor*"),
        (
            f"{LIMITED}[tool.modelbudget.models.perceptron.layers.hiden]\nparams = 1\n",
            '*layers[]] hiden: the pattern "hiden" matches no layer of "perceptron"; did you mean "hidden"?',
        ),
    ],
)
def test_what_shows_at_run_time_is_an_error_of_its_item(project: MakeProject, settings: str, message: str) -> None:
    result = project(settings + GOOD).runpytest()
    result.assert_outcomes(errors=1, passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["could not measure: pyproject.toml:*", "ERROR pyproject.toml::perceptron - could*"])
    result.stdout.fnmatch_lines(f"could not measure: pyproject.toml:{message}")
    result.stdout.no_fnmatch_line("*pytest_modelbudget/*")
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


@pytest.mark.needs_torch
def test_an_exception_of_the_factory_is_shown_from_its_first_frame(project: MakeProject) -> None:
    broken = "def build():\n    return helper()\n\ndef helper():\n    raise ValueError('no such width')\n"
    result = project(LIMITED.replace("models:Perceptron", "broken:build"), broken=broken).runpytest()
    result.stdout.fnmatch_lines(
        [
            "could not measure: pyproject.toml:2: * broken:build could not be built: ValueError: no such width",
            "Traceback (most recent call last):",
            '  File "*broken.py", line 2, in build',
            '  File "*broken.py", line 5, in helper',
            "ValueError: no such width",
        ],
        consecutive=False,
    )
    result.stdout.no_fnmatch_line("*pytest_modelbudget*.py*")


@pytest.mark.needs_torch
def test_a_factory_that_exits_is_an_error_of_its_item(project: MakeProject) -> None:
    leaving = "import sys\n\ndef build():\n    sys.exit(3)\n"
    result = project(LIMITED.replace("models:Perceptron", "leaving:build") + GOOD, leaving=leaving).runpytest()
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines("could not measure: * leaving:build could not be built: SystemExit: 3")


OWN_OPERATION = """
import torch
from torch import nn

@torch.library.custom_op("mine::scale", mutates_args=())
def scale(x: torch.Tensor) -> torch.Tensor:
    return x * 2

@scale.register_fake
def _(x):
    return torch.empty_like(x)

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()
    def forward(self, x):
        return torch.ops.mine.scale(self.inner(x))
"""


@pytest.mark.needs_torch
def test_an_operation_without_a_formula_is_an_error_that_says_how_to_register_one(project: MakeProject) -> None:
    settings = LIMITED.replace("models:Perceptron", "own:Scaled")
    result = project(settings, own=OWN_OPERATION).runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "could not measure: *",
            "  mine.scale: 1 call, in the model itself",
            "  register_formula(torch.ops.mine.scale, *",
            'or set uncounted = "warn" in [[]tool.modelbudget[]].',
        ]
    )


@pytest.mark.needs_torch
@pytest.mark.parametrize(("policy", "warnings"), [("warn", 1), ("ignore", 0)])
def test_the_settings_may_say_to_go_on_without_a_formula(project: MakeProject, policy: str, warnings: int) -> None:
    settings = f'[tool.modelbudget]\nuncounted = "{policy}"\n' + LIMITED.replace("models:Perceptron", "own:Scaled")
    result = project(settings, own=OWN_OPERATION).runpytest_subprocess()
    result.assert_outcomes(passed=1, warnings=warnings)


@pytest.mark.needs_torch
def test_a_registered_formula_counts(project: MakeProject) -> None:
    registered = OWN_OPERATION + (
        "from pytest_modelbudget import register_formula\n"
        "register_formula(torch.ops.mine.scale, lambda x, *, out: 7 * x.shape[0])\n"
    )
    settings = LIMITED.replace("models:Perceptron", "own:Scaled").replace("params = 58", "macs = 20")
    result = project(settings, own=registered).runpytest_subprocess()
    # 7 a row, 3 rows.
    result.stdout.fnmatch_lines("FAILED * - macs 21 > 20")
