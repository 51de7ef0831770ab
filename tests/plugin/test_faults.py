"""Each row of docs/faults.md: what goes wrong is provoked, and what the page says is what a user sees.

Beside the faulty model stands a good one, which has to be judged whatever happens.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.conftest import MODELS, OTHER_PLUGINS, PERCEPTRON, MakeProject
from tests.tables import rows_of

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
PLAIN = PERCEPTRON.replace("models:", "faults:")
FAULTY = PLAIN.replace("models.perceptron", "models.faulty") + 'params = { max = 58, growth = "1%" }\n'
GOOD = PLAIN.replace("models.perceptron", "models.good") + "params = 58\n"

FACTORIES = f"""{MODELS}
import os, random, signal, sys, time

class Recorded(Perceptron):
    # Of another type, so that what is recorded of it is another text.
    pass

def raises():
    raise ValueError("no such width")

def exits():
    sys.exit(3)

def interrupted():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)

def hangs():
    time.sleep(600)

def dies():
    os.kill(os.getpid(), signal.SIGKILL)

def allocates():
    bytearray(10 ** 16)

class Allocating(Perceptron):
    def forward(self, x):
        # Looking at a value makes it run on real tensors.
        return x if x.sum() > 1e9 else torch.zeros(10 ** 6, 10 ** 9)

class Recursive(Perceptron):
    def forward(self, x):
        return self.forward(x)

def loop():
    model = Perceptron()
    model.itself = model
    return model

OUTSIDE = torch.nn.BatchNorm1d(4)

class Reaching(Perceptron):
    def forward(self, x):
        OUTSIDE.num_batches_tracked.add_(1)
        return x

HELD = dict()

class Holding(Perceptron):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(4))
        HELD["scale"] = self.scale

    def forward(self, x):
        return x * HELD["scale"]
def wider():
    # 4·9 + 9 + 9·2 + 2 = 65 parameters.
    return Perceptron(9)

def prints():
    print("NOISE")
    return Perceptron()

def folder():
    os.chdir("/")
    return Perceptron()

def dtype():
    torch.set_default_dtype(torch.float64)
    return Perceptron()

def device():
    torch.set_default_device("meta")
    return Perceptron()

def seeds():
    torch.manual_seed(7), random.seed(7), torch.rand(3), random.random()
    return Perceptron()

def modes():
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(torch.get_num_threads() + 1)
    os.environ["FAULTY"] = "1"
    return Perceptron()
"""
# What the process is like before the first model is measured and after each has to be the same.
LOADED = """
import os, random
import pytest
import pytest_modelbudget.engine.measuring
import torch
"""
UNCHANGED = f"""{LOADED}

def state():
    return (
        os.getcwd(), dict(os.environ), random.getstate(), torch.get_default_dtype(), torch.get_default_device(),
        torch.get_rng_state().tolist(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
    )

@pytest.fixture(scope="session", autouse=True)
def unchanged():
    before = state()
    yield
    after = state()
    del before[1]["PYTEST_CURRENT_TEST"], after[1]["PYTEST_CURRENT_TEST"]
    assert after == before
"""


@dataclass(frozen=True)
class Fault:
    """How one fault is provoked.

    Attributes:
        factory: of the faulty model, in faults.py.
        args: of pytest.
        prepare: done in the project's folder once the baseline is recorded.
        around: the run happens within it.
        settings: what pyproject.toml holds then.
        in_package: whether the models stand in a package below the root.
        own_process: whether the run has to be in a process of its own.
        judged: whether the good model is judged.
    """

    factory: str = "Perceptron"
    args: tuple[str, ...] = ()
    prepare: Callable[[Path], Any] = lambda _: None
    around: Callable[[Path], Any] = nullcontext
    settings: Callable[[str], bytes] = str.encode
    in_package: bool = False
    own_process: bool = False
    judged: bool = True


def baseline(change: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
    def prepare(folder: Path) -> None:
        file = folder / "budgets" / "faulty.json"
        changed = change(file.read_bytes())
        assert changed != file.read_bytes()
        file.write_bytes(changed)

    return prepare


def replaced(by: Callable[[Path], Any]) -> Callable[[Path], Any]:
    def prepare(folder: Path) -> None:
        file = folder / "budgets" / "faulty.json"
        file.unlink()
        by(file)

    return prepare


def a_file_for_the_folder(folder: Path) -> None:
    for file in (folder / "budgets").iterdir():
        file.unlink()
    (folder / "budgets").rmdir()
    (folder / "budgets").write_text("")


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """The baseline on a file system of its own: only there a disk is full, or read-only for root too."""
    budgets = folder / "budgets"
    files = {file: file.read_bytes() for file in budgets.iterdir()}
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(budgets)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        for file, data in files.items():
            file.write_bytes(data)
        if options:
            subprocess.run(["mount", "-o", f"remount,{options}", str(budgets)], check=True)
        else:
            fill(budgets / "filler")
        yield
        assert {file: file.read_bytes() for file in files} == files
    finally:
        subprocess.run(["umount", str(budgets)], check=True)


def fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass


@contextmanager
def without_git(folder: Path) -> Iterator[None]:
    """No command is on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder / "nowhere"))
        yield


