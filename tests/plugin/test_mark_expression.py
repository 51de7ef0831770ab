"""What an expression of `pytest -m` asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbudget.plugin.mark_expression import asks_for, selects

ASKING = [
    "modelbudget",
    "(modelbudget)",
    "modelbudget and not slow",
    "slow and modelbudget",
    "slow or modelbudget",
    "not (slow or not modelbudget)",
    "not slow and modelbudget and gpu and not network",
    "modelbudget(params='62M')",
]
NOT_ASKING = [
    "",
    "slow",
    "not modelbudget",
    "not(modelbudget)",
    "not (modelbudget)",
    "not  modelbudget",
    "not (slow or modelbudget)",
    "not (modelbudget or slow)",
    "slow and not modelbudget",
    "modelbudget_of_ours",
    "not modelbudget_of_ours",
    "modelbudget and",
    "modelbudget and not modelbudget",
]


@pytest.mark.parametrize("expression", ASKING)
def test_it_asks_for_what_it_selects_by_its_marker(expression: str) -> None:
    assert asks_for(expression, "modelbudget")


@pytest.mark.parametrize("expression", NOT_ASKING)
def test_it_does_not_ask_for_what_it_leaves_out_or_does_not_name(expression: str) -> None:
    assert not asks_for(expression, "modelbudget")


ATOMS = st.sampled_from(["modelbudget", "slow", "gpu"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: (
        inner.map("not ({})".format)
        | st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: "({} {} {})".format(*parts))
    ),
    max_leaves=6,
)


@given(EXPRESSIONS)
def test_it_is_asked_where_the_marker_alone_makes_a_test_selected(expression: str) -> None:
    # The grammar is that of Python's own operators.
    code = compile(expression, "", "eval")
    others = [{"slow": slow, "gpu": gpu} for slow in (False, True) for gpu in (False, True)]
    expected = any(
        eval(code, {**each, "modelbudget": True}) and not eval(code, {**each, "modelbudget": False}) for each in others
    )
    assert asks_for(expression, "modelbudget") == expected
    for each in others:
        carried = {name for name, is_carried in each.items() if is_carried}
        assert selects(expression, carried) == eval(code, {**each, "modelbudget": False})
