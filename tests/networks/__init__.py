"""Two networks as they were measured once, for tests that want a real profile and measure nothing.

Each has the cases ``default`` and ``hd``: an image of 64 × 64 and one of 128 × 128.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytest_modelbudget import Layer, Profile
from pytest_modelbudget.baseline.store import from_bytes


def recorded(name: str) -> list[Profile]:
    """``resnet18`` or ``resnet50``, a profile a case."""
    file = Path(__file__).parent / f"{name}.json"
    return list(from_bytes(file.read_bytes(), file.name).cases.values())


def with_classes(profile: Profile, classes: int) -> Profile:
    """The same network with another number of classes."""
    root, fc = profile.layers[""], profile.layers["fc"]
    width, shape = fc.macs // fc.activations, (1, classes)
    params = (width + 1) * classes
    changed = replace(
        fc,
        params=params,
        trainable_params=params,
        size=4 * params,
        macs=width * classes,
        activations=classes,
        output_shape=shape,
        spec=f"in_features={width}, out_features={classes}, bias=True",
    )
    return _with_layers(profile, {**profile.layers, "": replace(root, output_shape=shape), "fc": changed})


def with_block(profile: Profile) -> Profile:
    """The same ResNet-50 with a seventh block in its third stage, like the sixth."""
    rows = list(profile.layers.values())
    end = next(at for at, layer in enumerate(rows) if layer.name == "layer4")
    sixth = profile["layer3.5"].layers.values()
    rows[end:end] = [replace(layer, name=layer.name.replace("layer3.5", "layer3.6")) for layer in sixth]
    return _with_layers(profile, {layer.name: layer for layer in rows})


def _with_layers(profile: Profile, layers: dict[str, Layer]) -> Profile:
    changed = replace(profile, layers=layers)
    # At its peak all weights are alive.
    return replace(changed, peak_memory=profile.peak_memory + changed.size - profile.size)
