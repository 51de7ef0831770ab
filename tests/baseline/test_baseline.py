"""The recorded profiles as files: their form, what is refused, and that they are replaced whole."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.baseline.store import Baseline, Recorded, file_name, from_bytes, to_text
from pytest_modelbudget.errors import BaselineError
from pytest_modelbudget.gate.verdict import check
from pytest_modelbudget.settings.limits import Growth, Limit
from tests.profile.test_profile import LAYERS

NET = Profile(
    layers={
        "": Layer("", "Net", calls=1, input_shape=(2, 4), output_shape=(2, 3)),
        "fc": Layer(
            "fc",
            "Linear",
            "in_features=4, out_features=3, bias=False",
            calls=1,
            params=12,
            trainable_params=12,
            size=48,
            macs=24,
            activations=6,
            peak_memory=104,
            dtypes=("float32",),
        ),
    },
    peak_memory=104,
    model="net",
)

TEXT = """\
{
  "cases": {
    "default": {
      "layers": [
        {"calls": 1, "input_shape": [2, 4], "name": "", "output_shape": [2, 3], "type": "Net"},
        {"activations": 6, "calls": 1, "dtypes": ["float32"], "macs": 24, "name": "fc", "params": 12, "size": 48, \
"spec": "in_features=4, out_features=3, bias=False", "trainable_params": 12, "type": "Linear"}
      ],
      "mode": "eval",
      "totals": {
        "activations": 6,
        "flops": 48,
        "macs": 24,
        "params": 12,
        "peak_memory": 104,
        "size": 48,
        "trainable_params": 12
      }
    }
  },
  "counter": "aten",
  "model": "net",
  "schema": 1
}
"""


def as_recorded(profile: Profile) -> Profile:
    """A profile as it comes back: without the peak of each layer, and how it was run."""
    layers = {name: replace(layer, peak_memory=0) for name, layer in profile.layers.items()}
    return replace(profile, layers=layers, run="abstract", note="")


@pytest.fixture
def baseline(tmp_path: Path) -> Baseline:
    return Baseline(tmp_path / "budgets", "budgets")


def test_a_file_has_sorted_keys_and_a_layer_a_line() -> None:
    assert to_text(Recorded("net", "aten", {"default": NET})) == TEXT


def test_its_objects_have_sorted_keys() -> None:
    def refuse_unsorted(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert pairs == sorted(pairs, key=lambda pair: pair[0])
        return dict(pairs)

    json.loads(TEXT, object_pairs_hook=refuse_unsorted)


@given(st.lists(LAYERS, max_size=4, unique_by=lambda layer: layer.name), st.text(), st.text())
def test_what_is_written_is_read(layers: list[Layer], model: str, case: str) -> None:
    profile = Profile({layer.name: layer for layer in layers}, model, case, peak_memory=7)
    text = to_text(Recorded(model, "aten", {case: profile}))
    read = from_bytes(text.encode(errors="backslashreplace"), "x.json")
    assert read == Recorded(model, "aten", {case: as_recorded(profile)})
    assert to_text(read) == text


def test_a_folder_is_made_and_read(baseline: Baseline) -> None:
    assert baseline.read("net") is None
    assert baseline.record("net", [NET])
    assert (baseline.folder / "net.json").read_text(encoding="utf-8") == TEXT
    assert baseline.read("net") == Recorded("net", "aten", {"default": as_recorded(NET)})


def test_recording_again_gives_the_same_bytes(baseline: Baseline) -> None:
    baseline.record("net", [NET])
    before = (baseline.folder / "net.json").stat().st_mtime_ns
    assert not baseline.record("net", [NET])
    assert (baseline.folder / "net.json").stat().st_mtime_ns == before


def test_other_line_ends_are_no_change(baseline: Baseline) -> None:
    baseline.record("net", [NET])
    (baseline.folder / "net.json").write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert baseline.read("net") is not None
    assert not baseline.record("net", [NET])


def test_the_cases_that_were_not_measured_stay(baseline: Baseline) -> None:
    baseline.record("net", [NET, replace(NET, case="hd")])
    baseline.record("net", [replace(NET, case="hd", peak_memory=5)])
    recorded = baseline.read("net")
    assert recorded is not None
    assert {case: each.peak_memory for case, each in recorded.cases.items()} == {"default": 104, "hd": 5}


def test_a_case_of_another_counter_is_not_put_beside_the_others(baseline: Baseline) -> None:
    baseline.record("net", [NET, replace(NET, case="hd")])
    with pytest.raises(BaselineError, match=r"its other cases \(hd\) were counted with aten, and one file has one"):
        baseline.record("net", [replace(NET, counter="thop")])
    assert baseline.record("net", [replace(NET, counter="thop"), replace(NET, case="hd", counter="thop")])


def test_a_forgotten_case_is_gone_and_the_others_stay(baseline: Baseline) -> None:
    baseline.record("net", [NET, replace(NET, case="hd")])
    assert baseline.cases("net.json") == ["default", "hd"]
    baseline.forget("net", ["default"])
    assert baseline.cases("net.json") == ["default"]
    baseline.forget("net")
    assert baseline.files() == []


# -- names of files


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("alexnet", "alexnet.json"),
        ("ResNet-50_v1.5", "ResNet-50_v1.5.json"),
        ("tests/test_x.py::test_fits[a b]", "tests%2Ftest_x.py%3A%3Atest_fits%5Ba%20b%5D.json"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd.json"),
        (".hidden", "%2Ehidden.json"),
        ("con", "%63on.json"),
        ("LPT1.old", "%4CPT1.old.json"),
        ("größe", "gr%C3%B6%C3%9Fe.json"),
    ],
)
def test_what_a_file_name_cannot_hold_is_escaped(model: str, file: str) -> None:
    assert file_name(model) == file


@given(st.text(min_size=1), st.text(min_size=1))
def test_file_names_are_safe_and_differ(model: str, other: str) -> None:
    name = file_name(model)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%_.-~")
    assert not name.startswith(".")
    assert len(name) <= 255
    assert (name == file_name(other)) == (model == other)


def test_a_long_name_is_cut_and_still_its_own() -> None:
    assert len(file_name("x" * 500)) < 255
    assert file_name("x" * 500) != file_name("x" * 501)


# -- what is refused


def test_a_metric_that_an_older_version_did_not_record_is_unknown_and_not_compared() -> None:
    text = re.sub(r'( *"activations": \d+,\n)|("activations": \d+, )', "", TEXT)
    recorded = from_bytes(text.encode(), "b.json").cases["default"]

    assert "activations" not in recorded.totals()
    assert not recorded.diff(NET)
    limits = {"activations": Limit(growth=Growth(absolute=0)), "macs": Limit(growth=Growth(absolute=0))}
    verdict = check(NET, limits, {"fc": limits}, recorded)
    assert verdict.new == ("activations", "fc activations")
    assert [(each.metric, each.layer) for each in verdict.checks] == [("macs", None), ("macs", "fc")]


def test_a_metric_that_a_newer_version_recorded_is_ignored() -> None:
    text = TEXT.replace('"macs": 24,', '"macs": 24, "watts": 5,')

    assert text.count("watts") == 2
    assert from_bytes(text.encode(), "b.json") == from_bytes(TEXT.encode(), "b.json")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "b.json is broken: Expecting value"),
        (b"\xff", "b.json is broken: 'utf-8' codec can't decode"),
        (b"[]", "b.json is broken: it is no baseline"),
        (b"[" * 100_000, "b.json is broken: "),
        (b"{}", "b.json is broken: it is no baseline"),
        (TEXT[: len(TEXT) // 2].encode(), "b.json is broken: "),
        (TEXT.replace('"schema": 1', '"schema": 2').encode(), "b.json is of schema 2, and this version reads schema 1"),
        (TEXT.replace('"counter": "aten",', "").encode(), 'b.json is broken: "counter" is missing'),
        (TEXT.replace('"counter"', '"colour"').encode(), "b.json is broken: "),
        (TEXT.replace('"mode": "eval"', '"mode": "fast"').encode(), "is neither eval nor train"),
        (TEXT.replace('"macs": 24,\n', '"macs": 25,\n').encode(), "add up to 24 macs, and not to 25"),
        (TEXT.replace('"params": 12, ', '"params": "12", ').encode(), r"layer 2: params: it cannot be"),
        (TEXT.replace('"calls": 1, "input', '"call": [1], "input').encode(), "layer 1: call: unknown key"),
        (TEXT.replace("[2, 4]", "[2, [4]]").encode(), "b.json is broken: "),
        (TEXT.replace("[2, 4]", '[2, "4"]').encode(), "input_shape: it cannot be"),
        (TEXT.replace("[2, 4]", "[true, 4]").encode(), r"layer 1: input_shape: it cannot be \[true, 4\]"),
        (TEXT.replace("[2, 4]", "[2.0, 4]").encode(), "2.0 is no integer"),
        (TEXT.replace('"calls": 1, "input', '"calls": -1, "input').encode(), "layer 1: calls: it cannot be -1"),
        (TEXT.replace('"type": "Net"', '"type": "Net", "uncounted": {"op": "1"}').encode(), "layer 1: uncounted: it"),
        (
            TEXT.replace('"peak_memory": 104,\n', '"peak_memory": null,\n').encode(),
            'peak_memory of the case "default" can',
        ),
        (TEXT.replace('"peak_memory": 104,\n', '"peak_memory": -1,\n').encode(), "cannot be -1"),
        (TEXT.replace('"peak_memory": 104,\n', '"peak_memory": NaN,\n').encode(), "NaN is no integer"),
        (TEXT.replace('"schema": 1', '"schema": true').encode(), "is of schema true"),
        (
            TEXT.replace('"macs": 24,\n', '"macs": 23,\n        "macs": 24,\n').encode(),
            'the key "macs" stands there twice',
        ),
        (TEXT.replace('"name": "fc"', '"name": ""').encode(), "two layers of the case"),
        (b"<<<<<<< HEAD\n" + TEXT.encode(), "b.json holds both sides of a merge conflict"),
        (TEXT.replace("  },\n", "  },\n>>>>>>> theirs\n").encode(), "both sides of a merge conflict"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(data: bytes, message: str) -> None:
    with pytest.raises(BaselineError, match=message):
        from_bytes(data, "b.json")


TORN = st.builds(lambda at, new: TEXT.encode()[:at] + new + TEXT.encode()[at:], st.integers(0, 900), st.binary())


@given(st.binary() | TORN)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(BaselineError):
        recorded = from_bytes(data, "b.json")
        assert from_bytes(to_text(recorded).encode(errors="backslashreplace"), "b.json") == recorded


def test_a_file_whose_cases_have_no_names_has_no_cases(baseline: Baseline) -> None:
    baseline.folder.mkdir()
    (baseline.folder / "net.json").write_bytes(TEXT.replace('"default"', r'"\q"').encode())
    assert baseline.cases("net.json") == []


def test_a_broken_file_is_replaced_when_recording(baseline: Baseline) -> None:
    baseline.folder.mkdir()
    (baseline.folder / "net.json").write_text("<<<<<<< HEAD\n")
    with pytest.raises(BaselineError, match="conflict"):
        baseline.read("net")
    assert baseline.record("net", [NET])
    assert baseline.read("net") is not None


def test_the_file_of_another_model_is_left_alone(baseline: Baseline) -> None:
    baseline.record("net", [NET])
    (baseline.folder / "net.json").rename(baseline.folder / "Net.json")
    with pytest.raises(BaselineError, match='is the baseline of "net", and not of "Net"'):
        baseline.record("Net", [replace(NET, model="Net")])


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "budgets").write_text("")
    with pytest.raises(BaselineError, match="the folder budgets cannot be made: "):
        Baseline(tmp_path / "budgets", "budgets").record("net", [NET])


def test_a_folder_where_the_file_should_be_is_named(baseline: Baseline) -> None:
    (baseline.folder / "net.json").mkdir(parents=True)
    for use in (baseline.read, lambda model: baseline.record(model, [NET])):
        with pytest.raises(BaselineError, match=r"budgets/net\.json cannot be read: Is a directory"):
            use("net")


# -- written whole or not at all

UPDATE = """
import os, signal, sys
from pathlib import Path
from pytest_modelbudget import Profile
from pytest_modelbudget.baseline.store import Baseline

