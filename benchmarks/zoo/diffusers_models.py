"""diffusers: each of its models with its own widths, two layers and few heads, on small latents."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch
from torch import nn

from benchmarks.zoo.attempts import Attempt, UnknownError, Zoo, classes

WORDS = 8
_BOTH = (True, False)
_WORDS = (
    *("joint_attention_dim", "cross_attention_dim", "text_dim", "text_embed_dim", "caption_channels", "cap_feat_dim"),
    *("encoder_hidden_size", "text_in_dim", "text_hidden_dim", "encoder_hidden_states_channels", "caption_dim"),
    *("in_text_dim", "context_in_dim", "cond_token_dim", "encoder_hid_dim", "llm_dim", "text_feature_dim"),
)
_LAYERS = ("layers", "depth", "blocks", "n_layers", "num_res_blocks")


def diffusers() -> Zoo:
    """Each public model."""
    package = importlib.import_module("diffusers")
    for name, cls in classes(package, package.ModelMixin):
        yield name, _attempts(cls)


def _attempts(cls: Any) -> Callable[[], Iterator[Attempt]]:
    def attempts() -> Iterator[Attempt]:
        parameters = inspect.signature(cls.__init__).parameters
        missing = [p.name for p in parameters.values() if p.default is p.empty and p.name != "self"]
        if missing:
            raise UnknownError(f"nothing is known to give for {', '.join(missing)}")
        if "args" in inspect.signature(cls.forward).parameters or len(inspect.signature(cls.forward).parameters) < 2:
            raise UnknownError("it is a part of another model, and is not called")
        for heads in (2, 4):
            arguments = _small(parameters, heads)

            def build(arguments: dict[str, Any] = arguments) -> nn.Module:
                model: nn.Module = cls(**arguments)
                return model

            try:
                with torch.device("meta"):
                    config = build().config
            except Exception:
                config = build().config
            for inputs in _inputs(cls, config):
                yield build, inputs

    return attempts


def _small(parameters: Any, heads: int) -> dict[str, Any]:
    """The arguments that make a model small: two layers, fewer heads, narrow blocks."""
    small: dict[str, Any] = {}
    for name, parameter in parameters.items():
        value = parameter.default
        if "block_out_channels" in name and isinstance(value, list | tuple):
            small[name] = type(value)(each // 4 if each % 128 == 0 else each for each in value)
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        if value > 2 and any(name.endswith(word) for word in _LAYERS):
            small[name] = 2
        elif name in ("num_attention_heads", "n_heads") and value > heads:
            small[name] = heads
        elif name in ("num_key_value_heads", "n_kv_heads") and value > 1:
            small[name] = heads // 2
    return small


def _first(config: Any, *names: str, default: int = 0) -> int:
    for name in names:
        value = config.get(name)
        if isinstance(value, list | tuple) and value:
            value = value[0]
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return default


def _inputs(cls: Any, config: Any) -> Iterator[dict[str, Any]]:
    """Candidates of inputs, by the names of the forward's arguments and what the configuration says of sizes."""
    channels = _first(config, "in_channels", "latent_channels", "input_channels", "audio_channels", "z_dim", default=3)
    wide = _first(config, "hidden_size", "dim", default=64)
    parameters = {name: p for name, p in inspect.signature(cls.forward).parameters.items() if name != "self"}
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    small, large = (16, 16), (64, 64)
    shapes = [
        *((1, channels, *small), (1, channels, 5, *small), (1, 5, channels, *small), (1, 16, channels)),
        *((1, channels, 32, 32), (1, channels, *large), (1, channels, 9, *large), (1, channels, 5, 32, 32)),
        *((1, channels, 4096), (1, channels, 16), (1, 3, 128, 128), (1, 16, wide)),
    ]
    widths = dict.fromkeys([*filter(None, (_first(config, key) for key in _WORDS)), 64])
    for shape, words, whole, mask in product(shapes, widths, _BOTH, _BOTH):
        known = _tensors(config, shape, words, whole, mask)
        if "t" in parameters and "cap_feats" in parameters:
            known["x"] = [torch.rand(channels, 1, 8, 8)]
        unknown = [name for name in needed if name not in known]
        if unknown:
            raise UnknownError(f"nothing is known to give for {', '.join(unknown)}")
        for names in ((*needed, *_USUAL), (*needed, *_USUAL, *_SELDOM), needed):
            yield {name: known[name] for name in parameters if name in names and name in known}