def another_package(folder: Path) -> None:
    """Another perceptron under the same names, 4 → 9 → 2, of 4·9 + 9 + 9·2 + 2 parameters."""
    other = folder.parent / "other"
    other.mkdir()
    (other / "faults.py").write_text(MODELS.replace("width: int = 8", "width: int = 9"))
    (other / "pyproject.toml").write_text(f"{PLAIN}params = {{ max = 65, min = 65 }}\n")


def a_test(folder: Path) -> None:
    (folder / "test_it.py").write_text("def test_it(): pass\n")


UPDATE = ("--modelbudget-update",)
FAULTS = {
    "the factory raises": Fault("raises"),
    "the factory exits": Fault("exits"),
    "the factory hangs, and you press Ctrl-C": Fault("interrupted", UPDATE, own_process=True, judged=False),
    "the factory hangs, with pytest-timeout": Fault("hangs", ("--timeout", "3"), own_process=True),
    "the factory kills its process, with pytest-xdist": Fault("dies", ("-n", "1"), own_process=True),
    "the factory allocates too much": Fault("allocates"),
    "the forward pass allocates too much": Fault("Allocating", own_process=True),
    "the forward pass never returns to its start": Fault("Recursive", own_process=True),
    "the model holds itself among its modules": Fault("loop"),
    "the model changes a module that is no part of it": Fault("Reaching"),
    "the model uses its own tensors by way of a global name": Fault("Holding"),
    "the factory prints": Fault("prints"),
    "the factory changes the current folder": Fault("folder"),
    "the factory changes the default dtype": Fault("dtype"),
    "the factory changes the default device": Fault("device"),
    "the factory sets seeds and draws random numbers": Fault("seeds"),
    "the factory changes gradient mode, threads, determinism or the environment": Fault("modes"),
    "the disk is full": Fault("Recorded", UPDATE, around=lambda folder: mounted(folder, "")),
    "the folder is read-only": Fault("Recorded", UPDATE, around=lambda folder: mounted(folder, "ro")),
    "the file is cut in half": Fault(prepare=baseline(lambda data: data[: len(data) // 2])),
    "git left a conflict in it": Fault(
        prepare=baseline(lambda data: b"<<<<<<< HEAD\n" + data + b"=======\n" + data + b">>>>>>> other\n")
    ),
    "a merge joined two recordings line by line": Fault(
        prepare=baseline(lambda data: data.replace(b'"params": 40', b'"params": 45'))
    ),
    "it is of another schema": Fault(prepare=baseline(lambda data: data.replace(b'"schema": 1', b'"schema": 2'))),
    "the file is a folder": Fault(prepare=replaced(Path.mkdir)),
    "the file is a link to itself": Fault(prepare=replaced(lambda file: file.symlink_to(file.name))),
    "the folder is a file": Fault(args=UPDATE, prepare=a_file_for_the_folder),
    "it has a byte order mark, in a package": Fault(
        settings=lambda text: b"\xef\xbb\xbf" + text.encode(), in_package=True
    ),
    "it has a byte order mark, in the root": Fault(settings=lambda text: b"\xef\xbb\xbf" + text.encode(), judged=False),
    "it has Windows line ends": Fault(settings=lambda text: text.replace("\n", "\r\n").encode()),
    "it is not UTF-8": Fault(settings=lambda text: b"# caf\xe9\n" + text.encode(), in_package=True, judged=False),
    "it is broken TOML, in a package": Fault(
        settings=lambda text: text.replace('"faults:Perceptron"', "", 1).encode(), in_package=True, judged=False
    ),
    "it is broken TOML, in the root": Fault(
        settings=lambda text: text.replace('"faults:Perceptron"', "", 1).encode(), judged=False
    ),
    "a key is misspelt": Fault(settings=lambda text: text.replace("params", "parms", 1).encode(), judged=False),
    "git is not installed": Fault(args=("--modelbudget-base", "main"), around=without_git, judged=False),
    "there is no repository": Fault(args=("--modelbudget-base", "main"), judged=False),
    "another package has a module of the same name": Fault(prepare=another_package, in_package=True),
    "the arguments leave out `pyproject.toml`": Fault(args=("test_it.py",), prepare=a_test, judged=False),
    "the gate is asked for, and the arguments leave out `pyproject.toml`": Fault(
        args=("-m", "modelbudget", "test_it.py"), prepare=a_test, judged=False
    ),
    "an update, and a ceiling is broken": Fault("wider", UPDATE),
    "an update with another counter than that of the settings": Fault(args=(*UPDATE, "--modelbudget-counter", "thop")),
    "an update that prunes, of some tests": Fault(args=(*UPDATE, "--modelbudget-prune", "pyproject.toml::good")),
}
ROWS = {row[0]: (row[1], int(row[2])) for row in rows_of(PAGE)}


def test_every_row_of_the_page_is_provoked() -> None:
    assert list(ROWS) == list(FAULTS)


@pytest.fixture(autouse=True)
def _plain_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside pytest-xdist there is pytest-timeout."""
    others = (name for name in OTHER_PLUGINS if name != "timeout")
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in others))
    monkeypatch.delenv("CI", raising=False)


@pytest.mark.needs_torch
@pytest.mark.skipif(sys.platform == "win32", reason="signals and links as on POSIX")
@pytest.mark.parametrize("what", ROWS)
def test_what_the_page_says_is_what_a_user_sees(project: MakeProject, what: str) -> None:
    fault, (seen, code) = FAULTS[what], ROWS[what]
    is_harmless = seen.startswith("nothing")
    made = project("", faults=FACTORIES, conftest=UNCHANGED if is_harmless else LOADED)
    folder = made.path
    if fault.in_package:
        folder = made.mkdir("package")
        (made.path / "faults.py").rename(folder / "faults.py")
    file = folder / "pyproject.toml"
    file.write_text(FAULTY + GOOD)
    assert made.runpytest("--modelbudget-update").ret == 0
    file.write_bytes(fault.settings(file.read_text().replace("faults:Perceptron", f"faults:{fault.factory}", 1)))
    fault.prepare(folder)
    before = recorded(folder)
    starts = made.runpytest_subprocess if fault.own_process else made.runpytest_inprocess
    with fault.around(folder):
        result = starts(*fault.args)
    output = "\n".join([*result.outlines, *result.errlines])
    assert result.ret == code, output
    for message in () if is_harmless else re.findall(r"`([^`]*)`", seen):
        pattern = re.escape(message).replace("…", ".*")
        assert re.search(pattern, output), f"{message} is not in\n{output}"
    assert "INTERNALERROR" not in output
    assert "pytest_modelbudget/" not in output
    outcomes = result.parseoutcomes() if result.ret != pytest.ExitCode.USAGE_ERROR else {}
    assert outcomes.get("passed", 0) >= fault.judged
    assert recorded(folder) == before


def recorded(folder: Path) -> dict[str, bytes]:
    budgets = folder / "budgets"
    return (
        {file.name: file.read_bytes() for file in budgets.glob("*.json") if file.is_file()} if budgets.is_dir() else {}
    )
