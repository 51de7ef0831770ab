"""``[tool.modelbudget]``: what it means, and what is said of its mistakes."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as runs
from hypothesis import strategies as st

from pytest_modelbudget.errors import SettingsError
from pytest_modelbudget.profile.metrics import CASE_METRICS, LAYER_METRICS, METRICS
from pytest_modelbudget.settings.counters import BUILT_IN
from pytest_modelbudget.settings.inputs import Made, Positional, TensorSpec
from pytest_modelbudget.settings.limits import Growth, Limit, Place, parse_limit
from pytest_modelbudget.settings.pyproject import load, parse
from pytest_modelbudget.settings.reading import decode
from pytest_modelbudget.settings.schema import ModelSettings, Settings

FULL = """\
[tool.modelbudget]
counter = "thop"
baseline = "my/budgets"
uncounted = "warn"
collect = false

[tool.modelbudget.limits]
params = { growth = "2%" }
macs = { min = 5, growth = 10 }

[tool.modelbudget.models.alexnet]
factory = "torchvision.models:alexnet"
args = [1, "two"]
kwargs = { num_classes = 1000, day = 2020-01-02 }
inputs = [1, 3, 224, 224]
mode = "train"
dtype = "bfloat16"
run = "real"
params = "61.2M"
size = "245 MB"
macs = "720 MMACs"
peak_memory = { max = "300 MB", growth = { relative = "5%", absolute = "1 MB" } }

[tool.modelbudget.models.alexnet.cases.hd]
inputs = [1, 3, 512, 512]
macs = "3.8G"

[tool.modelbudget.models.alexnet.layers."classifier.*"]
params = "38M"
macs = { growth = "1%" }