moments = 0
def kill(event, args):
    global moments
    if armed:
        moments += 1
        if moments == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

import fcntl
armed = False
profile = Profile.from_json(sys.stdin.read())
sys.addaudithook(kill)
armed = True
Baseline(Path(sys.argv[1]), "budgets").record("net", [profile])
armed = False
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are not killed like this here")
def test_a_process_killed_at_any_moment_leaves_the_old_file_or_the_new_one(baseline: Baseline) -> None:
    new = replace(NET, peak_memory=999)
    texts = TEXT, to_text(Recorded("net", "aten", {"default": new}))
    found = []
    for moment in range(1, 100):
        baseline.record("net", [NET])
        command = [sys.executable, "-c", UPDATE, str(baseline.folder), str(moment)]
        result = subprocess.run(command, input=new.to_json(), text=True, check=False)
        found.append((baseline.folder / "net.json").read_text(encoding="utf-8"))
        if result.returncode == 0:
            break
        assert result.returncode == -signal.SIGKILL
    assert set(found) == set(texts)
    assert found == sorted(found, key=texts.index)
    assert len(found) > 5
    baseline.record("net", [NET])
    assert [each.name for each in baseline.folder.iterdir()] == ["net.json"]


def test_processes_that_record_at_the_same_time_lose_nothing(baseline: Baseline) -> None:
    code = (
        "import sys; from pathlib import Path; from pytest_modelbudget import Profile\n"
        "from pytest_modelbudget.baseline.store import Baseline\n"
        "Baseline(Path(sys.argv[1]), 'budgets').record('net', [Profile.from_json(sys.stdin.read())])\n"
    )
    pytest.importorskip("fcntl", reason="folders cannot be locked here")
    running = []
    for number in range(8):
        process = subprocess.Popen([sys.executable, "-c", code, str(baseline.folder)], stdin=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(replace(NET, case=f"case{number}").to_json())
        process.stdin.close()
        running.append(process)
    assert [process.wait() for process in running] == [0] * 8
    assert baseline.cases("net.json") == [f"case{number}" for number in range(8)]
