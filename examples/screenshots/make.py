"""Make the pictures of the README: the page and the terminal report of a branch that grew a model.

``python make.py`` needs Chromium, playwright and plotly. It makes a repository in a temporary folder, with commits that
record their baselines, and a last edit that is over budget.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
MODELS = """from torchvision.models import alexnet, vit_b_16
from torchvision.models.resnet import Bottleneck, ResNet


def resnet():
    return ResNet(Bottleneck, {layers}, num_classes={classes})
"""
SETTINGS = """[tool.modelbudget.models.resnet50]
factory = "models:resnet"
inputs = [1, 3, 224, 224]
params = { growth = "2%" }
macs = "4.2 GMACs"

[tool.modelbudget.models.resnet50.cases.hd]
inputs = [1, 3, 512, 512]
macs = "25 GMACs"

[tool.modelbudget.models.alexnet]
factory = "models:alexnet"
inputs = [1, 3, 224, 224]
params = "61.2M"
size = "245 MB"
"""
# What each commit makes of the network, and when.
HISTORY = (
    ([3, 4, 4, 3], 1000, "Start with a small ResNet", "2026-01-12"),
    ([3, 4, 5, 3], 1000, "Deepen the third stage", "2026-02-20"),
    ([3, 4, 5, 3], 2000, "Tell two thousand classes apart", "2026-03-09"),
    ([3, 4, 6, 3], 1000, "Back to a thousand classes, one block more", "2026-04-27"),
)
LAST = ([3, 4, 7, 3], 1000)
COLUMNS = "96"


def main() -> None:
    """Write page.png and terminal.png beside this file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, "git", "init", "-q", "-b", "main", ".")
        (folder / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
        for layers, classes, subject, day in HISTORY:
            (folder / "models.py").write_text(MODELS.format(layers=layers, classes=classes), encoding="utf-8")
            pytest(folder, "--modelbudget-update")
            run(folder, "git", "add", "-A")
            run(folder, "git", "commit", "-q", "-m", subject, date=f"{day}T12:00:00+00:00")
        layers, classes = LAST
        (folder / "models.py").write_text(MODELS.format(layers=layers, classes=classes), encoding="utf-8")
        output = pytest(folder, "--color=yes", "--modelbudget-html=page.html")
        (folder / "terminal.html").write_text(as_html(output[output.index("collected") :]), encoding="utf-8")
        screenshots(folder)


def run(folder: Path, *command: str, date: str = "") -> str:
    who = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_AUTHOR_DATE": date}
    who |= {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "a@example.com", "GIT_COMMITTER_DATE": date}
    surroundings = {**os.environ, **({key: value for key, value in who.items() if value}), "COLUMNS": COLUMNS}
    surroundings.pop("CI", None)
    return subprocess.run(command, cwd=folder, env=surroundings, check=False, capture_output=True, text=True).stdout


def pytest(folder: Path, *arguments: str) -> str:
    return run(folder, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments)


def as_html(output: str) -> str:
    """What a terminal shows, as a page: with the few escape sequences that pytest writes."""
    colours = {"31": "#ff7b72", "32": "#56d364", "33": "#e3b341", "36": "#76e3ea", "1": "bold", "2": "dim"}
    spans = []
    for part in re.split(r"(\x1b\[[\d;]*m)", output):
        codes = re.fullmatch(r"\x1b\[([\d;]*)m", part)
        if codes is None:
            spans.append(html.escape(part))
            continue
        for code in codes[1].split(";"):
            if code in ("", "0"):
                spans.append("</span>" * 20)
            elif code in colours:
                value = colours[code]
                style = {"bold": "font-weight: bold", "dim": "opacity: .6"}.get(value, f"color: {value}")
                spans.append(f'<span style="{style}">')
    style = "margin:0;padding:16px;background:#0d1117;color:#e6edf3;font:14px/1.3 'DejaVu Sans Mono',monospace"
    return f'<meta charset="utf-8"><body style="margin:0;width:fit-content"><pre style="{style}">{"".join(spans)}</pre>'


def screenshots(folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto((folder / "page.html").as_uri())
        page.wait_for_selector("body[data-ready]")
        page.wait_for_timeout(1000)
        page.screenshot(path=HERE / "page.png", full_page=True)
        page.goto((folder / "terminal.html").as_uri())
        page.locator("pre").screenshot(path=HERE / "terminal.png")
        browser.close()


if __name__ == "__main__":
    main()
