"""What differs between the architectures that can be converted: keys, names, values of tensors."""

import math
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import gguf
import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.converting.folder import Config, ModelFolder
from quant.bits import Floats
from quant.errors import UsageError

IGNORED = (".rotary_emb.inv_freq", ".attention.masked_bias", ".attention.bias")
"""Ends of names of tensors that are computed, not trained."""
MOST_LAYERS = 1 << 12
SEEING = re.compile(r"(^|\.)(vision_tower|vision_model|multi_modal_projector|visual)\.")


class Family:
    """A causal decoder with the usual keys."""

    architecture: ClassVar[str]
    space_prefix: ClassVar[bool | None] = None  # whether a space is put before a text
    norm_shift: ClassVar[float] = 0.0  # is added to the weights of norms
    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})  # of keys that may be left out

    def __init__(self, folder: ModelFolder) -> None:
        self.config = folder.config.filled(self.defaults)
        self.layers = self.config.positive("num_hidden_layers", "n_layer")
        self.width = self.config.positive("hidden_size", "n_embd")
        self.heads = self.config.positive("num_attention_heads", "n_head")
        if self.layers > MOST_LAYERS:  # the table of names has some for each
            raise self.config.wrong("num_hidden_layers", f"is {self.layers}")

    @property
    def kv_heads(self) -> int:
        return self.config.positive("num_key_value_heads", default=self.heads)

    @property
    def rope(self) -> Config:
        """The scaling of positions, under its old or new name."""
        found = self.config.table("rope_parameters")
        if "full_attention" in found:
            return found.table("full_attention")
        return found if "rope_theta" in found else self.config.table("rope_scaling")

    @property
    def rope_kind(self) -> str:
        return self.rope.text("rope_type", self.rope.text("type")).lower()

    def rope_base(self) -> float:
        given = self.config.number("rope_theta", default=10000.0)
        return self.rope.number("rope_theta", default=given)

    def write(self, writer: gguf.GGUFWriter) -> None:
        """Adds the keys of the architecture, in the order of llama.cpp's converter."""
        self.write_sizes(writer)
        writer.add_head_count_kv(self.kv_heads)
        self.write_scaling(writer)
        writer.add_rope_freq_base(self.rope_base())
        writer.add_layer_norm_rms_eps(self.config.number("rms_norm_eps"))
        if "head_dim" in self.config:
            writer.add_key_length(self.config.integer("head_dim"))
            writer.add_value_length(self.config.integer("head_dim"))

    def write_sizes(self, writer: gguf.GGUFWriter) -> None:
        writer.add_block_count(self.layers)
        writer.add_context_length(self.context())
        writer.add_embedding_length(self.width)
        writer.add_feed_forward_length(self.feed_forward())
        writer.add_head_count(self.heads)

    def context(self) -> int:
        return self.config.integer("max_position_embeddings", "n_ctx", "n_positions")

    def feed_forward(self) -> int:
        """The width of the layer's second part."""
        return self.config.integer("intermediate_size")

    def write_scaling(self, writer: gguf.GGUFWriter) -> None:
        """How positions are stretched beyond the first training. Raises UsageError."""
        kind = self.rope_kind
        if kind in ("linear", "yarn"):
            writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
            writer.add_rope_scaling_factor(self.rope.number("factor"))
        if kind == "yarn":
            original = self.rope.integer("original_max_position_embeddings")
            writer.add_rope_scaling_orig_ctx_len(original)
        elif kind in ("su", "longrope"):
            writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        elif kind not in ("", "default", "dynamic", "linear", "llama3"):  # the first need no key
            message = f"{self.config.path}: rope_scaling is of the type {kind!r}"
            raise UsageError(message, "known types: linear, yarn, longrope, llama3")

    def tensor_name(self, name: str) -> str | None:
        """The name that the table of names knows, or None for a tensor that has no use."""
        plain = name.removeprefix("language_model.").replace("model.language_model.", "model.")
        if plain.endswith(IGNORED) or SEEING.search(plain):
            return None
        return plain if plain.startswith(("model.", "lm_head.")) else f"model.{plain}"

    def row_order(self, name: str, rows: int) -> NDArray[np.int64] | None:
        """The order of a tensor's rows; None: as they are."""
        return None

    def shift(self, name: str) -> float:
        """What is added to a tensor's values."""
        return self.norm_shift if name.endswith("norm.weight") else 0.0

    def is_transposed(self, name: str) -> bool:
        return False

    def rows(self, name: str, rows: int, tokens: int) -> int:
        """How many rows of a tensor are used; `tokens`: of the vocabulary."""
        return rows

    def extra(self) -> Iterator[tuple[str, Floats]]:
        """Tensors that are computed from the keys."""
        yield from ()


