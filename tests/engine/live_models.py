"""Models whose peak memory is held to an independent account: of torchvision and transformers, and small ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import nn

Case = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]


class WritesInPlace(nn.Module):
    """Fills a new buffer at each step."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(100):
            buffer = torch.zeros(4096)
            buffer[:64].add_(x[0])
        return buffer.view(64, 64) @ x.t()


class GathersNeighbours(nn.Module):
    """A graph layer: messages along edges, summed at their targets."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.update = nn.Linear(16, 16), nn.GRUCell(16, 16)

    def forward(self, nodes: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            messages = self.message(nodes[edges[0]]).relu()
            summed = torch.zeros(nodes.shape[0], 16).index_add_(0, edges[1], messages)
            degree = torch.zeros(nodes.shape[0]).scatter_add_(0, edges[1], torch.ones(edges.shape[1]))
            nodes = self.update(summed / degree.clamp(min=1)[:, None], nodes)
        return nodes


class MultipliesSparse(nn.Module):
    """Two layers over a sparse adjacency that is a buffer."""

    def __init__(self, *, compressed: bool) -> None:
        super().__init__()
        dense = torch.eye(32) + torch.eye(32).roll(1, 0)
        self.register_buffer("adjacency", dense.to_sparse_csr() if compressed else dense.to_sparse())
        self.first, self.second = nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.adjacency @ self.first(x).relu())  # type: ignore[no-any-return]


class KeepsAverages(nn.Module):
    """Writes a moving average into a small buffer of its own, and looks at another."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(16))
        self.register_buffer("rate", torch.tensor(0.5))
        self.linear = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x)
        rate = float(self.rate)  # type: ignore[arg-type]
        self.average.mul_(rate).add_(y.detach().mean(0), alpha=1 - rate)  # type: ignore[operator]
        return y - self.average  # type: ignore[no-any-return]


def _seen(name: str, size: int = 64) -> Callable[[], Case]:
    build = getattr(torchvision.models, name)
    return lambda: (build(weights=None), (torch.rand(2, 3, size, size),), {})


def _channels_last(name: str) -> Callable[[], Case]:
    def build() -> Case:
        model, (images,), _ = _seen(name)()
        model.to(memory_format=torch.channels_last)
        return model, (images.to(memory_format=torch.channels_last),), {}

    return build


def _transformer(name: str, config: str, **sizes: Any) -> Callable[[], Case]:
    def build() -> Case:
        import transformers

        model = getattr(transformers, name)(getattr(transformers, config)(**sizes))
        ids = torch.arange(48).reshape(2, 24) % 50
        keywords = {"input_ids": ids}
        if "T5" in name and "Encoder" not in name:
            keywords["decoder_input_ids"] = ids[:, :6]
        return model, (), keywords

    return build


_SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 50,
}
_T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "vocab_size": 50}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 50}
_DROPPED: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def _cached() -> Case:
    """A step of decoding, with the keys and values of the steps before in an object."""
    import transformers

    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**_SMALL))
    cache = transformers.DynamicCache(config=model.config)
    for layer in range(2):
        cache.update(torch.rand(1, 2, 40, 16), torch.rand(1, 2, 40, 16), layer)
    return model, (), {"input_ids": torch.zeros(1, 1, dtype=torch.int64), "past_key_values": cache}


FAST: dict[str, Callable[[], Case]] = {
    "writes in place": lambda: (WritesInPlace(), (torch.rand(8, 64),), {}),
    "graph": lambda: (
        GathersNeighbours(),
        (torch.rand(20, 16), torch.stack((torch.arange(60) % 20, torch.arange(60) * 7 % 20))),
        {},
    ),
    "sparse": lambda: (MultipliesSparse(compressed=False), (torch.rand(32, 16),), {}),
    "compressed sparse": lambda: (MultipliesSparse(compressed=True), (torch.rand(32, 16),), {}),
    "moving average": lambda: (KeepsAverages(), (torch.rand(4, 16),), {}),
    "gru cell": lambda: (nn.GRUCell(8, 16), (torch.rand(4, 8),), {}),
    "transformer encoder": lambda: (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 2, 64, 0.0, batch_first=True), 2),
        (torch.rand(2, 9, 32),),
        {},
    ),
    "squeezenet1_1": _seen("squeezenet1_1"),
}
SLOW: dict[str, Callable[[], Case]] = {
    "gru": lambda: (nn.GRU(8, 16, 2, batch_first=True), (torch.rand(4, 7, 8),), {}),
    "rnn": lambda: (nn.RNN(8, 16, 2), (torch.rand(4, 7, 8),), {}),
    "lstm": lambda: (nn.LSTM(8, 16, 2), (torch.rand(4, 7, 8),), {}),
    **{name: _seen(name) for name in ("resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5")},
    **{name: _seen(name) for name in ("densenet121", "regnet_y_400mf", "efficientnet_b0", "convnext_tiny", "swin_t")},
    "vit_b_32": _seen("vit_b_32", 224),
    "resnet18 channels-last": _channels_last("resnet18"),
    "mobilenet_v3_small channels-last": _channels_last("mobilenet_v3_small"),
    "bert": _transformer("BertModel", "BertConfig", **_SMALL, **_DROPPED),
    "gpt2": _transformer("GPT2LMHeadModel", "GPT2Config", **_GPT2),
    "t5": _transformer("T5Model", "T5Config", **_T5),
    "llama": _transformer("LlamaForCausalLM", "LlamaConfig", **_SMALL),
    "mistral": _transformer("MistralForCausalLM", "MistralConfig", **_SMALL, num_key_value_heads=1),
    "llama with a cache": _cached,
}
