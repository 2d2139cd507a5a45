"""Train the built-in model from nothing and write it as a GGUF file.

    pip install torch numpy sentencepiece gguf
    python tools/train_builtin.py --out lepton_cli/data/builtin.gguf

One command does it all: the text (`builtin_corpus` and the tables that it imports), the
tokenizer, the training of `builtin_network`, Q8_0, the held-out perplexity of the quantized
weights, the file. torch is needed here only; nothing of Lepton imports it. No clock has a say:
steps and seed repeat a run, as far as torch and the machine allow.
"""

import argparse
import io
import math
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import sentencepiece as spm
import torch
from builtin_corpus import INTENTS, Turn, conversation, plain_story
from builtin_network import Llama, Shape
from torch import nn

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
STEPS = 5000
DESCRIPTION = (
    "A tiny model that greets, tells short stories and explains how to use Lepton. "
    "It knows nothing else."
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the network is trained. Short rows come first: more dialogues a second."""

    steps: int
    seed: int
    short_rows: tuple[int, int] = (8, 256)  # rows and tokens a row
    long_rows: tuple[int, int] = (2, 1024)
    short_share: float = 0.6
    plain_stories: float = 0.02  # the share of documents that are a story alone
    peak_rate: float = 4e-3
    warmup: float = 0.02
    weight_decay: float = 0.05
    checkpoint_steps: int = 500


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
    tokenizer: spm.SentencePieceProcessor, seed: int, plain_stories: float
) -> Iterator[tuple[int, float]]:
    """An endless stream of (id, weight): dialogues, and now and then a story alone."""
    rng = random.Random(seed)
    while True:
        if rng.random() < plain_stories:
            text = [*tokenizer.encode(plain_story(rng)), tokenizer.eos_id()]
            yield from [(tokenizer.bos_id(), 0.0), *((token, 1.0) for token in text)]
        else:
            yield from encode(tokenizer, conversation(rng))


def next_batch(
    stream: Iterator[tuple[int, float]], rows: int, length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Packed rows, never seen before: (rows, length + 1) ids and as many weights."""
    ids, weights = zip(*(next(stream) for _ in range(rows * (length + 1))), strict=True)
    return torch.tensor(ids).view(rows, -1), torch.tensor(weights).view(rows, -1)


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
    """Train for the recipe's steps; a usable file is written now and then."""
    torch.manual_seed(recipe.seed)
    model = Llama(shape)
    loss_of = torch.compile(model, dynamic=False)
    optimizers = optimizers_of(model, recipe)
    stream = documents(tokenizer, recipe.seed, recipe.plain_stories)
    start, mean, done = time.monotonic(), 0.0, Progress(0, 0)
    while done.steps < recipe.steps:
        part = done.steps / recipe.steps
        rows = recipe.short_rows if part < recipe.short_share else recipe.long_rows
        ids, weights = next_batch(stream, *rows)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(ids, weights)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        update(optimizers, rate_at(part, recipe))
        mean += (loss.item() - mean) * max(0.02, 1 / (done.steps + 1))
        done = Progress(done.steps + 1, done.tokens + weights[:, 1:].numel())
        if done.steps % 50 == 0:
            minutes = (time.monotonic() - start) / 60
            print(f"{minutes:5.1f} min  step {done.steps}  loss {mean:.4f}", flush=True)
        if done.steps % recipe.checkpoint_steps == 0 and done.steps < recipe.steps:
            write(out, tokenizer, shape, recipe, done, quantized(model))
    return model, done


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
    stream = documents(tokenizer, seed + 1_000_003, plain_stories=0.0)
    with torch.no_grad():
        for _ in range(24):
            ids, counted = next_batch(stream, 2, shape.context)
            answers = (counted >= 1).float()
            total += float(model(ids, answers)) * float(answers[:, 1:].sum())
            count += float(answers[:, 1:].sum())
    return math.exp(total / count)


def write(
    out: Path, tokenizer: spm.SentencePieceProcessor, shape: Shape, recipe: Recipe, done: Progress,
    tensors: dict[str, np.ndarray],
) -> None:  # fmt: skip
    """Write the GGUF file beside `out`, then move it into its place."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        part = Path(folder) / out.name
        write_all(part, tokenizer, shape, recipe, done, tensors)
        part.replace(out)


def write_all(
    part: Path, tokenizer: spm.SentencePieceProcessor, shape: Shape, recipe: Recipe, done: Progress,
    tensors: dict[str, np.ndarray],
) -> None:  # fmt: skip
    """Write the metadata and the tensors."""
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
        f"tools/train_builtin.py --steps {recipe.steps} --seed {recipe.seed}, {done.steps} steps "
        f"done, on dialogues that templates write (requests in them: {mix_of_intents()}): Muon and "
        f"AdamW, peak rate {recipe.peak_rate}, cosine, weight decay {recipe.weight_decay}, steps "
        f"of {recipe.short_rows} then {recipe.long_rows} rows and tokens, bf16 autocast on CPU, "
        f"loss mostly on answers; perplexity: per answer token, other seed, Q8_0 weights"
    )
    writer.add_string("lepton.training.recipe", line)
    writer.add_uint64("lepton.training.tokens", done.tokens)
    writer.add_float32("lepton.training.held_out_perplexity", perplexity)
    writer.add_uint32("lepton.training.seed", recipe.seed)


def mix_of_intents() -> str:
    """The shares of what is asked for in the dialogues, stories after stories not counted."""
    total = sum(share for _, share in INTENTS)
    return ", ".join(f"{intent.__name__} {share / total:.0%}" for intent, share in INTENTS)


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
    parser.add_argument("--steps", type=int, default=STEPS, help="of 2048 tokens")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("lepton_cli/data/builtin.gguf"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape, recipe = Shape(), Recipe(options.steps, options.seed)
    tokenizer = train_tokenizer(recipe.seed, shape.vocabulary)
    model, done = train(tokenizer, shape, recipe, options.out)
    write(options.out, tokenizer, shape, recipe, done, quantized(model))
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
