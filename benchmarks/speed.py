"""How long measuring takes: beside the forward pass that it measures, beside other tools, with depth, at 405 billion.

Everything runs in one process, in rounds: each round times every contender once, so that a change of the machine's
speed meets them all, and what is compared are the ratios within a round. Run ``pip install -e '.[benchmark]'``, then
``python -m benchmarks.speed``; ``--picture FILE`` draws the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import logging
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pytest_modelbudget import measure

MODELS = ("resnet50", "vit_b_16", "swin_t", "efficientnet_v2_l", "convnext_large")
INPUT = (1, 3, 224, 224)
DEPTHS = (100, 1000, 10_000)
Contenders = dict[str, Callable[[], object]]


def main() -> None:
    """Run the four comparisons, and print each as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    rounds: int = options.rounds
    logging.disable()  # some tools tell of each operation that they do not know
    _at_405_billion()  # first, since a process's peak memory never falls
    to_bare = list(_beside_the_forward_pass(rounds))
    to_tools = dict(_beside_other_tools(max(3, rounds // 2)))
    _with_depth(rounds)
    if options.picture:
        _draw(to_bare, to_tools, options.picture)


def _beside_the_forward_pass(rounds: int) -> Iterator[tuple[str, float]]:
    _print("", "| model | measure() | bare forward pass on meta | ratio |", "|---|---:|---:|---:|")
    ratios = []
    for name in MODELS:
        with torch.device("meta"):
            model = getattr(torchvision.models, name)().eval()
            inputs = torch.empty(INPUT)
        times = _time({"ours": partial(measure, model, INPUT), "bare": torch.no_grad()(partial(model, inputs))}, rounds)
        ratio = _ratios(times["ours"], times["bare"])
        ratios.append(statistics.median(ratio))
        _print(f"| {name} | {_ms(times['ours'])} | {_ms(times['bare'])} | {_spread(ratio)} |")
        yield name, ratios[-1]
    _print(f"| **geometric mean** | | | **{statistics.geometric_mean(ratios):.2f}** |")


def _beside_other_tools(rounds: int) -> Iterator[tuple[str, float]]:
    """Build and measure from a factory, beside building the real model and running another tool on it."""
    ratios: dict[str, list[float]] = {}
    for name in MODELS:
        times = _time(_tools(getattr(torchvision.models, name)), rounds)
        for tool, taken in times.items():
            ratios.setdefault(tool, []).append(statistics.median(_ratios(times["ours"], taken)))
    _print(
        "", f"| build + measure() ÷ build + | {' | '.join(MODELS)} | geometric mean |", "|---" * (len(MODELS) + 2) + "|"
    )
    for tool, each in ratios.items():
        if tool != "ours":
            mean = statistics.geometric_mean(each)
            _print(f"| {tool} | {' | '.join(f'{ratio:.3f}' for ratio in each)} | **{mean:.3f}** |")
            yield tool, mean


def _tools(build: Callable[[], nn.Module]) -> Contenders:
    """Each tool on a model that was built for it; those that are not installed are left out."""
    tools: dict[str, Callable[[nn.Module], object]] = {"FlopCounterMode": _flop_counter}
    with contextlib.suppress(ImportError):
        from thop import profile

        tools["thop"] = lambda model: profile(model, inputs=(torch.randn(INPUT),), verbose=False)
    with contextlib.suppress(ImportError):
        from ptflops import get_model_complexity_info

        tools["ptflops"] = lambda model: get_model_complexity_info(
            model, INPUT[1:], as_strings=False, print_per_layer_stat=False, backend="pytorch"
        )
    with contextlib.suppress(ImportError):
        from fvcore.nn import FlopCountAnalysis

        tools["fvcore"] = lambda model: FlopCountAnalysis(model, torch.randn(INPUT)).total()
    with contextlib.suppress(ImportError):
        from calflops import calculate_flops

        tools["calflops"] = lambda model: calculate_flops(model, input_shape=INPUT, print_results=False)
    with contextlib.suppress(ImportError):
        from torchinfo import summary

        tools["torchinfo"] = lambda model: summary(model, input_size=INPUT, verbose=0)
    return {
        "ours": partial(measure, build, INPUT),
        **{name: partial(_build_and_run, build, tool) for name, tool in tools.items()},
    }


def _build_and_run(build: Callable[[], nn.Module], tool: Callable[[nn.Module], object]) -> None:
    tool(build().eval())


def _flop_counter(model: nn.Module) -> None:
    with FlopCounterMode(display=False), torch.no_grad():
        model(torch.randn(INPUT))


def _with_depth(rounds: int) -> None:
    _print("", "| layers | measure() | a layer |", "|---:|---:|---:|")
    models = {depth: nn.Sequential(*(_block() for _ in range(depth // 2))) for depth in DEPTHS}
    times = _time({str(depth): partial(measure, model, (1, 64)) for depth, model in models.items()}, rounds)
    for depth in DEPTHS:
        taken = times[str(depth)]
        _print(f"| {depth} | {_ms(taken)} | {1e6 * statistics.median(taken) / depth:.1f} µs |")
    ratio = _ratios(
        [each / DEPTHS[-1] for each in times[str(DEPTHS[-1])]], [each / DEPTHS[0] for each in times[str(DEPTHS[0])]]
    )
    _print(f"| {DEPTHS[-1]} ÷ {DEPTHS[0]} | | {_spread(ratio)} |")


def _block() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU())


def _at_405_billion() -> None:
    try:
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError:
        return
    small = LlamaConfig(
        num_hidden_layers=1, hidden_size=64, intermediate_size=64, num_attention_heads=2, vocab_size=128
    )
    large = LlamaConfig(
        hidden_size=16_384,
        intermediate_size=53_248,
        num_hidden_layers=126,
        num_attention_heads=128,
        num_key_value_heads=8,
        vocab_size=128_256,
    )
    # Once on a small one: what the library imports when it first runs is not part of it.
    measure(partial(LlamaForCausalLM, small), {"input_ids": torch.zeros(1, 8, dtype=torch.int64)})
    before = _resident()
    start = time.perf_counter()
    profile = measure(partial(LlamaForCausalLM, large), {"input_ids": torch.zeros(1, 8192, dtype=torch.int64)})
    seconds = time.perf_counter() - start
    _print(
        "",
        "| Llama 3 405B at 8192 tokens | |",
        "|---|---:|",
        f"| parameters | {profile.params:,} |",
        f"| MACs | {profile.macs:,} |",
        f"| build + measure() | {seconds:.2f} s |",
        f"| peak resident memory above that before it | {(_resident() - before) / 2**20:.0f} MiB |",
    )


def _resident() -> int:
    """The most bytes that this process had in memory so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _time(contenders: Contenders, rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(rounds + 1):
        for name, contender in contenders.items():
            gc.collect()
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                start = time.perf_counter()
                contender()
                taken = time.perf_counter() - start
            if round_number:
                times[name].append(taken)
    return times


def _ratios(ours: list[float], others: list[float]) -> list[float]:
    return [a / b for a, b in zip(ours, others, strict=True)]


def _ms(times: list[float]) -> str:
    return f"{1000 * statistics.median(times):.0f} ms"


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def _print(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)  # noqa: T201


def _draw(to_bare: list[tuple[str, float]], to_tools: dict[str, float], file: Path) -> None:
    """Bars of both ratios; 1 is as long as the other takes."""
    from matplotlib import pyplot

    rows: list[tuple[str, float, Any]] = [(f"bare forward pass, {name}", ratio, "#4c78a8") for name, ratio in to_bare]
    rows += [(f"build + {tool}", ratio, "#f58518") for tool, ratio in sorted(to_tools.items(), key=lambda row: -row[1])]
    figure, axes = pyplot.subplots(figsize=(8, 0.35 * len(rows) + 1), layout="constrained")
    names, ratios, colours = zip(*reversed(rows), strict=True)
    bars = axes.barh(names, ratios, color=colours)
    axes.bar_label(bars, labels=[f"{ratio:.2f}" for ratio in ratios], padding=3)
    axes.set_xlim(0, 1.05)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("time of measure() ÷ time of the other (1: as long; lower is faster)")
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
