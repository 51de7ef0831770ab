"""peft and torchaudio: adapters of language models, and networks for sound."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn

from benchmarks.zoo.attempts import Zoo, one


def peft() -> Zoo:
    """Each kind of adapter, on a small language model of transformers."""
    package = importlib.import_module("peft")
    transformers = importlib.import_module("transformers")
    sizes = {"vocab_size": 256, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
    linear = {"target_modules": ["q_proj", "v_proj"]}
    known: dict[str, dict[str, Any]] = {
        "AdaLoraConfig": linear | {"total_step": 10},
        "AdaptionPromptConfig": {"adapter_len": 4, "adapter_layers": 2},
        "IA3Config": {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
        "LNTuningConfig": {"target_modules": ["input_layernorm"]},
        "BOFTConfig": linear | {"boft_block_size": 4},
        "C3AConfig": linear | {"block_size": 16},
        "OFTConfig": {"target_modules": ["q_proj"], "oft_block_size": 16},
        "VBLoRAConfig": linear | {"vector_length": 16, "num_vectors": 8},
        "FourierFTConfig": linear | {"n_frequency": 16},
        "WaveFTConfig": linear | {"n_frequency": 16},
        "TrainableTokensConfig": {"token_indices": [1, 2]},
        "PrefixTuningConfig": {"num_virtual_tokens": 4},
        "PromptEncoderConfig": {"num_virtual_tokens": 4, "encoder_hidden_size": 32},
        "PromptTuningConfig": {"num_virtual_tokens": 4},
        "MultitaskPromptTuningConfig": {"num_virtual_tokens": 4, "num_tasks": 2},
        "CartridgeConfig": {"num_virtual_tokens": 4},
        "RoadConfig": linear | {"group_size": 16},
        "ShiraConfig": linear | {"r": 4},
        "CPTConfig": {"cpt_token_ids": [1, 2], "cpt_mask": [1, 1], "cpt_tokens_type_mask": [1, 2]},
    }
    variants = {
        "LoraConfig": ({"use_dora": True}, {"use_rslora": True}, {"lora_bias": True}, {"modules_to_save": ["lm_head"]})
    }
    ids = torch.arange(1, 33)[None]
    for name in sorted(each.__name__ for each in package.PEFT_TYPE_TO_CONFIG_MAPPING.values()):
        for more in ({}, *variants.get(name, ())):

            def build(name: str = name, more: dict[str, Any] = more) -> nn.Module:
                base = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, use_cache=False))
                arguments = known.get(name, linear) | more
                config = getattr(package, name)(task_type="CAUSAL_LM", **arguments)
                model: nn.Module = package.get_peft_model(base, config)
                return model

            call: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            if name in ("MultitaskPromptTuningConfig", "PolyConfig"):
                call["task_ids"] = torch.tensor([0])
            yield " ".join((name, *more)), one(build, call)


def torchaudio() -> Zoo:
    """Its constructors that need no pretrained weights; the large ones are skipped by their size."""
    models = importlib.import_module("torchaudio.models")
    sound = torch.rand(1, 16000)
    frames, lengths = torch.rand(1, 64, 80), torch.tensor([64])
    conformer = {"input_dim": 80, "num_heads": 4, "ffn_dim": 128, "num_layers": 2, "depthwise_conv_kernel_size": 31}
    emformer = {"input_dim": 80, "num_heads": 4, "ffn_dim": 128, "num_layers": 2, "segment_length": 8}
    emformer |= {"left_context_length": 4, "right_context_length": 4}
    tokens = torch.arange(1, 21)[None]
    calls: dict[str, tuple[dict[str, Any], Any]] = {
        "Wav2Letter": ({"input_type": "waveform", "num_features": 1}, (torch.rand(1, 1, 16000),)),
        "WaveRNN": (
            {"upsample_scales": [5, 5, 8], "n_classes": 64, "hop_length": 200, "n_rnn": 64, "n_fc": 64},
            (torch.rand(1, 1, 10 * 200), torch.rand(1, 1, 128, 14)),
        ),
        "ConvTasNet": ({}, (torch.rand(1, 1, 8000),)),
        "conv_tasnet_base": ({}, (torch.rand(1, 1, 8000),)),
        "DeepSpeech": ({"n_feature": 80, "n_hidden": 256}, (torch.rand(1, 1, 50, 80),)),
        "Conformer": (conformer, (frames, lengths)),
        "Conformer group_norm": (conformer | {"use_group_norm": True, "convolution_first": True}, (frames, lengths)),
        "Emformer": (emformer, (torch.rand(1, 68, 80), lengths)),
        "Emformer memory": (emformer | {"max_memory_size": 4, "tanh_on_mem": True}, (torch.rand(1, 68, 80), lengths)),
        "Tacotron2": (
            {"decoder_max_step": 20},
            (tokens, torch.tensor([20]), torch.rand(1, 80, 30), torch.tensor([30])),
        ),
        "emformer_rnnt_base": (
            {"num_symbols": 64},
            (
                torch.rand(1, 132, 80),
                torch.tensor([132]),
                torch.ones(1, 8, dtype=torch.int32),
                torch.tensor([8], dtype=torch.int32),
            ),
        ),
        "HDemucs": ({"sources": ["a", "b"], "channels": 16}, (torch.rand(1, 2, 44100),)),
        "hdemucs_low": ({"sources": ["a", "b"]}, (torch.rand(1, 2, 44100),)),
        "hdemucs_medium": ({"sources": ["a", "b"]}, (torch.rand(1, 2, 44100),)),
        "hdemucs_high": ({"sources": ["a", "b"]}, (torch.rand(1, 2, 44100),)),
        "squim_objective_base": ({}, (sound,)),
        "squim_subjective_base": ({}, (sound, sound)),
    }
    for name in ("base", "large", "large_lv60k", "xlsr_300m", "xlsr_1b", "xlsr_2b"):
        calls[f"wav2vec2_{name}"] = ({}, (sound,))
    for name in ("hubert_base", "hubert_large", "hubert_xlarge", "wavlm_base", "wavlm_large"):
        calls[name] = ({}, (sound,))
    for name in ("base", "large", "xlarge"):
        calls[f"hubert_pretrain_{name}"] = ({}, (sound, torch.zeros(1, 49, dtype=torch.int64)))
    calls["wav2vec2_base lengths"] = ({}, (torch.rand(2, 16000), torch.tensor([16000, 12000])))
    calls["wav2vec2_base aux"] = ({"aux_num_out": 32}, (sound,))
    for name, (arguments, inputs) in calls.items():
        constructor = getattr(models, name.partition(" ")[0])

        def build(constructor: Any = constructor, arguments: dict[str, Any] = arguments) -> nn.Module:
            model: nn.Module = constructor(**arguments)
            return model

        yield name, one(build, inputs)
