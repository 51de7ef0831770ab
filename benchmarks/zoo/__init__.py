"""Ten zoos of models that pip installs, each a generator of names and of the ways to build and call what they name."""

from __future__ import annotations

from collections.abc import Callable

from zoo.attempts import Zoo
from zoo.diffusers_models import diffusers
from zoo.examples import vit_pytorch, x_transformers
from zoo.graph_nets import torch_geometric
from zoo.language_nets import peft, torchaudio
from zoo.monai_nets import monai
from zoo.vision_nets import open_clip, segmentation_models_pytorch, ultralytics

ZOOS: dict[str, Callable[[], Zoo]] = {
    each.__name__: each
    for each in (
        *(diffusers, segmentation_models_pytorch, monai, vit_pytorch, x_transformers),
        *(torchaudio, torch_geometric, peft, open_clip, ultralytics),
    )
}
