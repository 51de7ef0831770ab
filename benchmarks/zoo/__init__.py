"""Ten zoos of models that pip installs, each a generator of names and of the ways to build and call what they name."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.zoo.attempts import Zoo
from benchmarks.zoo.diffusers_models import diffusers
from benchmarks.zoo.examples import vit_pytorch, x_transformers
from benchmarks.zoo.graph_nets import torch_geometric
from benchmarks.zoo.language_nets import peft, torchaudio
from benchmarks.zoo.monai_nets import monai
from benchmarks.zoo.vision_nets import open_clip, segmentation_models_pytorch, ultralytics

ZOOS: dict[str, Callable[[], Zoo]] = {
    each.__name__: each
    for each in (
        *(diffusers, segmentation_models_pytorch, monai, vit_pytorch, x_transformers),
        *(torchaudio, torch_geometric, peft, open_clip, ultralytics),
    )
}
