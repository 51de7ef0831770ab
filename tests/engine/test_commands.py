"""``modelbudget profile`` and ``modelbudget crosscheck`` on real networks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

from pytest_modelbudget import Profile, measure
from pytest_modelbudget.commands.cli import main

Captured = pytest.CaptureFixture[str]
ALEXNET = ["torchvision.models:alexnet", "--inputs", "1,3,224,224"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")


def rows(capsys: Captured) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_layer_table_has_the_rows_of_pytorch_model_summary(capsys: Captured) -> None:
    summary: Any = pytest.importorskip("pytorch_model_summary")
    table = summary.summary(models.alexnet(), torch.zeros(1, 3, 224, 224))
    theirs = [
        (kind, shape.replace(", ", "×"), params, trainable)
        for kind, shape, params, trainable in re.findall(
            r"^\s*(\w+)-\d+\s+\[([\d, ]+)\]\s+([\d,]+)\s+([\d,]+)$", table, re.MULTILINE
        )
    ]
    assert main(["profile", *ALEXNET]) == 0
    ours = []
    for words in rows(capsys):
        if words and words[0].startswith(("features.", "avgpool", "classifier.")):
            kind, shape, params, *rest = words[1:]
            trainable = rest[1] if params != "0" else rest[0]
            ours.append((kind, shape, params, trainable))
    assert ours == theirs
    assert len(ours) == 21


def test_it_ends_with_the_totals(capsys: Captured) -> None:
    assert main(["profile", *ALEXNET]) == 0
    text = capsys.readouterr().out
    assert "params       61,100,840: 61,100,840 trainable, 0 frozen" in text
    assert "MACs         714,188,480, which are 1,428,376,960 FLOPs; counted with aten" in text


def test_layers_below_a_depth_are_part_of_their_parent(capsys: Captured) -> None:
    assert main(["profile", *ALEXNET, "--depth", "1", "--sort", "params"]) == 0
    told = [words[:1] + words[3:5] for words in rows(capsys)[2:5]]
    assert told == [["classifier", "58,631,144", "96.0"], ["features", "2,469,696", "4.0"], ["avgpool", "0", "0"]]


def test_a_tree_has_parents_too(capsys: Captured) -> None:
    assert main(["profile", *ALEXNET, "--tree"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("features ")
    assert lines[3].startswith("  0 ")


def test_json_is_the_profile(capsys: Captured) -> None:
    assert main(["profile", *ALEXNET, "--json"]) == 0
    read = Profile.from_json(capsys.readouterr().out)
    assert read.totals() == measure(models.alexnet, (1, 3, 224, 224)).totals()


def test_another_counter(capsys: Captured) -> None:
    assert main(["profile", *ALEXNET, "--counter", "thop"]) == 0
    assert "MACs         714,206,912, which are 1,428,413,824 FLOPs; counted with thop" in capsys.readouterr().out


@pytest.mark.parametrize("inputs", ["1x3x224x224", "(1, 3, 224, 224)", "[1, 3, 224, 224]", "[[1, 3, 224, 224]]"])
def test_inputs_are_written_in_many_ways(inputs: str, capsys: Captured) -> None:
    assert main(["profile", ALEXNET[0], "--inputs", inputs, "--depth", "1"]) == 0
    assert "714,188,480" in capsys.readouterr().out


def test_a_model_of_pyproject_toml_and_its_cases(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.modelbudget.models.net]\nfactory = "torchvision.models:alexnet"\ninputs = [1, 3, 224, 224]\n'
        "[tool.modelbudget.models.net.cases.hd]\ninputs = [1, 3, 512, 512]\n"
    )
    cases = {"net": "714,188,480", "net@hd": "3,707,333,312", "net --inputs 8,3,224,224": "5,713,507,840"}
    for arguments, macs in cases.items():
        assert main(["profile", *arguments.split(), "--depth", "1"]) == 0
        assert macs in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["torchvision.models:alexnet"], "torchvision.models:alexnet needs --inputs, such as --inputs 1,3,224,224"),
        (["torchvision.models:alexnett", "--inputs", "1,3,224,224"], 'did you mean "alexnet"?'),
        (["alexnet"], '"alexnet" is no model: no pyproject.toml here has a [tool.modelbudget] table'),
        ([*ALEXNET[:2], "1,3,0,224"], "inputs"),
        ([*ALEXNET[:2], "nonsense"], "broken TOML"),
        ([*ALEXNET, "--depth", "0"], "'0' is no number of levels"),
        ([*ALEXNET, "--sort", "flop"], 'did you mean "flops"?'),
        ([*ALEXNET, "--sort", "macs", "--tree"], "choose --tree or --sort"),
        ([*ALEXNET[:2], "1,3,8,8"], "the forward pass failed"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str) -> None:
    command = [
        sys.executable,
        "-c",
        "from pytest_modelbudget.commands.cli import main; raise SystemExit(main())",
        "profile",
    ]
    result = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 4
    [line] = result.stderr.splitlines()
    assert message in line


def test_crosscheck_says_in_words_what_thop_misses_of_attention(capsys: Captured) -> None:
    assert main(["crosscheck", "torchvision.models:vit_b_16", "--inputs", "1,3,224,224"]) == 0
    text = capsys.readouterr().out
    assert "thop counts 6,277,573,632 MACs fewer than aten:" in text
    # 12 layers: 2·197²·768 MACs of products, 4·197·768² of projections.
    products = 12 * 2 * 197**2 * 768
    assert f"  -{products:,}  does not see the attention products (queries with keys" in text
    assert f"  -{12 * 4 * 197 * 768**2:,}  does not see the projections of attention modules, in 12 layers" in text


def test_crosscheck_of_alexnet(capsys: Captured) -> None:
    assert main(["crosscheck", *ALEXNET]) == 0
    text = capsys.readouterr().out
    told = [line.split() for line in text.splitlines()[1:5]]
    assert [words[:2] for words in told[:2]] == [["aten", "714,188,480"], ["thop", "714,206,912"]]
    assert "thop counts 18,432 MACs more than aten:\n  +18,432  counts pooling, in avgpool" in text


def test_crosscheck_goes_on_without_a_tool_that_is_missing(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pytest_modelbudget.engine.counters.ptflops_", raising=False)
    monkeypatch.setitem(sys.modules, "ptflops", None)
    assert main(["crosscheck", *ALEXNET]) == 0
    assert 'ptflops: the counter "ptflops" needs ptflops, which is not installed; pip' in capsys.readouterr().out