_USUAL = (
    *("timestep", "encoder_hidden_states", "pooled_projections", "guidance", "img_ids", "txt_ids", "img_shapes"),
    *("encoder_hidden_states_mask", "encoder_hidden_states_t5", "text_embedding_mask"),
)
_SELDOM = ("class_labels", "num_frames", "height", "width", "added_cond_kwargs")


def _tensors(config: Any, shape: tuple[int, ...], words: int, whole: bool, mask: bool) -> dict[str, Any]:
    """What an argument of that name is given, for a main input of this shape and words of this width."""
    axes = next((len(config[key]) for key in ("axes_dims_rope", "axes_dim", "axes_dims") if config.get(key)), 3)
    main, text = torch.rand(shape), torch.rand(1, WORDS, words)
    height = shape[-1] if len(shape) > 3 else 4
    kept = torch.ones(1, WORDS, dtype=torch.bool if mask else torch.long)
    t5 = _first(config, "cross_attention_dim_t5", "text_embed_dim_t5", default=words)
    vace = _first(config, "vace_in_channels", default=96)
    mains = ("hidden_states", "sample", "x", "latents", "latent", "z", "mel", "image_latents", "context_latents")
    return {
        **dict.fromkeys((*mains, "pose_hidden_states"), main),
        **dict.fromkeys(("encoder_attention_mask", "encoder_hidden_states_mask"), kept),
        **dict.fromkeys(("encoder_mask", "text_embedding_mask"), torch.ones(1, WORDS)),
        **dict.fromkeys(("t", "timestep_r", "r_timestep", "timestep_ratio", "sigma"), torch.tensor([0.5])),
        **dict.fromkeys(("original_size", "target_size"), torch.tensor([[128, 128]])),
        **dict.fromkeys(("attention_mask", "image_rotary_emb", "latent_cond", "cross_attention_kwargs")),
        "timestep": torch.tensor([1]) if whole else torch.tensor([1.0]),
        "timesteps": torch.tensor([1]),
        "encoder_hidden_states": text,
        "text_bth": text,
        "text_lens": torch.tensor([WORDS]),
        "encoder_hidden_states_t5": torch.rand(1, WORDS, t5),
        "pooled_projections": torch.rand(1, _first(config, "pooled_projection_dim", "in_text_dim2", default=768)),
        "guidance": torch.tensor([1.0]),
        "img_ids": torch.zeros(16, axes),
        "txt_ids": torch.zeros(WORDS, axes),
        "img_shapes": [(1, 4, 4)],
        "controlnet_cond": torch.rand(1, _first(config, "conditioning_channels", default=3), 8 * height, 8 * height),
        "crop_coords": torch.tensor([[0, 0]]),
        "class_labels": torch.tensor([1]),
        "num_frames": 1,
        "height": 4,
        "width": 4,
        "fps": torch.tensor([16]),
        "image_embeds": torch.rand(1, WORDS, _first(config, "image_dim", "image_embed_dim", default=64)),
        "image_embeddings": torch.rand(1, words),
        "added_time_ids": torch.rand(1, 3),
        "proj_embedding": torch.rand(1, _first(config, "embedding_dim", default=768)),
        "global_hidden_states": torch.rand(1, 1, _first(config, "global_states_input_dim", default=64)),
        "input_ids": torch.arange(1, 17)[None],
        "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
        "cap_feats": [torch.rand(WORDS, words)],
        "position_ids": torch.arange(16)[None],
        "clip_text_pooled": torch.rand(1, 1, 1280),
        "padding_mask": torch.ones(1, 1, height, height),
        "control_hidden_states": torch.rand(1, vace, *shape[2:]),
        "conditioning_scale": 1.0,
    }
