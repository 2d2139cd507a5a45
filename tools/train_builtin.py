"""Train the built-in model from nothing and write it as a GGUF file.

    pip install torch numpy sentencepiece gguf
    python tools/train_builtin.py --minutes 40 --out lepton_cli/data/builtin.gguf

One command does it all: the text (`builtin_corpus`, `builtin_stories`), the tokenizer, the
training, Q8_0, the held-out perplexity of the quantized weights, the file. torch is needed here
only; nothing of Lepton imports it. `--steps` repeats a run exactly, as far as torch allows.
"""

import argparse
import io
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import sentencepiece as spm
import torch
from builtin_corpus import Turn, conversation, plain_story
from torch import nn
from torch.nn import functional

SYSTEM, USER, ASSISTANT, END = "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
TEMPLATE = """\
{%- for message in messages -%}
    {%- if message.role == 'system' -%}<|system|>{{ message.content | trim }}<|end|>
    {%- elif message.role == 'user' -%}<|user|>{{ message.content | trim }}<|end|>
    {%- elif message.role == 'assistant' -%}<|assistant|>{{ message.content | trim }}<|end|>
    {%- else -%}{{ raise_exception('Roles are system, user and assistant, not ' ~ message.role) }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"""
DESCRIPTION = (
    "A tiny model that greets, tells short stories and explains how to use Lepton. "
    "It knows nothing else."
)


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of the network; every row length is a multiple of 32, as Q8_0 asks."""

    vocabulary: int = 1536
    width: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 512
    context: int = 1024
    epsilon: float = 1e-5
    rope_base: float = 10000.0

    @property
    def head_width(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the network is trained; the clock ends it, or the number of steps where one is given.

    Short rows come first: many small steps teach copying and the questions' meaning soonest.
    """

    minutes: float
    steps: int | None
    seed: int
    short_rows: tuple[int, int] = (8, 256)  # rows and tokens a row
    long_rows: tuple[int, int] = (4, 1024)
    short_share: float = 0.7
    echoes: float = 0.15  # the share of documents that are nothing but copies
    peak_rate: float = 4e-3
    warmup: float = 0.02
    weight_decay: float = 0.05
    checkpoint_minutes: float = 9.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training has come."""

    steps: int
    tokens: int


# the text as tokens ------------------------------------------------------------------------------
def train_tokenizer(seed: int, vocabulary: int) -> spm.SentencePieceProcessor:
    """BPE with byte fallback over sampled dialogues; a newline is always its byte token."""
    rng = random.Random(seed)
    lines = [
        line
        for _ in range(12000)
        for turn in conversation(rng)
        for line in turn.content.split("\n")
        if line
    ]
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="bpe", vocab_size=vocabulary,
        byte_fallback=True, character_coverage=1.0, normalization_rule_name="identity",
        add_dummy_prefix=False, remove_extra_whitespaces=False, split_digits=True, num_threads=1,
        required_chars="".join(map(chr, range(33, 127))), minloglevel=2, bos_piece="<s>",
        eos_piece=END, control_symbols=[SYSTEM, USER, ASSISTANT],
    )  # fmt: skip
    return spm.SentencePieceProcessor(model_proto=model.getvalue())


def answer_weight(position: int) -> float:
    """How much a token of an answer counts: the first ones decide whether the question is met."""
    return 1.0 + 4.0 * math.exp(-position / 8)


def question_weight(position: int) -> float:
    """What a person writes is learned too, a little: it teaches the words."""
    return 0.1


def encode(tokenizer: spm.SentencePieceProcessor, turns: list[Turn]) -> list[tuple[int, float]]:
    """A dialogue in the chat template's form: ids, each with its weight in the loss."""
    pairs = [(tokenizer.bos_id(), 0.0)]
    for turn in turns:
        weight_at = answer_weight if turn.role == "assistant" else question_weight
        text = [*tokenizer.encode(turn.content), tokenizer.eos_id()]
        pairs.append((tokenizer.piece_to_id(f"<|{turn.role}|>"), 0.0))
        pairs += [(token, weight_at(position)) for position, token in enumerate(text)]
    return pairs


def documents(
    tokenizer: spm.SentencePieceProcessor, seed: int, echoes: float
) -> Iterator[tuple[int, float]]:
    """An endless stream of (id, weight): dialogues, and now and then something else."""
    rng = random.Random(seed)
    while True:
        draw = rng.random()
        if draw < 0.05:
            text = [*tokenizer.encode(plain_story(rng)), tokenizer.eos_id()]
            yield from [(tokenizer.bos_id(), 0.0), *((token, 1.0) for token in text)]
        elif draw < 0.05 + echoes:
            yield from echo(tokenizer, rng)
        else:
            yield from encode(tokenizer, conversation(rng))


