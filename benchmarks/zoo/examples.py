"""vit-pytorch and x-transformers: the models that their own documentation shows, as it builds and calls them."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from importlib.metadata import metadata
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

from benchmarks.zoo.attempts import Attempt, UnknownError, Zoo, one


class _CalledError(BaseException):
    def __init__(self, *call: Any) -> None:
        self.call = call


def first_call(source: str, namespace: dict[str, Any]) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """The module that an example calls first, and with what; the call itself is not made.

    A model of words that is made and not called is given some words.
    """
    call = nn.Module.__call__

    def watched(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if sys._getframe(1).f_globals is namespace:
            raise _CalledError(module, args, kwargs)
        return call(module, *args, **kwargs)

    with (
        mock.patch.object(nn.Module, "__call__", watched),
        mock.patch.object(nn.Module, "cuda", lambda module, *_: module),
        mock.patch.object(torch.Tensor, "cuda", lambda tensor, *_: tensor),
    ):
        try:
            exec(compile(source, "<example>", "exec"), namespace)
        except _CalledError as called:
            return called.call
    made = [value for value in namespace.values() if hasattr(value, "num_tokens") and hasattr(value, "max_seq_len")]
    if not made:
        raise UnknownError("the example calls no model")
    return made[-1], (torch.arange(min(128, made[-1].max_seq_len))[None],), {}


def example(source: str, module: str = "") -> Callable[[], list[Attempt]]:
    """The attempt of an example's source, which may stand at the end of a module."""

    def run() -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
        namespace = dict(vars(importlib.import_module(module))) if module else {"__name__": "example"}
        return first_call(source, namespace)

    def attempts() -> list[Attempt]:
        try:
            model, args, kwargs = run()
        except UnknownError:
            raise
        except Exception as error:
            raise ImportError(f"{type(error).__name__}: {error}") from error
        inputs = dict(zip(inspect.signature(model.forward).parameters, args, strict=False)) | kwargs if kwargs else args
        return [(lambda: run()[0], inputs)]

    return attempts


def readme(package: str) -> Zoo:
    """The examples in the description of a package."""
    text = str(metadata(package).json["description"])
    for number, source in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
        made = re.findall(r"= ([A-Z]\w+)\(", source) or ["?"]
        yield f"README {number:02} {made[-1]}", example(source)


def demonstrations(package: str) -> Zoo:
    """What the modules of a package do where they are run as scripts."""
    for path in sorted(Path(str(importlib.import_module(package).__file__)).parent.glob("*.py")):
        _, found, source = path.read_text(encoding="utf-8").partition("if __name__ == '__main__':\n")
        if found:
            yield path.stem, example(textwrap.dedent(source), f"{package}.{path.stem}")


def vit_pytorch() -> Zoo:
    """Vision transformers."""
    yield from readme("vit-pytorch")
    yield from demonstrations("vit_pytorch")


def x_transformers() -> Zoo:
    """Transformers, and a feature of theirs in each example."""
    yield from readme("x-transformers")
    package = importlib.import_module("x_transformers")
    source = inspect.getsource(package.x_transformers.AttentionLayers.__init__)
    flags = re.findall(r"^ {8}(\w+) = (?:False|True),", source, re.MULTILINE)
    ids = torch.randint(0, 256, (1, 64))
    # The examples without a call, and the switches that no example shows.
    for flag in flags:

        def build(flag: str = flag) -> nn.Module:
            layers = package.Decoder(dim=64, depth=2, heads=4, **{flag: True})
            wrapped: nn.Module = package.TransformerWrapper(num_tokens=256, max_seq_len=64, attn_layers=layers)
            return wrapped

        yield f"Decoder {flag}", one(build, (ids,))
