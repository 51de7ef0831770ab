"""A small GPT in plain PyTorch: pre-norm blocks, causal attention, and a head that shares the embedding's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Let each token read those before it."""
        batch, length, width = x.shape
        # Batch × length × 3 width, to three tensors of batch × heads × length × width of a head.
        query, key, value = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        read = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        mixed: Tensor = self.out(read.transpose(1, 2).reshape(batch, length, width))
        return mixed


class Block(nn.Module):
    """Attention and an MLP, each on a normalized input and added to the stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attn = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Add what attention and MLP find."""
        x = x + self.attn(self.norm_attn(x))
        added: Tensor = x + self.mlp(self.norm_mlp(x))
        return added


class GPT(nn.Module):
    """A decoder-only transformer: token ids in, a score for each token of the vocabulary out.

    Args:
        vocab: tokens that it knows.
        context: the longest sequence that it takes.
        width: of the stream.
        layers: blocks.
        heads: of each block's attention.
        tied: whether the head's weights are the embedding's.
    """

    def __init__(self, vocab: int, context: int, width: int, layers: int, heads: int, *, tied: bool = True) -> None:
        super().__init__()
        self.token = nn.Embedding(vocab, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        if tied:
            self.head.weight = self.token.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Score the token that follows each of ``ids``."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        stream = self.token(ids) + self.position(positions)
        scores: Tensor = self.head(self.norm(self.blocks(stream)))
        return scores


def small(vocab: int = 8192, context: int = 1024, *, tied: bool = True) -> GPT:
    """The GPT of this example: six blocks, 256 wide."""
    return GPT(vocab, context, width=256, layers=6, heads=8, tied=tied)
