"""monai: networks for medical images."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from benchmarks.zoo.attempts import Attempt, Zoo, classes, filled


def monai() -> Zoo:
    """Networks for medical images, in two and in three dimensions where they have both."""
    nets = importlib.import_module("monai.networks.nets")
    for name, cls in classes(nets):
        parameters = inspect.signature(cls).parameters
        for dims in (2, 3) if "spatial_dims" in parameters else (0,):
            yield f"{name} {dims}d" if dims else name, _attempts(cls, dims)


# What a constructor's argument of that name is given.
_VALUES: dict[str, Any] = {
    "in_channels": 1, "out_channels": 2, "num_classes": 2, "classes": 2, "label_nc": 3, "pretrained": False,
    "channels": (8, 16, 32), "strides": (2, 2), "num_channel_initial": 8, "depth": 2, "extract_levels": [0, 1],
    "num_tokens": 64, "max_seq_len": 32, "attn_layers_dim": 32, "attn_layers_depth": 2, "attn_layers_heads": 4,
    "in_shape": (1, 32, 32), "out_shape": (2,), "latent_shape": (16,), "start_shape": (8, 4, 4), "latent_size": 8,
    "hidden_channels": (16, 16), "encode_channels": (16,), "decode_channels": (16,), "num_d": 2, "num_layers_d": 2,
    "block": "se_resnet_bottleneck", "layers": (1, 1, 1, 1), "block_inplanes": (8, 16, 32, 64), "groups": 1,
    "reduction": 16, "model_name": "efficientnet-b0", "backbone": "resnet18", "num_language_layers": 1,
    "num_vision_layers": 1, "num_mixed_layers": 1, "unet_out_channels": 8, "final_conv_channels": (8,), "dim": 16,
    "hidden_size": 64, "num_heads": 4, "mlp_dim": 64, "num_layers": 2, "in_planes": 8, "planes": 8,
    "num_res_blocks": (1, 1), "attention_levels": (False, True), "norm_num_groups": 8, "num_head_channels": 8,
}  # fmt: skip
_DIFFUSION = {"num_channels": (8, 16), "channels": (8, 16)}
_SMALL = ("num_res_blocks", "attention_levels", "norm_num_groups", "num_head_channels", "num_channels", "pretrained")
_SE = {"spatial_dims": 2, "in_channels": 1}
_TWO = {"channels": (8, 16)}
_OWN: dict[str, dict[str, Any]] = {
    "Critic": _TWO,
    "Discriminator": _TWO,
    "Classifier": _TWO,
    "Regressor": _TWO,
    "AutoEncoder": _TWO,
    "VarAutoEncoder": _TWO,
    "ResNetFeatures": {"model_name": "resnet18"},
    "ResNetEncoder": {"model_name": "resnet18"},
    "PatchDiscriminator": {"channels": 8},
    "MultiScalePatchDiscriminator": {"channels": 8},
    "SENet154": _SE,
    "SEResNext50": _SE,
    "SEResNet50": _SE,
    "DynUNet": {"kernel_size": (3, 3, 3), "strides": (1, 2, 2), "upsample_kernel_size": (2, 2)},
    "NaViT": {"image_size": 32, "patch_size": 8, "hidden_size": 64},
    "VQVAE": {
        "channels": (8, 16),
        "num_res_channels": (8, 16),
        "num_res_layers": 1,
        "num_embeddings": 16,
        "downsample_parameters": ((2, 4, 1, 1),) * 2,
        "upsample_parameters": ((2, 4, 1, 1, 0),) * 2,
    },
}


def _attempts(cls: Any, dims: int) -> Callable[[], Iterator[Attempt]]:
    def attempts() -> Iterator[Attempt]:
        name, space = cls.__name__, (32,) * (dims or 3)
        names = inspect.signature(cls).parameters
        sizes = dict.fromkeys(("img_size", "image_size", "input_image_size", "input_shape"), space)
        values = _VALUES | sizes | {"spatial_dims": dims, "patch_size": (8,) * (dims or 3)}
        diffusion = "attention_levels" in names
        own = (_DIFFUSION if diffusion else {}) | _OWN.get(name, {})
        wanted = [*own, *(_SMALL if diffusion else ()), "pretrained", "spatial_dims"]
        arguments = filled(cls, values | own, wanted)
        arguments |= {key: own[key] for key in own if not diffusion}

        def build() -> nn.Module:
            model: nn.Module = cls(**arguments)
            return model

        for image in _images(names, arguments, space):
            yield build, _inputs(cls, image)

    return attempts


def _images(names: Any, arguments: dict[str, Any], space: tuple[int, ...]) -> Iterator[torch.Tensor]:
    """Candidates of the main input."""
    own = names["in_channels"].default if "in_channels" in names else 1
    channels = [each for each in (arguments.get("in_channels", own), 1, 3, 8) if isinstance(each, int)]
    spaces = [space, (32, 32), (64,) * len(space), (256, 256)]
    for size in dict.fromkeys(spaces):
        for channel in dict.fromkeys(channels):
            yield torch.rand(1, channel, *size)
    for shape in ((1, 4, 3, 32, 32), (1, 16), (1, 1), (1, 8, 8, 16), (1, 8, 8, 8, 16), (1, 32, 64)):
        yield torch.rand(shape)


def _inputs(cls: Any, image: torch.Tensor) -> dict[str, Any]:
    words = torch.arange(1, 9)[None]
    main = torch.arange(1, 17)[None] if cls.__name__ == "DecoderOnlyTransformer" else image
    if cls.__name__ == "NaViT":
        return {"batched_images": [[image[0]]]}
    known = {
        "controlnet_cond": torch.rand(*image.shape[:2], *(8 * size for size in image.shape[2:])),
        "timesteps": torch.tensor([10]),
        "seg": torch.rand(1, 3, *image.shape[2:]),
        "input_ids": words,
        "token_type_ids": torch.zeros_like(words),
    }
    parameters = list(inspect.signature(cls.forward).parameters.values())[1:]
    asked = [p.name for p in parameters if p.default is p.empty or p.name in ("vision_feats", "token_type_ids")]
    return {name: known.get(name, main) for name in asked}
