"""How long `modelbudget history` takes over ten thousand commits, each of which recorded another baseline.

Run it as `python -m benchmarks.history`. The repository is made in a temporary folder, with git's own fast importer: a
network of 60 layers, of which one grows a little with each commit. It prints the median of some rounds of the whole
command, with the least and the most.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.baseline.store import Recorded, to_text

LAYERS = 60
PYPROJECT = b'[tool.modelbudget.models.net]\nfactory = "net:build"\ninputs = [1, 64]\n'


def profile(commit: int) -> Profile:
    """The network at one commit."""
    layers = {"": Layer("", "Network", calls=1)}
    for at in range(LAYERS):
        params = 4096 + (commit if at == commit % LAYERS else 0)
        name = f"layers.{at}"
        layers[name] = Layer(
            name,
            "Linear",
            f"in_features=64, out_features={params // 64}, bias=False",
            calls=1,
            input_shape=(1, 64),
            output_shape=(1, params // 64),
            params=params,
            trainable_params=params,
            size=4 * params,
            macs=params,
            activations=params // 64,
            dtypes=("float32",),
        )
    return Profile(layers, peak_memory=4 * params, model="net")


def stream(commits: int) -> Iterator[bytes]:
    """The history, as `git fast-import` reads it."""
    for at in range(commits):
        text = to_text(Recorded("net", "aten", {"default": profile(at)})).encode()
        message = f"Commit {at}".encode()
        yield b"commit refs/heads/main\ncommitter Ann <ann@example.com> %d +0000\n" % (1_700_000_000 + 60 * at)
        yield b"data %d\n%s\n" % (len(message), message)
        if at == 0:
            yield b"M 644 inline pyproject.toml\ndata %d\n%s\n" % (len(PYPROJECT), PYPROJECT)
        yield b"M 644 inline budgets/net.json\ndata %d\n%s\n" % (len(text), text)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        git = ["git", "-C", folder]
        subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
        subprocess.run([*git, "fast-import", "--quiet"], input=b"".join(stream(options.commits)), check=True)
        subprocess.run([*git, "checkout", "-q", "main"], check=True)
        seconds = []
        command = [
            sys.executable,
            "-c",
            "from pytest_modelbudget.commands.cli import main; raise SystemExit(main())",
            "history",
        ]
        for _ in range(options.rounds):
            start = time.perf_counter()
            output = subprocess.run([*command, "--json"], cwd=folder, check=True, capture_output=True).stdout
            seconds.append(time.perf_counter() - start)
            assert output.count(b'"commit"') == options.commits
        size = (Path(folder) / "budgets" / "net.json").stat().st_size
    sys.stdout.write(
        f"{options.commits:,} commits, each with a baseline of {size / 1000:.0f} kB: "
        f"{statistics.median(seconds):.2f} s ({min(seconds):.2f}–{max(seconds):.2f})\n"
    )


if __name__ == "__main__":
    main()
