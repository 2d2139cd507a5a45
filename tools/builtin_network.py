"""The built-in model's network for training: `llama` as llama.cpp defines it, in torch."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of the network; every row length is a multiple of 32, as Q8_0 asks."""

    vocabulary: int = 1536
    width: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 512
    context: int = 1024
    epsilon: float = 1e-5
    rope_base: float = 10000.0

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """RoPE over neighbouring pairs (2i, 2i+1): (B, H, T, d)."""
    even, odd = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).type_as(x)


def same_document(ids: torch.Tensor) -> torch.Tensor:
    """Which position may see which: earlier ones since the last BOS (id 1). (B, 1, T, T)."""
    document = (ids == 1).cumsum(1)
    return (document[:, :, None] == document[:, None, :]).tril()[:, None]


class Block(nn.Module):
    """Attention with grouped key-value heads, then SwiGLU, each behind an RMS norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, kv_width = shape.width, shape.kv_heads * shape.head_width
        self.shape = shape
        self.attn_norm = nn.RMSNorm(width, eps=shape.epsilon)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, kv_width, bias=False)
        self.attn_v = nn.Linear(width, kv_width, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_norm = nn.RMSNorm(width, eps=shape.epsilon)
        self.ffn_gate = nn.Linear(width, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(width, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, width, bias=False)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> torch.Tensor:
        h = self.attn_norm(x)
        q, k, v = (
            linear(h).unflatten(-1, (-1, self.shape.head_width)).transpose(1, 2)  # (B, H, T, d)
            for linear in (self.attn_q, self.attn_k, self.attn_v)
        )
        group = self.shape.heads // self.shape.kv_heads
        k, v = (part.repeat_interleave(group, 1) for part in (rotate(k, cos, sin), v))
        mixed = functional.scaled_dot_product_attention(rotate(q, cos, sin), k, v, mask)
        x = x + self.attn_output(mixed.transpose(1, 2).flatten(-2))
        h = self.ffn_norm(x)
        fed: torch.Tensor = self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))
        return x + fed


class Llama(nn.Module):
    """Embedding, blocks, norm, output. The attributes carry GGUF's names.

    What a block adds starts at zero, so that at first the words alone are in the stream.
    """

    cos: torch.Tensor
    sin: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.output = nn.Linear(shape.width, shape.vocabulary, bias=False)
        half = torch.arange(shape.head_width // 2) / (shape.head_width // 2)
        angles = torch.arange(shape.context)[:, None] * shape.rope_base**-half  # (T, d/2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, weight in self.named_parameters():
            if name.endswith(("attn_output.weight", "ffn_down.weight")):
                nn.init.zeros_(weight)
            elif weight.ndim == 2:
                nn.init.normal_(weight, std=0.3 if name == "token_embd.weight" else 0.04)

    def forward(self, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The weighted mean loss of ids[:, 1:], each predicted from the ids before it."""
        x = self.token_embd(ids[:, :-1])
        T = x.shape[1]
        mask = same_document(ids[:, :-1])
        for block in self.blk:
            x = block(x, mask, self.cos[:T], self.sin[:T])
        logits = self.output(self.output_norm(x))  # (B, T, V)
        wanted, weight = ids[:, 1:].flatten(), weights[:, 1:].flatten()
        losses = functional.cross_entropy(logits.flatten(0, 1).float(), wanted, reduction="none")
        return (losses * weight).sum() / weight.sum()
