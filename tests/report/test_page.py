"""The page in a real browser: what can be clicked, what is shown, and that nothing leaves it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.commits.commit_object import Commit
from pytest_modelbudget.commits.history import Point
from pytest_modelbudget.gate.verdict import Verdict, check
from pytest_modelbudget.report.html import to_html
from pytest_modelbudget.report.run import Run, Unmeasured
from pytest_modelbudget.settings.limits import Limit
from tests.networks import recorded, with_classes

pytest.importorskip("plotly")

HOSTILE = "<script>alert(1)</script>|`*`<img src=x onerror=alert(2)>&amp;"
IS_REQUIRED = bool(os.environ.get("MODELBUDGET_TEST_BROWSER"))


@dataclass
class Browser:
    """A browser, and all that a page did which it should not do."""

    browser: Any
    complaints: list[str] = field(default_factory=list)

    def open(self, file: Path, width: int = 1200, **options: Any) -> Any:
        page = self.browser.new_page(viewport={"width": width, "height": 900}, **options)
        page.on("console", lambda message: self.complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self._note(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("body[data-ready]")
        return page

    def _note(self, url: str) -> None:
        if not url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(f"request: {url}")


@pytest.fixture(scope="module")
def launched() -> Iterator[Any]:
    reason = "no browser is installed (chromium, or `playwright install chromium`)"
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        path = path or (driver.chromium.executable_path if Path(driver.chromium.executable_path).exists() else None)
        if path is None:
            pytest.fail(reason) if IS_REQUIRED else pytest.skip(reason)
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        browser = driver.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def browser(launched: Any) -> Iterator[Browser]:
    opened = Browser(launched)
    yield opened
    assert opened.complaints == []


def verdict(profile: Profile, most: int, baseline: Profile | None = None) -> Verdict:
    found = check(profile, {"params": Limit(max=most)}, baseline=baseline)
    return replace(found, since="budgets/resnet.json" if baseline else "")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small, large = (replace(profile, model="resnet") for profile in recorded("resnet18"))
    before = with_classes(small, 500)
    run = Run([verdict(small, 11_000_000, before), verdict(large, 12_000_000)], notes=["stale budgets/old.json"])
    history = {
        "resnet": [
            Point(
                Commit(f"{at}" * 40, f"2026-01-0{at}T00:00:00+00:00", "Ann", f"Commit {at}"),
                {"default": profile.totals()},
            )
            for at, profile in ((1, before), (2, small))
        ]
    }
    file = tmp_path_factory.mktemp("page") / "page.html"
    file.write_text(to_html(run, {"": history}), encoding="utf-8")
    return file


def names(page: Any, selector: str) -> list[str]:
    return [" ".join(text.split()) for text in page.locator(selector).all_inner_texts()]


def test_the_verdict_and_the_budgets_are_told(browser: Browser, page_file: Path) -> None:
    page = browser.open(page_file)
    assert page.inner_text("#headline") == "1 of 2 models over budget"
    assert names(page, "#budgets tbody tr") == [
        "resnet params 11.7M 11M over +256,500",
        "resnet@hd params 11.7M 12M within new",
    ]
    assert names(page, "#notes li") == ["stale budgets/old.json"]


def test_a_limit_that_is_missed_by_one_does_not_look_kept(browser: Browser, tmp_path: Path) -> None:
    # torchvision's table has 11,689,512 parameters.
    file = tmp_path / "page.html"
    file.write_text(to_html(Run([verdict(recorded("resnet18")[0], 11_689_511)])), encoding="utf-8")
    [row] = names(browser.open(file), "#budgets tbody tr")
    assert row.endswith(" params 11,689,512 11,689,511 over new")


def test_a_click_leads_into_a_subtree_and_back(browser: Browser, page_file: Path) -> None:
    page = browser.open(page_file)
    assert names(page, "#steps button")[:2] == ["layer4 8.4M", "layer3 2.1M"]
    # At its heading, since its own blocks are on top of it.
    page.locator("#treemap g.slice", has_text="layer4").first.locator("path.surface").click(position={"x": 40, "y": 8})
    page.wait_for_function("document.querySelector('#steps button').textContent.startsWith('↑')")
    # 512·512·9·2 weights and 4·512 of norms in the second block.
    assert names(page, "#steps button") == ["↑ resnet", "1 4.7M", "0 3.7M"]
    page.locator("#steps button").first.click()
    page.wait_for_function("document.querySelector('#steps button').textContent.startsWith('layer4')")


def test_the_metric_can_be_switched(browser: Browser, page_file: Path) -> None:
    page = browser.open(page_file)
    page.select_option("#metric", "macs")
    page.wait_for_function("!document.querySelector('#steps button').textContent.startsWith('layer4')")
    # At 64 × 64: 64·64·9 weights on 16 × 16 pixels, four times.
    assert "layer1 37.7M" in names(page, "#steps button")


def test_a_hover_tells_the_exact_number(browser: Browser, page_file: Path) -> None:
    page = browser.open(page_file)
    page.locator("#treemap g.slice", has_text="fc").first.hover()
    page.wait_for_selector("#treemap .hoverlayer .hovertext")
    assert "513,000 params" in page.locator("#treemap .hoverlayer").text_content()


def test_growth_tells_the_commit_on_hover(browser: Browser, page_file: Path) -> None:
    page = browser.open(page_file)
    page.locator("#growth").scroll_into_view_if_needed()
    page.locator("#growth .points path").nth(1).hover(force=True)
    page.wait_for_selector("#growth .hoverlayer .hovertext")
    told = page.locator("#growth .hoverlayer").text_content()
    assert "222222222 Ann" in told
    assert "Commit 2" in told


def test_what_changed_and_the_cases_are_shown(browser: Browser, page_file: Path) -> None:
    page = browser.open(page_file)
    assert names(page, "#diff tbody tr")[0] == (
        "fc +256,500 +1,026,000 +256,000 +500 +256,500 changed Linear: out_features 500 → 1000"
    )
    assert page.locator("#cases .point").count() == 2
    page.select_option("#model", "1")
    assert page.locator("#s-diff").is_hidden()


def test_the_keyboard_leads_into_layers(browser: Browser, page_file: Path) -> None:
    page = browser.open(page_file)
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("layer4")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#steps button').textContent.startsWith('↑')")


def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, page_file: Path) -> None:
    page = browser.open(page_file, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_dark_is_dark(browser: Browser, page_file: Path) -> None:
    light, dark = (browser.open(page_file, color_scheme=scheme) for scheme in ("light", "dark"))
    background = "getComputedStyle(document.body).backgroundColor"
    assert light.evaluate(background) == "rgb(255, 255, 255)"
    assert dark.evaluate(background) == "rgb(20, 23, 27)"


def test_hostile_names_are_text(browser: Browser, tmp_path: Path) -> None:
    layers = {
        "": Layer("", HOSTILE),
        HOSTILE: Layer(HOSTILE, HOSTILE, HOSTILE, params=5, macs=5),
        "constructor": Layer("constructor", "__proto__", params=3),
    }
    profile = Profile(layers, peak_memory=0, model=HOSTILE, case=HOSTILE)
    before = Profile({"": Layer("", "Net")}, peak_memory=0)
    history = {
        HOSTILE: [Point(Commit("a" * 40, "2026-01-01T00:00:00Z", HOSTILE, HOSTILE), {HOSTILE: profile.totals()})]
    }
    run = Run([verdict(profile, 1, before)], [Unmeasured(HOSTILE, HOSTILE)], HOSTILE, [HOSTILE])
    file = tmp_path / "page.html"
    file.write_text(to_html(run, {"": history}), encoding="utf-8")
    page = browser.open(file)
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 3
    assert HOSTILE in page.inner_text("#budgets")
    assert HOSTILE in page.inner_text("#steps")
    page.locator("#treemap").hover(position={"x": 200, "y": 200})
    page.wait_for_selector("#treemap .hoverlayer .hovertext")
    assert "<script>alert(1)" in page.locator("#treemap .hoverlayer").text_content()


# What every object of JavaScript has, and what it takes for a number.
INHERITED = ["constructor", "__proto__", "toString", "0"]


@pytest.mark.parametrize("name", INHERITED)
def test_a_name_that_every_object_has_is_a_name(browser: Browser, tmp_path: Path, name: str) -> None:
    def named(params: int, case: str) -> Profile:
        inner = f"{name}.{name}"
        layers = {
            "": Layer("", name),
            name: Layer(name, name, params=params, macs=params),
            inner: Layer(inner, name, name, params=1),
        }
        return Profile(layers, peak_memory=0, model=name, case=case)

    run = Run([verdict(named(5, "default"), 9, named(4, "default")), verdict(named(7, name), 9)])
    commit = Commit("a" * 40, "2026-01-01T00:00:00+00:00", "Ann", name)
    points = [Point(commit, {"default": named(5, "default").totals(), name: named(7, name).totals()})]
    for at, history in enumerate(({}, {"": {name: points}})):
        file = tmp_path / f"page{at}.html"
        file.write_text(to_html(run, history), encoding="utf-8")
        page = browser.open(file)
        page.wait_for_selector("#treemap g.slice")
        page.wait_for_selector("#cases .point")
        # Its own 5 parameters, and the 1 of the layer in it.
        assert names(page, "#steps button") == [f"{name} 6"]
        assert [" ".join(text.split()) for text in page.locator("#cases .xtick").all_text_contents()] == [
            "default",
            name,
        ]
        assert page.locator("#s-growth").is_visible() == bool(history)
        page.select_option("#model", "1")
        page.wait_for_function("document.querySelector('#steps button').textContent.endsWith(' 8')")
        assert page.locator("#growth .points path").count() == (1 if history else 0)
    # The history alone, without a run.
    file.write_text(to_html(Run(), {"": {name: points}}), encoding="utf-8")
    page = browser.open(file)
    page.wait_for_selector("#growth .points path")
    assert page.locator("#growth .points path").count() == 2


def test_models_of_one_name_in_two_packages_are_two_models(browser: Browser, tmp_path: Path) -> None:
    def net(params: int) -> Profile:
        return Profile({"": Layer("", "Net"), "fc": Layer("fc", "Linear", params=params)}, peak_memory=0, model="net")

    def point(at: int, params: int) -> Point:
        return Point(
            Commit(f"{at}" * 40, f"2026-01-0{at}T00:00:00+00:00", "Ann", f"{at}"), {"default": net(params).totals()}
        )

    run = Run([replace(verdict(net(5), 9), package="a"), replace(verdict(net(70), 99), package="b")])
    histories = {"a": {"net": [point(1, 3), point(2, 5)]}, "b": {"net": [point(3, 70)]}}
    file = tmp_path / "page.html"
    file.write_text(to_html(run, histories), encoding="utf-8")
    page = browser.open(file)
    assert names(page, "#model option") == ["a/net", "b/net"]
    for at, (params, commits) in enumerate(((5, 2), (70, 1))):
        page.select_option("#model", str(at))
        page.wait_for_function(f"document.querySelector('#steps button').textContent === 'fc {params}'")
        page.wait_for_function(f"document.querySelectorAll('#growth .points path').length === {commits}")
        assert page.locator("#s-cases").is_hidden()


def test_a_model_of_ten_thousand_layers_fits(browser: Browser, tmp_path: Path) -> None:
    layers = {"": Layer("", "Net")}
    for block in range(1250):
        name = f"blocks.{block // 50}.{block}"
        for part in ("blocks", f"blocks.{block // 50}", name):
            layers.setdefault(part, Layer(part, "Block"))
        for inner in range(7):
            layers[f"{name}.conv{inner}"] = Layer(
                f"{name}.conv{inner}", "Conv2d", params=36_864, size=147_456, macs=10**8
            )
    profile = Profile(layers, peak_memory=0, model="deep")
    file = tmp_path / "page.html"
    file.write_text(to_html(Run([verdict(profile, 10**9)])), encoding="utf-8")
    assert len(layers) > 10_000
    assert file.stat().st_size < 12_000_000
    page = browser.open(file)
    page.wait_for_selector("#treemap g.slice")
    assert names(page, "#steps button") == ["blocks 322.6M"]


def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from pytest_modelbudget.errors import SettingsError

    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(SettingsError, match=r"pip install 'plotly>=6'"):
        to_html(Run())
