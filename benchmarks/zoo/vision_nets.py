"""segmentation-models-pytorch, open_clip and ultralytics: networks for pictures."""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.zoo.attempts import Zoo, one


def segmentation_models_pytorch() -> Zoo:
    """Each decoder on two encoders, and a decoder on each encoder."""
    smp = importlib.import_module("segmentation_models_pytorch")
    decoders = (
        *("Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "PAN"),
        *("UPerNet", "Segformer"),
    )
    pairs = [(decoder, encoder) for decoder in decoders for encoder in ("resnet18", "mobilenet_v2")]
    pairs += [("Unet", encoder) for encoder in smp.encoders.get_encoder_names()]
    pairs += [
        ("Unet", f"tu-{name}") for name in ("convnext_atto", "mobilevit_s", "edgenext_xx_small", "ghostnetv3_050")
    ]
    pairs += [("DPT", f"tu-{name}") for name in ("vit_tiny_patch16_224", "deit_tiny_patch16_224")]
    for decoder, encoder in dict.fromkeys(pairs):

        def build(decoder: str = decoder, encoder: str = encoder) -> nn.Module:
            model: nn.Module = getattr(smp, decoder)(encoder, encoder_weights=None, classes=3)
            return model

        size = 224 if decoder == "DPT" else 128
        yield f"{decoder} {encoder}", one(build, (1, 3, size, size))


def open_clip() -> Zoo:
    """Each of its configurations, with two layers a tower."""
    clip = importlib.import_module("open_clip")
    for name in clip.list_models():
        config = clip.get_model_config(name)
        vision, text = config["vision_cfg"], config["text_cfg"]
        if text.get("hf_model_name"):
            continue  # its text tower is a model of transformers, whose configuration is downloaded
        if isinstance(vision.get("layers"), int):
            vision["layers"] = 2
        elif "layers" in vision:
            vision["layers"] = [1, 1, 1, 1]
        text["layers"] = min(text.get("layers", 12), 2)
        text["vocab_size"] = 1000
        multimodal = config.pop("multimodal_cfg", None)
        custom = config.pop("custom_text", None) or "timm_model_name" in vision

        def build(config: dict[str, Any] = config, multimodal: Any = multimodal, custom: Any = custom) -> nn.Module:
            if multimodal:
                model: nn.Module = clip.CoCa(**config, multimodal_cfg=multimodal | {"layers": 2})
            else:
                model = (clip.CustomTextCLIP if custom else clip.CLIP)(**config)
            return model

        size = vision.get("image_size", 224)
        height, width = (size, size) if isinstance(size, int) else size
        words = torch.arange(1, text.get("context_length", 77) + 1)[None]
        yield name, one(build, (torch.rand(1, 3, height, width), words))


def ultralytics() -> Zoo:
    """Each of its configurations, at its smallest scale."""
    os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.gettempdir())  # where it writes settings when it is imported
    tasks = importlib.import_module("ultralytics.nn.tasks")
    folder = Path(str(importlib.import_module("ultralytics").__file__)).parent / "cfg" / "models"
    kinds = {
        **dict.fromkeys(("Segment", "Segment26"), "Segmentation"),
        **dict.fromkeys(("Pose", "Pose26"), "Pose"),
        **dict.fromkeys(("OBB", "OBB26"), "OBB"),
        **dict.fromkeys(("YOLOESegment", "YOLOESegment26"), "YOLOESeg"),
        "Classify": "Classification",
        "Depth": "Depth",
        "RTDETRDecoder": "RTDETRDetection",
        "SemanticSegment": "SemanticSegmentation",
        "WorldDetect": "World",
        "YOLOEDetect": "YOLOE",
    }
    for path in sorted(folder.rglob("*.yaml")):
        config = tasks.yaml_model_load(path)
        if "scales" in config:
            config["scale"] = next(iter(config["scales"]))
        head = config["head"][-1][2]
        kind = kinds.get(head, "Detection") + "Model"

        def build(config: Any = config, kind: str = kind) -> nn.Module:
            model: nn.Module = getattr(tasks, kind)(config, verbose=False)
            return model

        size = 640 if "rtdetr" in path.stem else 224 if "-cls" in path.stem else 256
        yield path.stem, one(build, (1, 3, size, size))