class Llama(Family):
    """Llama 1 to 3, Mistral: GGUF turns neighbouring pairs where transformers turns halves."""

    architecture = "llama"

    @property
    def head_width(self) -> int:
        return self.config.positive("head_dim", default=self.width // self.heads)

    def write(self, writer: gguf.GGUFWriter) -> None:
        super().write(writer)
        writer.add_vocab_size(self.config.integer("vocab_size"))
        writer.add_rope_dimension_count(self.head_width)

    def row_order(self, name: str, rows: int) -> NDArray[np.int64] | None:
        heads = {"q_proj": self.heads, "k_proj": self.kv_heads}.get(name.split(".")[-2])
        if heads is None:
            return None
        if rows % (2 * heads):
            raise self.config.wrong(
                "num_attention_heads", f"is {heads}, but {name} has {rows} rows"
            )
        order = np.arange(rows).reshape(heads, 2, rows // heads // 2)
        return order.swapaxes(1, 2).reshape(-1)

    def extra(self) -> Iterator[tuple[str, Floats]]:
        """Llama 3.1's factors: slow pairs are stretched, fast ones not, the others in between."""
        if self.rope_kind != "llama3":
            return
        base, width = self.rope_base(), self.head_width
        factor = self.rope.number("factor", default=8.0)
        low = self.rope.number("low_freq_factor", default=1.0)
        high = self.rope.number("high_freq_factor", default=4.0)
        original = self.rope.number("original_max_position_embeddings", default=8192)
        if not (0 < low < high and factor > 0 and original > 0 and base > 0):
            raise self.rope.wrong("rope_scaling", "has factors that do not fit together")
        lengths = 2 * math.pi * base ** (np.arange(0, width, 2) / width)  # of a whole turn
        ramp = np.clip((original / lengths - low) / (high - low), 0, 1)
        yield "rope_freqs.weight", (1 / ((1 - ramp) / factor + ramp)).astype(np.float32)


class Qwen2(Family):
    architecture = "qwen2"


class Qwen3(Family):
    architecture = "qwen3"


class Gemma2(Family):
    """Norms multiply by 1 + weight; the output matrix is the table of tokens."""

    architecture, norm_shift, space_prefix = "gemma2", 1.0, False

    def write(self, writer: gguf.GGUFWriter) -> None:
        writer.add_context_length(self.context())
        writer.add_embedding_length(self.width)
        writer.add_block_count(self.layers)
        writer.add_feed_forward_length(self.feed_forward())
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(self.kv_heads)
        writer.add_layer_norm_rms_eps(self.config.number("rms_norm_eps"))
        writer.add_key_length(self.config.integer("head_dim"))
        writer.add_value_length(self.config.integer("head_dim"))
        self.write_caps(writer)
        writer.add_sliding_window(self.config.integer("sliding_window"))

    def write_caps(self, writer: gguf.GGUFWriter) -> None:
        writer.add_attn_logit_softcapping(self.config.number("attn_logit_softcapping"))
        writer.add_final_logit_softcapping(self.config.number("final_logit_softcapping"))

    def tensor_name(self, name: str) -> str | None:
        plain = super().tensor_name(name)
        return None if plain == "lm_head.weight" else plain


class Gemma3(Gemma2):
    """Other bases for global and local layers; the table of tokens may have unused rows."""

    architecture = "gemma3"
    defaults = MappingProxyType(  # transformers writes only what differs, of a model that also sees
        {
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1_000_000.0,
            "rope_local_base_freq": 10000.0,
            "sliding_window": 4096,
        }
    )

    def write(self, writer: gguf.GGUFWriter) -> None:
        super().write(writer)
        self.write_scaling(writer)
        writer.add_rope_freq_base(self.rope_base())
        local = self.config.table("rope_parameters").table("sliding_attention")
        given = self.config.number("rope_local_base_freq")
        writer.add_rope_freq_base_swa(local.number("rope_theta", default=given))

    def write_caps(self, writer: gguf.GGUFWriter) -> None:
        if "final_logit_softcapping" in self.config:
            writer.add_final_logit_softcapping(self.config.number("final_logit_softcapping"))

    def rows(self, name: str, rows: int, tokens: int) -> int:
        return min(rows, tokens) if name.endswith("embed_tokens.weight") else rows


class Phi3(Family):
    """Fused matrices, which stay so; factors of long contexts."""

    architecture = "phi3"

    @property
    def turned(self) -> int:
        """The width of what turns in a head."""
        share = self.rope.number(
            "partial_rotary_factor",
            default=self.config.number("partial_rotary_factor", default=1.0),
        )
        return int(share * self.width) // self.heads

    @property
    def original_context(self) -> int:
        given = self.config.positive("original_max_position_embeddings", default=self.context())
        return self.rope.positive("original_max_position_embeddings", default=given)

    def write(self, writer: gguf.GGUFWriter) -> None:
        writer.add_context_length(self.context())
        writer.add_rope_scaling_orig_ctx_len(self.original_context)
        writer.add_embedding_length(self.width)
        writer.add_feed_forward_length(self.feed_forward())
        writer.add_block_count(self.layers)
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(self.kv_heads)
        writer.add_layer_norm_rms_eps(self.config.number("rms_norm_eps"))
        writer.add_rope_dimension_count(self.turned)
        writer.add_rope_freq_base(self.rope_base())
        # llama.cpp tells Phi 4 by the window 0
        writer.add_sliding_window(self.config.integer("sliding_window", default=0))
        if "long_factor" in self.rope:
            writer.add_rope_scaling_attn_factors(self._magnitude())

    def _magnitude(self) -> float:
        stretch = self.context() / self.original_context
        if stretch <= 1 or self.original_context == 1:
            return 1.0
        if self.rope_kind == "yarn":
            return 0.1 * math.log(stretch) + 1.0
        return math.sqrt(1 + math.log(stretch) / math.log(self.original_context))

    def extra(self) -> Iterator[tuple[str, Floats]]:
        if "long_factor" not in self.rope:
            return
        for name in ("long", "short"):
            factors = self.rope.numbers(f"{name}_factor")
            if len(factors) != self.turned // 2:
                what = f"has {len(factors)} numbers, not {self.turned // 2}"
                raise self.rope.wrong(f"{name}_factor", what)
            yield f"rope_factors_{name}.weight", np.array(factors, np.float32)


class Gpt2(Family):
    """Its matrices are stored transposed, as transformers' Conv1D takes them."""

    architecture = "gpt2"

    def write(self, writer: gguf.GGUFWriter) -> None:
        self.write_sizes(writer)
        writer.add_layer_norm_eps(self.config.number("layer_norm_epsilon"))

    def feed_forward(self) -> int:
        return self.config.integer("n_inner", default=4 * self.width)

    def tensor_name(self, name: str) -> str | None:
        if name.endswith((".attn.bias", ".attn.masked_bias")):
            return None
        return name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}"

    def is_transposed(self, name: str) -> bool:
        return name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight"))


class Bert(Family):
    """An encoder for embeddings: without its heads of the training."""

    architecture = "bert"

    def write(self, writer: gguf.GGUFWriter) -> None:
        self.write_sizes(writer)
        writer.add_layer_norm_eps(self.config.number("layer_norm_eps"))
        writer.add_causal_attention(False)

    def tensor_name(self, name: str) -> str | None:
        plain = name.removeprefix("bert.")
        plain = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", plain))
        unused = ("pooler.", "cls.predictions", "cls.seq_relationship", "embeddings.position_ids")
        return None if plain.startswith(unused) else plain


FAMILIES: Mapping[str, type[Family]] = MappingProxyType(
    {
        "LlamaForCausalLM": Llama,
        "MistralForCausalLM": Llama,
        "Qwen2ForCausalLM": Qwen2,
        "Qwen3ForCausalLM": Qwen3,
        "Gemma2ForCausalLM": Gemma2,
        "Gemma3ForCausalLM": Gemma3,
        "Gemma3ForConditionalGeneration": Gemma3,
        "Phi3ForCausalLM": Phi3,
        "GPT2LMHeadModel": Gpt2,
        "BertModel": Bert,
        "BertForMaskedLM": Bert,
    }
)
"""By the names in config.json's `architectures`."""


def family_of(folder: ModelFolder) -> Family:
    """Raises UsageError for an architecture that is not known, or weights that are quantized."""
    names = folder.config.names("architectures")
    known = next((FAMILIES[name] for name in names if name in FAMILIES), None)
    if known is None:
        named = ", ".join(names) or "none is named"
        message = f"{folder.config.path}: the architecture is not supported yet ({named})"
        raise UsageError(message, f"supported: {', '.join(FAMILIES)}")
    if "quantization_config" in folder.config:
        method = folder.config.table("quantization_config").text("quant_method", "unknown")
        message = f"{folder.path}: its weights are quantized (quant_method {method})"
        raise UsageError(message, "convert the model that it was made of, then: lepton quantize")
    return known(folder)