def echo(tokenizer: spm.SentencePieceProcessor, rng: random.Random) -> list[tuple[int, float]]:
    """Random tokens and the same again: so small a model learns to copy a name from this first."""
    tokens = [rng.randrange(262, tokenizer.vocab_size()) for _ in range(rng.randrange(4, 40))]
    once, again = [(token, 0.0) for token in tokens], [(token, 1.0) for token in tokens]
    return [(tokenizer.bos_id(), 0.0), *once, *again, (tokenizer.eos_id(), 1.0)]


def next_batch(
    stream: Iterator[tuple[int, float]], rows: int, length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Packed rows, never seen before: (rows, length + 1) ids and as many weights."""
    ids, weights = zip(*(next(stream) for _ in range(rows * (length + 1))), strict=True)
    return torch.tensor(ids).view(rows, -1), torch.tensor(weights).view(rows, -1)


# the network, as llama.cpp defines `llama` -------------------------------------------------------
def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """RoPE over neighbouring pairs (2i, 2i+1): (B, H, T, d)."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
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
        return x + self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Llama(nn.Module):
    """Embedding, blocks, norm, output. The attributes carry GGUF's names.

    What a block adds starts at zero, so that at first the words alone are in the stream.
    """

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


# training ----------------------------------------------------------------------------------------
def rate_at(progress: float, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    if progress < recipe.warmup:
        return recipe.peak_rate * max(progress / recipe.warmup, 0.02)
    fall = (progress - recipe.warmup) / (1 - recipe.warmup)
    return recipe.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0))))


