"""How large the page of a model of ten thousand layers is, and how long a browser takes to open it.

Run it as `python -m benchmarks.page`; it needs Chromium, playwright and plotly. It prints the median of some rounds
until the treemap is drawn, with the least and the most.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.gate.verdict import check
from pytest_modelbudget.report.html import to_html
from pytest_modelbudget.report.run import Run
from pytest_modelbudget.settings.limits import Limit

BLOCKS = 1250


def profile() -> Profile:
    """A network of 1,250 blocks of seven convolutions."""
    layers = {"": Layer("", "Network")}
    for block in range(BLOCKS):
        name = f"stages.{block // 50}.{block}"
        for part in ("stages", f"stages.{block // 50}", name):
            layers.setdefault(part, Layer(part, "Block"))
        for inner in range(7):
            key = f"{name}.conv{inner}"
            layers[key] = Layer(key, "Conv2d", params=36_864, size=147_456, macs=115_605_504, activations=200_704)
    return Profile(layers, peak_memory=0, model="network")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args().rounds
    network = profile()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        file = Path(folder) / "page.html"
        file.write_text(to_html(Run([check(network, {"params": Limit(max=10**9)})])), encoding="utf-8")
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        seconds = []
        for _ in range(rounds):
            page = browser.new_page()
            start = time.perf_counter()
            page.goto(file.as_uri())
            page.wait_for_selector("body[data-ready]")
            page.wait_for_selector("#treemap g.slice")
            seconds.append(time.perf_counter() - start)
            page.close()
        browser.close()
        size = file.stat().st_size / 1e6
    middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
    opened = f"{middle:.2f} s ({least:.2f}–{most:.2f})"
    sys.stdout.write(f"{len(network.layers):,} layers: {size:.1f} MB, open in {opened}\n")


if __name__ == "__main__":
    main()