[tool.modelbudget.models.tiny]
factory = "tiny:Net.build"
inputs = "tiny:inputs"
"""

MODEL = '[tool.modelbudget.models.alexnet]\nfactory = "torchvision.models:alexnet"\ninputs = [1, 3, 224, 224]\n'


def read(text: str) -> Settings:
    """The settings in ``text``."""
    settings = parse(text.encode(), Path("pyproject.toml"), "pyproject.toml")
    assert settings is not None
    return settings


def alexnet(text: str) -> ModelSettings:
    """The model of ``MODEL``, which ``text`` goes on."""
    return read(MODEL + text).models["alexnet"]


def complaints(text: str) -> list[str]:
    """The lines of the error that ``text`` gives."""
    with pytest.raises(SettingsError) as caught:
        read(text)
    return str(caught.value).splitlines()


def bare(limit: Limit) -> Limit:
    """``limit`` without its places."""
    return Limit(limit.max, limit.min, limit.growth)


# What it means


def test_the_table_itself() -> None:
    settings = read(FULL)
    assert settings.shown == "pyproject.toml"
    assert settings.counter == "thop"
    assert settings.baseline == "my/budgets"
    assert settings.uncounted == "warn"
    assert settings.collect is False
    assert list(settings.models) == ["alexnet", "tiny"]


def test_the_table_itself_when_nothing_is_written() -> None:
    settings = read("[tool.modelbudget]\n")
    assert (settings.counter, settings.baseline, settings.uncounted) == ("aten", "budgets", "error")
    assert settings.collect is True
    assert settings.models == {}


def test_a_model() -> None:
    model = read(FULL).models["alexnet"]
    assert model.name == "alexnet"
    assert model.factory == "torchvision.models:alexnet"
    assert model.args == (1, "two")
    assert model.kwargs == {"num_classes": 1000, "day": datetime.date(2020, 1, 2)}
    assert (model.mode, model.dtype, model.run) == ("train", "bfloat16", "real")


def test_a_model_when_only_what_is_needed_is_written() -> None:
    model = read(FULL).models["tiny"]
    assert (model.args, model.kwargs) == ((), {})
    assert (model.mode, model.dtype, model.run) == ("eval", None, "auto")
    assert model.layers == {}
    assert list(model.cases) == ["default"]
    assert model.cases["default"].inputs == Made("tiny:inputs")


def test_the_cases_begin_with_the_models_own_inputs() -> None:
    cases = read(FULL).models["alexnet"].cases
    assert {name: case.inputs for name, case in cases.items()} == {
        "default": Positional((TensorSpec((1, 3, 224, 224)),)),
        "hd": Positional((TensorSpec((1, 3, 512, 512)),)),
    }
    assert [case.name for case in cases.values()] == list(cases)


def test_limits_that_belong_to_the_model_stand_on_the_model_alone() -> None:
    model = read(FULL).models["alexnet"]
    assert {key: bare(limit) for key, limit in model.limits.items()} == {
        "params": Limit(max=61_200_000, growth=Growth(Fraction(1, 50))),
        "size": Limit(max=245_000_000),
    }
    assert set(model.cases["default"].limits) == set(model.cases["hd"].limits) == {"macs", "peak_memory"}


def test_a_case_takes_the_bounds_it_leaves_open_from_its_model_and_the_defaults() -> None:
    cases = read(FULL).models["alexnet"].cases
    assert bare(cases["default"].limits["macs"]) == Limit(max=720_000_000, min=5, growth=Growth(absolute=10))
    assert bare(cases["hd"].limits["macs"]) == Limit(max=3_800_000_000, min=5, growth=Growth(absolute=10))
    assert cases["hd"].limits["peak_memory"] == cases["default"].limits["peak_memory"]


def test_a_default_holds_for_a_model_that_sets_no_limits() -> None:
    model = read(FULL).models["tiny"]
    assert bare(model.limits["params"]) == Limit(growth=Growth(Fraction(1, 50)))
    assert bare(model.cases["default"].limits["macs"]) == Limit(min=5, growth=Growth(absolute=10))


def test_the_limits_of_layers_take_no_defaults() -> None:
    layers = read(FULL).models["alexnet"].layers
    assert {key: bare(limit) for key, limit in layers["classifier.*"].items()} == {
        "params": Limit(max=38_000_000),
        "macs": Limit(growth=Growth(Fraction(1, 100))),
    }


def test_each_bound_knows_where_it_is_written() -> None:
    model = read(FULL).models["alexnet"]
    assert model.limits["params"].places == {
        "max": Place("pyproject.toml", 19, "[tool.modelbudget.models.alexnet] params"),
        "growth": Place("pyproject.toml", 8, "[tool.modelbudget.limits] params"),
    }
    assert model.cases["hd"].limits["macs"].places == {
        "max": Place("pyproject.toml", 26, "[tool.modelbudget.models.alexnet.cases.hd] macs"),
        "min": Place("pyproject.toml", 9, "[tool.modelbudget.limits] macs"),
        "growth": Place("pyproject.toml", 9, "[tool.modelbudget.limits] macs"),
    }
    assert model.layers["classifier.*"]["params"].places == {
        "max": Place("pyproject.toml", 29, '[tool.modelbudget.models.alexnet.layers."classifier.*"] params')
    }


def test_a_bound_with_a_line_of_its_own_is_placed_there() -> None:
    limit = alexnet('[tool.modelbudget.models.alexnet.size]\nmin = "1 MB"\nmax = "2 MB"\n').limits["size"]
    assert limit.places == {
        "min": Place("pyproject.toml", 5, "[tool.modelbudget.models.alexnet] size"),
        "max": Place("pyproject.toml", 6, "[tool.modelbudget.models.alexnet] size"),
    }


def test_factory_inputs_and_patterns_know_where_they_are_written() -> None:
    model = read(FULL).models["alexnet"]
    assert str(model.place) == "pyproject.toml:12: [tool.modelbudget.models.alexnet] factory"
    assert str(model.cases["default"].place) == "pyproject.toml:15: [tool.modelbudget.models.alexnet] inputs"
    assert str(model.cases["hd"].place) == "pyproject.toml:25: [tool.modelbudget.models.alexnet.cases.hd] inputs"
    assert {pattern: str(place) for pattern, place in model.layer_places.items()} == {
        "classifier.*": 'pyproject.toml:28: [tool.modelbudget.models.alexnet.layers] "classifier.*"'
    }


@pytest.mark.parametrize("counter", BUILT_IN)
def test_each_counter_is_known(counter: str) -> None:
    assert read(f'[tool.modelbudget]\ncounter = "{counter}"\n').counter == counter


@pytest.mark.parametrize("name", ["resnet-50", "a b", "modèle", "a/b", "a.b", "v2:0"])
def test_a_model_may_have_any_name_that_an_id_can_hold(name: str) -> None:
    assert list(read(f'[tool.modelbudget.models."{name}"]\nfactory = "a:b"\ninputs = []\n').models) == [name]


@pytest.mark.parametrize("key", METRICS)
def test_each_table_takes_the_metrics_that_have_a_meaning_there(key: str) -> None:
    for table, metrics in (
        ("[tool.modelbudget.limits]\n", list(METRICS)),
        (MODEL, list(METRICS)),
        (MODEL + "[tool.modelbudget.models.alexnet.cases.hd]\ninputs = [1]\n", CASE_METRICS),
        (MODEL + '[tool.modelbudget.models.alexnet.layers."*"]\n', LAYER_METRICS),
    ):
        if key in metrics:
            assert read(f"{table}{key} = 5\n")
        else:
            assert len(complaints(f"{table}{key} = 5\n")) == 1


# Limits


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        (5, Limit(max=5)),
        ("5M", Limit(max=5_000_000)),
        ({"max": "5M"}, Limit(max=5_000_000)),
        ({"min": 0}, Limit(min=0)),
        ({"max": 5, "min": 5}, Limit(max=5, min=5)),
        ({"growth": "2%"}, Limit(growth=Growth(relative=Fraction(1, 50)))),
        ({"growth": "0%"}, Limit(growth=Growth(relative=Fraction(0)))),
        ({"growth": "2"}, Limit(growth=Growth(absolute=2))),
        ({"growth": 2}, Limit(growth=Growth(absolute=2))),
        ({"growth": "2K"}, Limit(growth=Growth(absolute=2000))),
        ({"growth": {"relative": "5%"}}, Limit(growth=Growth(relative=Fraction(1, 20)))),
        ({"growth": {"absolute": "1K"}}, Limit(growth=Growth(absolute=1000))),
        (
            {"max": 9, "growth": {"relative": "5%", "absolute": 1}},
            Limit(max=9, growth=Growth(relative=Fraction(1, 20), absolute=1)),
        ),
    ],
)
def test_a_limit_is_a_quantity_or_a_table_of_bounds(value: object, limit: Limit) -> None:
    assert parse_limit(value, METRICS["params"]) == limit


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, 'must be an integer or a string such as "61.2M"'),
        (5.0, "not a bare float (5.0)"),
        ("5%", '"5%" is a percentage, which only a relative growth takes'),
        ({}, "an empty table limits nothing; write max, min or growth"),
        ({"max": 1, "min": 2}, "max 1 is less than min 2; no model can be within both"),
        ({"maximum": 1}, "maximum: unknown key; did you mean"),
        ({"most": 1}, "most: unknown key; known: max, min and growth"),
        ({"max": "5%"}, 'max: "5%" is a percentage'),
        ({"min": -1}, "min: -1 is negative"),
        ({"growth": {}}, "growth: an empty table limits nothing; write relative or absolute"),
        ({"growth": 0.02}, "growth: must be an integer"),
        ({"growth": "-2%"}, 'growth: "-2%" is negative'),
        ({"growth": "two%"}, 'growth: "two%" is no percentage'),
        ({"growth": {"relativ": "5%"}}, 'growth.relativ: unknown key; did you mean "relative"?'),
        ({"growth": {"relative": 5}}, 'growth.relative: must be a percentage such as "5%", not 5'),
        ({"growth": {"relative": "5"}}, 'growth.relative: "5" is no percentage; write one as "5%"'),
        ({"growth": {"absolute": "5%"}}, 'growth.absolute: "5%" is a percentage'),
    ],
)
def test_what_is_no_limit_is_refused_in_plain_words(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_limit(value, METRICS["params"])
    assert message in str(caught.value)


# Mistakes

HEAD = "pyproject.toml:"
ALEXNET = "[tool.modelbudget.models.alexnet]"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "[tool.modelbudget]\ncountr = 1",
            '2: [tool.modelbudget] countr: unknown key; did you mean "counter"?',
        ),
        (
            "[tool.modelbudget]\nzzz = 1",
            "2: [tool.modelbudget] zzz: unknown key; known: counter, baseline, uncounted, collect, limits and models",
        ),
        (
            '[tool.modelbudget]\ncounter = "atne"',
            (
                '2: [tool.modelbudget] counter: must be "aten", "thop", "ptflops" or "fvcore", not "atne"; '
                'did you mean "aten"?'
            ),
        ),
        (
            "[tool.modelbudget]\nuncounted = true",
            '2: [tool.modelbudget] uncounted: must be "error", "warn" or "ignore", not true',
        ),
        ("[tool.modelbudget]\ncollect = 1", "2: [tool.modelbudget] collect: must be true or false, not 1"),
        (
            '[tool.modelbudget]\nbaseline = " "',
            '2: [tool.modelbudget] baseline: must be the path of a folder, such as "budgets"; not " "',
        ),
        ("[tool.modelbudget]\nbaseline = 5", "2: [tool.modelbudget] baseline: must be a string, not 5"),
        (
            "[tool.modelbudget]\nparams = 5",
            "2: [tool.modelbudget] params: unknown key; a limit for every model is set in [tool.modelbudget.limits]",
        ),
        (
            "[tool.modelbudget.alexnet]\nparams = 5",
            "1: [tool.modelbudget] alexnet: unknown key; a model is written [tool.modelbudget.models.alexnet]",
        ),
        ("[tool]\nmodelbudget = 5", "2: [tool.modelbudget]: must be a table, not 5"),
        ("[[tool.modelbudget]]", "1: [tool.modelbudget]: must be a table, not a list"),
        ("[tool.modelbudget]\nlimits = 5", "2: [tool.modelbudget] limits: must be a table, not 5"),
        (
            "[tool.modelbudget.limits]\nparms = 5",
            '2: [tool.modelbudget.limits] parms: unknown metric; did you mean "params"?',
        ),
        (
            "[tool.modelbudget.limits]\nparams = {}",
            "2: [tool.modelbudget.limits] params: an empty table limits nothing; write max, min or growth",
        ),
        ("[tool.modelbudget]\nmodels = 5", "2: [tool.modelbudget] models: must be a table, not 5"),
        ("[tool.modelbudget.models]\na = 5", "2: [tool.modelbudget.models] a: must be a table, not 5"),
    ],
)
def test_a_mistake_outside_the_models(text: str, complaint: str) -> None:
    assert complaints(text) == [HEAD + complaint]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("parms = 5", f'4: {ALEXNET} parms: unknown key; did you mean "params"?'),
        (
            'macs = "8 GFLOPs"',
            (
                f'4: {ALEXNET} macs: "8 GFLOPs": FLOPs is the unit of flops; macs is written in MACs, '
                'such as "61.2M" or "61.2M MACs"'
            ),
        ),
        (
            "size = 1.5",
            f'4: {ALEXNET} size: must be an integer or a string such as "245 MB", not a bare float (1.5)',
        ),
        (
            "params = { max = 1, min = 2 }",
            f"4: {ALEXNET} params: max 1 is less than min 2; no model can be within both",
        ),
        (
            'params.growth.relativ = "5%"',
            f'4: {ALEXNET} params.growth.relativ: unknown key; did you mean "relative"?',
        ),
        (
            f"[{ALEXNET[1:-1]}.params]\nmax = 1\ngrowth = 0.5",
            (
                f'6: {ALEXNET} params.growth: must be an integer or a string such as "61.2M" or "61.2M params", '
                "not a bare float (0.5)"
            ),
        ),
        ('mode = "evla"', f'4: {ALEXNET} mode: must be "eval" or "train", not "evla"; did you mean "eval"?'),
        (
            'dtype = "int8"',
            f'4: {ALEXNET} dtype: must be "float32", "float16", "bfloat16" or "float64", not "int8"',
        ),
        ("run = []", f'4: {ALEXNET} run: must be "auto", "abstract" or "real", not a list'),
        ('args = "abc"', f'4: {ALEXNET} args: must be a list, not "abc"'),
        ("args = { a = 1 }", f"4: {ALEXNET} args: must be a list, not a table"),
        ("kwargs = [1]", f"4: {ALEXNET} kwargs: must be a table, not a list"),
        ("cases = [1]", f"4: {ALEXNET} cases: must be a table, not a list"),
        ("cases.hd = [1]", f"4: [{ALEXNET[1:-1]}.cases] hd: must be a table, not a list"),
        (
            "cases.hd.macs = 5",
            f"4: [{ALEXNET[1:-1]}.cases.hd] inputs: is missing; write inputs = [1, 3, 224, 224]",
        ),
        (
            f"[{ALEXNET[1:-1]}.cases.hd]\ninputs = [1]\nparams = 5",
            f"6: [{ALEXNET[1:-1]}.cases.hd] params: params is the same for every case: set it in {ALEXNET}",
        ),
        (
            f"[{ALEXNET[1:-1]}.cases.hd]\ninputs = [[1], {{ shape = [0] }}]",
            f"5: [{ALEXNET[1:-1]}.cases.hd] inputs[1].shape[0]: is 0; a dimension is at least 1",
        ),
        (
            f"[{ALEXNET[1:-1]}.cases.default]\ninputs = [1]",
            (
                f"4: [{ALEXNET[1:-1]}.cases] default: "
                '"default" is the case of the model\'s own inputs; write them, and its limits, there'
            ),
        ),
        (
            f'[{ALEXNET[1:-1]}.cases."a@b"]\ninputs = [1]',
            (
                f'4: [{ALEXNET[1:-1]}.cases] "a@b": '
                'a name cannot hold "@", which has a meaning of its own in the id of a test'
            ),
        ),
        (
            f'[{ALEXNET[1:-1]}.layers."f.*"]\npeak_memory = 5',
            (
                f'5: [{ALEXNET[1:-1]}.layers."f.*"] peak_memory: '
                f"peak_memory has no meaning for one layer: set it in {ALEXNET}"
            ),
        ),
        (
            f'[{ALEXNET[1:-1]}.layers."f.*"]\nmac = 5',
            f'5: [{ALEXNET[1:-1]}.layers."f.*"] mac: unknown metric; did you mean "macs"?',
        ),
        (
            f'[{ALEXNET[1:-1]}.layers."f.*"]',
            f'4: [{ALEXNET[1:-1]}.layers] "f.*": limits nothing; write a metric, such as params = "38M"',
        ),
        (
            f'[{ALEXNET[1:-1]}.layers.""]\nparams = 5',
            f'4: [{ALEXNET[1:-1]}.layers] "": an empty pattern matches no layer; write one such as "classifier.*"',
        ),
        (
            f"[{ALEXNET[1:-1]}.layers.classifier.0]\nparams = 5",
            (
                f"4: [{ALEXNET[1:-1]}.layers.classifier] 0: unknown metric; "
                'a pattern with dots is written in quotes, such as layers."classifier.0"'
            ),
        ),
        (
            f"[{ALEXNET[1:-1]}.limits]\nparams = 5",
            f"4: {ALEXNET} limits: unknown key; the metrics are set in the table itself",
        ),
        (
            f'[{ALEXNET[1:-1]}.v2]\nfactory = "a:b"\ninputs = []',
            f'4: {ALEXNET} v2: unknown key; a name with dots is written in quotes, such as models."alexnet.v2"',
        ),
    ],
)
def test_a_mistake_in_a_model(text: str, complaint: str) -> None:
    assert complaints(MODEL + text) == [HEAD + complaint]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ('""', "a name is needed, and this one is empty"),
        ('" "', "a name is needed, and this one is empty"),
        ('"a "', "a name cannot begin or end with a space"),
        ('"a::b"', 'a name cannot hold "::", which has a meaning of its own in the id of a test'),
        ('"a@b"', 'a name cannot hold "@", which has a meaning of its own in the id of a test'),
        ('"a[b]"', 'a name cannot hold "[", which has a meaning of its own in the id of a test'),
        (r'"a\nb"', "a name cannot hold control characters"),
    ],
)
def test_a_name_that_an_id_cannot_hold(name: str, reason: str) -> None:
    text = f'[tool.modelbudget.models.{name}]\nfactory = "a:b"\ninputs = []\n'
    assert complaints(text) == [f"pyproject.toml:1: [tool.modelbudget.models] {name}: {reason}"]


@pytest.mark.parametrize("factory", ["alexnet", "a:", ":b", "a b:c", "a:b:c", "a/b.py:c", "a:b()", ""])
def test_a_factory_that_is_no_module_and_callable(factory: str) -> None:
    text = f'[tool.modelbudget.models.a]\nfactory = "{factory}"\ninputs = []\n'
    assert complaints(text) == [
        (
            'pyproject.toml:2: [tool.modelbudget.models.a] factory: must read "module:callable", '
            f'such as "torchvision.models:alexnet"; not "{factory}"'
        )
    ]


def test_what_a_model_lacks_is_told_at_its_header() -> None:
    assert complaints("\n[tool.modelbudget.models.a]\n") == [
        'pyproject.toml:2: [tool.modelbudget.models.a] factory: is missing; write factory = "module:callable"',
        "pyproject.toml:2: [tool.modelbudget.models.a] inputs: is missing; write inputs = [1, 3, 224, 224]",
    ]


def test_a_misspelt_key_is_not_told_as_missing_too() -> None:
    text = '[tool.modelbudget.models.a]\nfactry = "a:b"\ninputs = []\n'
    assert complaints(text) == [
        'pyproject.toml:2: [tool.modelbudget.models.a] factry: unknown key; did you mean "factory"?'
    ]


def test_several_mistakes_are_told_in_the_order_of_the_file() -> None:
    text = (
        "[tool.modelbudget.models.b]\nmode = 5\n" + MODEL + "parms = 5\n[tool.modelbudget]\nuncounted = 5\n"
        '[tool.modelbudget.models.c]\nfactory = "a:b"\ninputs = [0]\n'
    )
    assert [line.split(": ")[:2] for line in complaints(text)] == [
        ["pyproject.toml:1", "[tool.modelbudget.models.b] factory"],
        ["pyproject.toml:1", "[tool.modelbudget.models.b] inputs"],
        ["pyproject.toml:2", "[tool.modelbudget.models.b] mode"],
        ["pyproject.toml:6", "[tool.modelbudget.models.alexnet] parms"],
        ["pyproject.toml:8", "[tool.modelbudget] uncounted"],
        ["pyproject.toml:11", "[tool.modelbudget.models.c] inputs[0]"],
    ]


def test_control_characters_of_a_key_do_not_reach_the_terminal() -> None:
    assert complaints('[tool.modelbudget]\n"a\\u001b[1m\\u009b\\u2028" = 1\n') == [
        (
            r'pyproject.toml:2: [tool.modelbudget] "a\u001b[1m\u009b\u2028": unknown key; '
            "known: counter, baseline, uncounted, collect, limits and models"
        )
    ]


def test_bounds_that_exclude_each_other_once_merged_are_told_once_with_both_places() -> None:
    text = MODEL + "macs = 9\ncases.hd.inputs = []\n[tool.modelbudget.limits]\nmacs = { min = 10 }\n"
    assert complaints(text) == [
        (
            "pyproject.toml:4: [tool.modelbudget.models.alexnet] macs: max 9 is less than min 10; "
            "no model can be within both (max: pyproject.toml:4, min: pyproject.toml:7)"
        )
    ]


# Files


def test_a_file_without_the_table_has_no_settings(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[project]\ndependencies = ["pytest-modelbudget"]\n')
    assert load(file) is None


def test_a_file_that_never_names_the_table_is_not_parsed(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_bytes(b"broken = [ \xff")
    assert load(file) is None


def test_a_file_is_shown_as_told(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text("[tool.modelbudget]\ncollect = 1\n")
    with pytest.raises(SettingsError, match=r"^libs/a/pyproject\.toml:2: "):
        load(file, "libs/a/pyproject.toml")


def test_a_file_is_shown_by_its_name_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(FULL)
    settings = load(file)
    assert settings is not None
    assert (settings.file, settings.shown) == (file, "pyproject.toml")


def test_a_byte_order_mark_is_accepted() -> None:
    settings = parse(b"\xef\xbb\xbf" + FULL.encode(), Path("pyproject.toml"), "pyproject.toml")
    assert settings is not None
    assert list(settings.models) == ["alexnet", "tiny"]


def test_windows_line_ends_are_accepted() -> None:
    limit = read(FULL.replace("\n", "\r\n")).models["alexnet"].limits["size"]
    assert limit.places == {"max": Place("pyproject.toml", 20, "[tool.modelbudget.models.alexnet] size")}


def test_a_file_that_is_not_utf_8() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(b"[tool.modelbudget]\nbaseline = '\xe9'\n", Path("pyproject.toml"), "pyproject.toml")
    assert str(caught.value) == "pyproject.toml:2: is not UTF-8 (byte 0xe9); save the file as UTF-8"


def test_broken_toml() -> None:
    assert complaints("[tool.modelbudget]\ncounter = \n") == [
        "pyproject.toml:2: broken TOML: Invalid value (column 11)"
    ]


def test_broken_toml_at_the_end_of_the_file() -> None:
    (line,) = complaints("[tool.modelbudget]\nargs = [")
    assert line.startswith("pyproject.toml: broken TOML: ")
    assert "end of document" in line


def test_a_key_written_twice_is_broken_toml() -> None:
    (line,) = complaints("[tool.modelbudget]\ncollect = true\ncollect = true\n")
    assert line.startswith("pyproject.toml:3: broken TOML: ")


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 50_000], ids=["digits", "brackets"])
def test_toml_that_no_parser_can_hold(value: str) -> None:
    (line,) = complaints(f"[tool.modelbudget]\ncollect = {value}\n")
    assert line.startswith("pyproject.toml")
    assert len(line) < 200


def test_a_tool_table_that_is_none() -> None:
    assert complaints('tool = "modelbudget"\n') == ['pyproject.toml: [tool] must be a table, not "modelbudget"']


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^pyproject\.toml: cannot be read: "):
        load(tmp_path, "pyproject.toml")


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^pyproject\.toml: cannot be read: "):
        load(tmp_path / "pyproject.toml")


# Whatever is written

words = st.sampled_from(["max", "min", "growth", "2%", "5M", "a:b", "eval", "shape", "hd", "params", "default"])
scalars = st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | words
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words | st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


def tables(required: dict[str, st.SearchStrategy[Any]], *optional: str) -> st.SearchStrategy[Any]:
    """Tables with keys that mean something, mostly, and values that may mean nothing."""
    fixed = st.fixed_dictionaries(required, optional=dict.fromkeys(optional, values))
    extra: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.dictionaries(
        words | st.text(max_size=3), values, max_size=1
    )
    return st.builds(lambda table, extra: {**extra, **table}, fixed, extra)


names = st.text(max_size=4) | words
good = {"factory": st.just("a:b"), "inputs": st.just([1, 3]) | values}
cases = tables({"inputs": st.just([1]) | values}, *METRICS)
models = tables(
    {
        **good,
        "cases": st.dictionaries(names, cases, max_size=2) | values,
        "layers": st.dictionaries(names, tables({}, *METRICS), max_size=2) | values,
    },
    *METRICS,
    "args",
    "kwargs",
    "mode",
    "dtype",
    "run",
)
roots = values | tables(
    {"models": st.dictionaries(names, models | values, max_size=2), "limits": tables({}, *METRICS) | values},
    "counter",
    "collect",
)


def outcome(read: Callable[[], Settings | None]) -> Settings | str | None:
    """What ``read`` gives, or the message of its error."""
    try:
        return read()
    except SettingsError as error:
        return str(error)


@runs(max_examples=150, deadline=None, database=None)
@given(roots)
def test_whatever_the_table_holds_gives_settings_or_a_message_of_whole_lines(table: object) -> None:
    result = outcome(lambda: decode(table, "", Path("pyproject.toml"), "pyproject.toml"))
    lines = result.splitlines() if isinstance(result, str) else []
    assert isinstance(result, Settings) or lines
    assert [line for line in lines if not line.startswith("pyproject.toml: [tool.modelbudget")] == []


@runs(max_examples=200, deadline=None, database=None)
@given(st.binary() | st.text().map(str.encode))
def test_whatever_bytes_a_file_holds_give_none_or_a_message(data: bytes) -> None:
    result = outcome(lambda: parse(b"# modelbudget\n" + data, Path("pyproject.toml"), "pyproject.toml"))
    assert result is None or str(result).startswith("pyproject.toml")