def optimizers_of(model: Llama, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the vocabulary's two and the norms."""
    matrices = [weight for weight in model.blk.parameters() if weight.ndim == 2]
    others = [
        weight
        for name, weight in model.named_parameters()
        if weight.ndim == 1 or not name.startswith("blk.")
    ]
    return [
        torch.optim.Muon(
            matrices, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def train(
    tokenizer: spm.SentencePieceProcessor, shape: Shape, recipe: Recipe, out: Path
) -> tuple[Llama, Progress]:
    """Train until the clock or the steps end; a usable file is written every few minutes."""
    torch.manual_seed(recipe.seed)
    model = Llama(shape)
    loss_of = torch.compile(model, dynamic=False)
    optimizers = optimizers_of(model, recipe)
    stream = documents(tokenizer, recipe.seed, recipe.echoes)
    start, saved, mean, done = time.monotonic(), 0.0, 0.0, Progress(0, 0)
    while True:
        minutes = (time.monotonic() - start) / 60
        part = done.steps / recipe.steps if recipe.steps else minutes / recipe.minutes
        if part >= 1:
            return model, done
        short = part < recipe.short_share
        ids, weights = next_batch(stream, *(recipe.short_rows if short else recipe.long_rows))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(ids, weights)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        update(optimizers, rate_at(part, recipe))
        mean += (loss.item() - mean) * max(0.02, 1 / (done.steps + 1))
        if done.steps % 50 == 0:
            print(f"{minutes:5.1f} min  step {done.steps}  loss {mean:.4f}", flush=True)
        done = Progress(done.steps + 1, done.tokens + weights[:, 1:].numel())
        if minutes - saved > recipe.checkpoint_minutes:
            saved = minutes
            write(out, tokenizer, shape, recipe, done, quantized(model))


def update(optimizers: list[torch.optim.Optimizer], rate: float) -> None:
    """One step of each optimizer at this rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()


# the file ----------------------------------------------------------------------------------------
def quantized(model: Llama) -> dict[str, np.ndarray]:
    """Tensors under GGUF's names: matrices as Q8_0 bytes, norms as f32."""
    return {
        name: gguf.quants.quantize(weight.numpy(), gguf.GGMLQuantizationType.Q8_0)
        if weight.ndim == 2
        else weight.numpy()
        for name, weight in model.state_dict().items()
    }


def held_out_perplexity(
    tokenizer: spm.SentencePieceProcessor, shape: Shape, seed: int, tensors: dict[str, np.ndarray]
) -> float:
    """Perplexity per answer token of the dequantized weights, in f32, on text of another seed."""
    model = Llama(shape)
    weights = {
        name: gguf.quants.dequantize(array, gguf.GGMLQuantizationType.Q8_0)
        if array.dtype == np.uint8
        else array
        for name, array in tensors.items()
    }
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    total, count = 0.0, 0.0
    stream = documents(tokenizer, seed + 1_000_003, echoes=0.0)
    with torch.no_grad():
        for _ in range(24):
            ids, weights = next_batch(stream, 2, shape.context)
            answers = (weights >= 1).float()
            total += float(model(ids, answers)) * float(answers[:, 1:].sum())
            count += float(answers[:, 1:].sum())
    return math.exp(total / count)


def write(
    out: Path, tokenizer: spm.SentencePieceProcessor, shape: Shape, recipe: Recipe, done: Progress,
    tensors: dict[str, np.ndarray],
) -> None:  # fmt: skip
    """Write the GGUF file beside `out`, then move it into its place."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "llama")
    describe(writer, shape)
    describe_training(writer, shape, recipe, done, tokenizer, tensors)
    describe_tokenizer(writer, tokenizer)
    for name, array in tensors.items():
        packed = array.dtype == np.uint8
        kind = gguf.GGMLQuantizationType.Q8_0 if packed else None
        writer.add_tensor(name, array, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(out)


def describe(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """Who the model is, its shape, and the sampling that suits it."""
    writer.add_name("Lepton built-in")
    writer.add_description(DESCRIPTION)
    writer.add_license("MIT")
    writer.add_author("The Lepton project")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_float32("general.sampling.temp", 0.5)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)


def describe_training(
    writer: gguf.GGUFWriter, shape: Shape, recipe: Recipe, done: Progress,
    tokenizer: spm.SentencePieceProcessor, tensors: dict[str, np.ndarray],
) -> None:  # fmt: skip
    """How the model came to be, and how well it predicts text that it has not seen."""
    perplexity = held_out_perplexity(tokenizer, shape, recipe.seed, tensors)
    print(f"held-out perplexity {perplexity:.4f} after {done.steps} steps", flush=True)
    line = (
        f"tools/train_builtin.py --steps {done.steps} --seed {recipe.seed}: Muon and AdamW, peak "
        f"rate {recipe.peak_rate}, cosine, weight decay {recipe.weight_decay}, steps of "
        f"{recipe.short_rows} then {recipe.long_rows} rows and tokens, bf16 autocast on CPU, "
        f"loss mostly on answers; perplexity: per answer token, other seed, Q8_0 weights"
    )
    writer.add_string("lepton.training.recipe", line)
    writer.add_uint64("lepton.training.tokens", done.tokens)
    writer.add_float32("lepton.training.held_out_perplexity", perplexity)
    writer.add_uint32("lepton.training.seed", recipe.seed)


def describe_tokenizer(writer: gguf.GGUFWriter, tokenizer: spm.SentencePieceProcessor) -> None:
    """The vocabulary with its scores and types, the special ids and the chat template."""
    ids = range(tokenizer.vocab_size())
    writer.add_tokenizer_model("llama")
    writer.add_token_list([tokenizer.id_to_piece(i).encode() for i in ids])
    writer.add_token_scores([tokenizer.get_score(i) for i in ids])
    writer.add_token_types([token_type(tokenizer, i) for i in ids])
    writer.add_unk_token_id(tokenizer.unk_id())
    writer.add_bos_token_id(tokenizer.bos_id())
    writer.add_eos_token_id(tokenizer.eos_id())
    writer.add_eot_token_id(tokenizer.eos_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)


def token_type(tokenizer: spm.SentencePieceProcessor, token: int) -> gguf.TokenType:
    """GGUF's type of one token."""
    if tokenizer.is_unknown(token):
        return gguf.TokenType.UNKNOWN
    if tokenizer.is_control(token):
        return gguf.TokenType.CONTROL
    return gguf.TokenType.BYTE if tokenizer.is_byte(token) else gguf.TokenType.NORMAL


def main() -> None:
    """Read the options, train, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=40.0, help="wall time of the training")
    parser.add_argument("--steps", type=int, help="train so many steps instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("lepton_cli/data/builtin.gguf"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape, recipe = Shape(), Recipe(options.minutes, options.steps, options.seed)
    tokenizer = train_tokenizer(recipe.seed, shape.vocabulary)
    model, done = train(tokenizer, shape, recipe, options.out)
    write(options.out, tokenizer, shape, recipe, done, quantized(model))
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
