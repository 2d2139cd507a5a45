"""A loaded model, the interface for the command line and the Python API."""

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from lepton_cli.engine.constraints.constraint import JsonSchema, find_constraint
from lepton_cli.engine.decoding.answer import Answer
from lepton_cli.engine.decoding.audit import AuditLog
from lepton_cli.engine.decoding.beam_search import Beam, BeamRules, BeamSearch, check_beams
from lepton_cli.engine.decoding.diffusion import Masks, check_possible, diffusion_events
from lepton_cli.engine.decoding.generation import Generation, check_ids, fit, protected_tokens
from lepton_cli.engine.decoding.next_token import NextTokens
from lepton_cli.engine.decoding.prompts import Prompts
from lepton_cli.engine.decoding.scheduler import Batch, Outcome, Request
from lepton_cli.engine.decoding.single import answer_events, turns_of
from lepton_cli.engine.decoding.speculation import Guessers
from lepton_cli.engine.decoding.window import Passes, Window
from lepton_cli.engine.embedding.embeddings import Embeddings, Texts, open_embeddings
from lepton_cli.engine.embedding.pooling import VectorForm
from lepton_cli.engine.events import Done, Event, Text
from lepton_cli.engine.library.catalogue import resolve
from lepton_cli.engine.library.paths import kernel_folder, weight_folder
from lepton_cli.engine.library.sizes import counted
from lepton_cli.engine.loading.adapters import LiveAdapters
from lepton_cli.engine.loading.backends import Backend, GpuUse
from lepton_cli.engine.loading.model_file import ModelFile
from lepton_cli.engine.loading.placement import GpuLayers
from lepton_cli.engine.loading.plan import LoadOptions, Plan, SpecType
from lepton_cli.engine.loading.prepare import prepare
from lepton_cli.engine.prefixes.recall import Prefixes, key_of, prefix_folder
from lepton_cli.engine.sampling.sampler import Mask, Sampler, Sampling
from lepton_cli.engine.text.tokenizer import Tokenizer, build_tokenizer
from lepton_cli.models.pooling import Pooling
from ops.backend import Meter, NoMeter, Resources, WeightFiles, cpu_arithmetic
from ops.compiled.kernel_folder import Compiling
from ops.machine import default_threads
from ops.profile import OperatorTime
from ops.state.formats import CacheType
from quant.errors import ContextOverflowError, ModelFileError, UsageError
from quant.gguf import GGUF

if TYPE_CHECKING:
    from lepton_cli.engine.constraints.guide import Guides
    from lepton_cli.engine.text.template import ChatTemplate

SUPPRESSED = "tokenizer.ggml.suppress_tokens"


class Model(ModelFile):
    """One model file, ready to run. Keeps the KV cache of the last prompt for the next one."""

    def __init__(
        self,
        file: GGUF,
        options: LoadOptions,
        on_plan: Callable[[str], None] | None = None,
        on_compile: Callable[[Compiling], None] | None = None,
        beside: "Model | None" = None,
    ) -> None:
        """`on_plan` is called with the memory plan before loading, `on_compile` with progress.

        `beside` is another open model, whose memory is not counted as free.
        """
        super().__init__(file)
        self._options = options
        choice = default_threads()
        self.threads = options.threads or choice.count
        self.threads_reason = "asked for" if options.threads else choice.reason
        self.weights = WeightFiles.of(weight_folder(), options.weights)
        told = on_compile or (lambda compiling: None)
        resources = Resources(self.threads, kernel_folder(), told, self.weights)
        prepared = prepare(file, options, resources, on_plan, beside.plan if beside else None)
        plan, limits = prepared.plan, prepared.limits
        self.plan: Plan = plan
        self.trained_context, self.context_size = prepared.trained, plan.context
        self.backend, self.no_gpu = prepared.choice.backend, prepared.choice.no_gpu
        self.gpu: GpuUse | None = prepared.card.use if prepared.card else None
        self._notes = prepared.notes
        self._backends = prepared.backends(options.kv)
        self._runner, head = prepared.open(options)
        self._runner.pool.checkpoints = plan.checkpoints
        self._program, self.observations = prepared.program, prepared.observations
        whole, encoder = self._program.sees_whole_runs, self._program.encoder
        self.prompts = Prompts(encoder.start if encoder else None)
        self._passes = Passes(
            self._runner, limits.tokens, limits.outputs, whole=whole, prompts=self.prompts
        )
        self._positions = Window(self._passes, plan.context)
        parts = prepared, self._passes, options, file.metadata
        self._embeddings = open_embeddings(*parts, lambda: self.tokenizer, self._batch_limit)
        kinds = [kind for kind in get_args(SpecType) if options.may_guess_by(kind)]
        self.guessers = Guessers(NextTokens(head, limits.tokens) if head else None, kinds)
        runners = self._runner, head, self._embeddings.embedder if self._embeddings else None
        self.adapters = LiveAdapters(prepared.adapters, runners, self._forget)
        self.draft: Model | None = None
        self._audit: AuditLog | None = None
        self.vocabulary_size = self._program.vocabulary

    @property
    def longest_context(self) -> int:
        """The largest context with which the model could be opened."""
        return self.plan.longest

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user about how the file is run."""
        return (*self._notes, *self.tokenizer.notes)

    @property
    def fingerprint(self) -> str:
        """Models with equal fingerprints give equal bytes for equal prompt, seed and settings.

        The reference backend promises that for equal passes only.
        """
        key = key_of(self._computed_by(), self._passes.pool.layout).hex()
        if self.gpu is not None:
            return f"{self.gpu.arithmetic}-{key}"
        return key if self.backend == "cpu" else f"{self.backend}-{key}"

    @property
    def identity(self) -> str:
        """A digest of what the files hold that the program is made of (see identity.py)."""
        return self._program.identity

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Raises ModelFileError for a file without a vocabulary that Lepton can read."""
        tokenizer = build_tokenizer(self.metadata)  # while the weights are being packed
        if tokenizer.vocab_size > self.vocabulary_size:
            message = f"{self.path}: {counted(tokenizer.vocab_size, 'token')}, but "
            message += f"token_embd.weight has only {counted(self.vocabulary_size, 'row')}"
            raise ModelFileError(message)
        return tokenizer

    @cached_property
    def template(self) -> "ChatTemplate":
        from lepton_cli.engine.text.template import load_template  # while weights are packed

        return load_template(self.metadata, self.tokenizer, self._options.template)

    @property
    def has_encoder(self) -> bool:
        """Whether it reads a prompt as a whole, which nothing can be added to."""
        return self.prompts.start is not None

    @property
    def window(self) -> Window:
        """The context window, for measuring single passes."""
        return self._positions

    def profile(self, tokens: Sequence[int]) -> list[OperatorTime]:
        """Measures one pass of tokens after those in the window, which is left unchanged.

        Raises UsageError on a backend that does not measure operator times.
        """
        return self._positions.profile(tokens)

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:  # (T,) -> (T, V)
        """The logits of 1 to `context_size` tokens, run from an empty cache.

        Of a model with an encoder, of the tokens from the start token on.
        """
        self._check(ids := self.prompts.opened(ids))
        if len(ids) > self.context_size:
            message = f"{counted(len(ids), 'token')}, the context holds {self.context_size}"
            raise ContextOverflowError(message, "load the model with a larger ctx")
        return self._positions.all_logits(ids)

    def stream(
        self,
        ids: Sequence[int],
        generation: Generation,
        interrupt: threading.Event | None = None,
    ) -> Iterator[Event]:
        """The events of one answer; the last is Done. Setting `interrupt` ends it soon.

        Raises ContextOverflowError before the first event.
        """
        prompt, answer, keep = self._begin(ids := self.prompts.opened(ids), generation)
        if self._passes.whole:
            masks, dropped = Masks.of(self.metadata, self.vocabulary_size), len(ids) - len(prompt)
            inputs = answer, prompt, self._positions, masks, generation
            events = diffusion_events(*inputs, dropped=dropped, interrupt=interrupt)
        else:
            speculation = self.guessers.speculation(generation.draft_max, generation.draft_p_min)
            self._positions.follower = self.guessers.follower if speculation else None
            parting = self._prefixes.recall(self._positions, prompt) if self._prefixes else 0
            turns = turns_of(prompt, self.tokenizer) if self._passes.pool.layout.slots else []
            events = answer_events(
                answer,
                prompt,
                self._positions,
                shift=keep if generation.overflow == "shift" else None,
                dropped=len(ids) - len(prompt),
                speculation=speculation,
                interrupt=interrupt,
                turns=[*turns, parting],
            )
        log = self._audit
        return log.log_events(ids, generation, answer.seed, events) if log else events

    def batch(
        self,
        requests: Iterable[Request],
        jobs: int | None = None,
        interrupt: threading.Event | None = None,
    ) -> Iterator[Outcome]:
        """Answers many prompts, up to `jobs` at once (None: the best number), as they end.

        Requests are consumed as there is room for them. An invalid request gives an outcome with
        an error. Setting `interrupt` ends all answers soon, as "interrupted".
        """
        self._passes.check_causal()
        batch = Batch(self._passes, self.context_size, self._batch_limit(), self._begin)
        many, log = jobs or self._passes.outputs, self._audit
        if log is None:
            return batch.outcomes(requests, many, interrupt)
        return log.log_outcomes(requests, lambda logged: batch.outcomes(logged, many, interrupt))

    @property
    def embeddings(self) -> Embeddings:
        """Of a model that was opened for embeddings. Raises UsageError."""
        if self._embeddings is None:
            message = f"{self.path} was opened to generate text, not for embeddings"
            raise UsageError(message, "open it with pooling='mean' (or 'last', 'cls', 'none')")
        return self._embeddings

    def embed(
        self,
        texts_or_ids: Texts,
        *,
        normalize: bool = True,
        truncate: bool = False,
        dimensions: int | None = None,
    ) -> NDArray[np.float32]:  # (n, width); without pooling a row for each token
        """The vectors of texts, of length 1 if `normalize`. Raises LeptonError.

        Texts get the model's special tokens, ids do not. Longer ones than the context are refused,
        or cut if `truncate`. Of each vector the first `dimensions` numbers are given, or all.
        """
        form = VectorForm(normalize, dimensions)
        return self.embeddings.embed(texts_or_ids, form, truncate=truncate)

    def rerank(
        self, query: str, texts: Sequence[str], *, truncate: bool = False
    ) -> NDArray[np.float32]:  # (n,)
        """How well each text answers the query, by a reranker. Raises LeptonError."""
        return self.embeddings.rerank(query, texts, truncate=truncate)

    def audit(self, path: Path) -> None:
        """From now on each answer is logged in this file (see audit.py). Raises UsageError."""
        self._audit = AuditLog(path, self)

    def beams(
        self,
        ids: Sequence[int],
        generation: Generation,
        width: int,
        interrupt: threading.Event | None = None,
    ) -> list[Beam]:
        """The most likely answers found by beam search, best first. Raises LeptonError."""
        check_beams(width, self._passes.outputs, generation)
        self._check(ids := self.prompts.opened(ids))
        self._passes.check_causal()
        tokenizer = self.tokenizer
        prompt = self._fit(ids, generation, protected_tokens(ids, tokenizer.bos))
        rules = BeamRules.of(generation, tokenizer, self._suppressed())
        search = BeamSearch(self._passes, self.context_size, rules, width)
        reasoning = self.template.reasoning if generation.split_reasoning else None
        begins_text = self.prompts.begins_text(prompt)
        continued = self.prompts.continued(prompt)
        beams = [
            beam.decoded(continued, tokenizer, generation, reasoning, begins_text=begins_text)
            for beam in search.run(prompt, interrupt)
        ]
        if self._audit:
            self._audit.log_beams(ids, generation, beams)
        return beams

    def remember(self, count: int | None = None, least: int = 1) -> str | None:
        """Stores the window's first `count` tokens (or all) on disk, if at least `least` are new.

        Only if the model was opened with LoadOptions.prefixes. Returns why they could not be
        stored, or None.
        """
        return self._prefixes.store(self._positions, count, least) if self._prefixes else None

    @cached_property
    def _prefixes(self) -> Prefixes | None:
        """None if nothing is stored: the reference's results depend on the size of a pass, what
        tokens that see each other keep on all of them."""
        limit, sees_all = self._options.prefixes, self._passes.whole or self.has_encoder
        if not limit or self.backend == "reference" or sees_all:
            return None
        return Prefixes(self._computed_by, self.name, limit, prefix_folder())

    def _computed_by(self) -> str:
        """Identifies the file, the operators that run, and the arithmetic."""
        code = " ".join(f"{one.arithmetic} {one.code}" for one in self._backends)
        placed = self.gpu.arithmetic if self.gpu else ""
        return f"{self.identity} {self._runner.digest.hex()} {code} {placed}"

    @property
    def arithmetic(self) -> str:
        """The kind of processor and card, which a batch's results depend on."""
        own = "" if self.backend == "reference" else cpu_arithmetic()
        card = f".{self.gpu.arithmetic}" if self.gpu else ""
        return f"{own or self.backend}{card}"

    def meter(self) -> Meter:
        """Measures the limits of the device; a model on two devices has none."""
        one = len(self._backends) == 1
        return self._backends[0].meter(self._program) if one else NoMeter()

    def sampler(self, generation: Generation, mask: Mask | None = None) -> Sampler:
        """A new sampler, which never draws tokens that the file suppresses."""
        return Sampler(
            generation.sampling,
            self.tokenizer,
            ignore_eos=generation.ignore_eos,
            suppressed=self._suppressed(),
            mask=mask,
        )

    def _suppressed(self) -> list[int]:
        never = self.metadata.integers(SUPPRESSED) if SUPPRESSED in self.metadata else []
        return [token for token in never if 0 <= token < self.tokenizer.vocab_size]

    def generate(
        self,
        prompt_or_ids: str | Sequence[int],
        *,
        max_tokens: int | None = None,
        temperature: float = 0.8,
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        seed: int | None = None,
        stop: Sequence[str] = (),
        json_schema: JsonSchema | None = None,
        regex: str | None = None,
        choices: Sequence[str] | None = None,
        grammar: str | None = None,
        schema_check: bool = False,
    ) -> Iterator[str]:
        """Yields the text that continues a prompt, in pieces of whole characters.

        A text prompt is used without template, with the tokenizer's own BOS; special tokens in it
        are not parsed. The answer satisfies the given JSON schema, regex (as a whole), choices or
        grammar (GBNF); raises ConstraintError at the end if it was cut off before. `schema_check`
        also checks the parts of the schema that generation cannot enforce. `stream` takes all
        other settings and gives more than the text.
        """
        given = prompt_or_ids
        ids = self.tokenizer.encode(given) if isinstance(given, str) else given
        sampling = Sampling(
            temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed
        )
        constraint = find_constraint(
            json_schema=json_schema,
            regex=regex,
            choices=choices,
            grammar=grammar,
            schema_check=schema_check,
        )
        generation = Generation(
            sampling, max_tokens, tuple(stop), split_reasoning=False, constraint=constraint
        )
        for event in self.stream(ids, generation):
            if isinstance(event, Text):
                yield event.text
            elif isinstance(event, Done) and event.unmet:
                raise event.unmet

    def guess_with(self, draft: "Model | None") -> None:
        """Uses a draft model for speculative decoding, in place of one that was there, or none.

        It is closed with this one. Raises UsageError for a pair, or a model, that cannot do that.
        """
        for each in (self, draft) if draft else (self,):
            each._passes.check_causal()
            if each.has_encoder:
                message = f"{each.path} has an encoder: it neither drafts nor takes drafts"
                raise UsageError(message, "leave out -md")
        if draft is not None and draft.tokenizer.texts != self.tokenizer.texts:
            message = f"{draft.path} has a different vocabulary than {self.path}"
            raise UsageError(message, "a draft model must be of the same family")
        if self.draft is not None:
            self.draft.close()
        self.draft, self.guessers.draft = draft, draft.window if draft else None

    def _forget(self) -> None:
        """What was read depends on the adapters' scales."""
        self._passes.scales += 1
        self._positions.clear()
        self.guessers.forget()

    def close(self) -> None:
        """Frees memory and threads; the model cannot be used afterwards."""
        if self.draft is not None:
            self.draft.close()
        self.guessers.close()
        if self._embeddings is not None:
            self._embeddings.embedder.close()
        self._positions.clear()
        if self.weights is not None:
            self.weights.stop()
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _begin(self, ids: Sequence[int], generation: Generation) -> tuple[list[int], Answer, int]:
        """The prompt fitted into the window, a new answer, and how many tokens a shift keeps."""
        self._check(ids)
        if self._passes.whole:
            check_possible(generation)
        keep = protected_tokens(ids, self.tokenizer.bos)
        prompt = self._fit(ids, generation, keep)
        reasoning = self.template.reasoning if generation.split_reasoning else None
        continued, guide = self.prompts.continued(prompt), None
        if generation.constraint:
            thinks = generation.split_reasoning
            guide = self._guides.guide(
                generation.constraint,
                continued,
                reasoning,
                thinks=thinks,
                bans=generation.ban,
                never=[t for t, bias in generation.sampling.logit_bias if bias == -math.inf],
            )
        sampler, begins = self.sampler(generation, guide), self.prompts.begins_text(prompt)
        parts = continued, self.tokenizer, sampler, generation, reasoning, guide
        return prompt, Answer(*parts, begins_text=begins), keep

    def _fit(self, ids: Sequence[int], generation: Generation, keep: int) -> list[int]:
        self.prompts.check_overflow(generation.overflow)
        return fit(ids, self.context_size, generation.overflow, keep, self.longest_context)

    @cached_property
    def _guides(self) -> "Guides":
        from lepton_cli.engine.constraints.guide import Guides  # slow to import, and rarely needed

        return Guides(self.tokenizer)

    def _batch_limit(self) -> int:
        return self.plan.batch_bytes(self._passes.pool.layout, self._runner.room())

    def _check(self, ids: Sequence[int]) -> None:
        if self._embeddings is not None:
            message = f"{self.path} was opened for embeddings, not to generate text"
            raise UsageError(message, "open it with pooling=None, if it can generate")
        check_ids(ids, self.vocabulary_size)
        self.prompts.check(ids)


def load(
    path: str | Path,
    backend: Backend = "auto",
    threads: int | None = None,
    ctx: int | None = None,
    kv: CacheType = "f16",
    gpu_layers: GpuLayers = "auto",
    pooling: Pooling | Literal["file", "if named"] | None = "if named",
) -> Model:
    """Opens a model by path or by name (see `lepton models`). Raises LeptonError.

    Encoders, and files that name a pooling, are opened for `embed` and `rerank`; any other is with
    a `pooling` given. Without one (None) a model is opened to generate.
    """
    options = LoadOptions(backend, threads, ctx, (kv, kv), gpu_layers=gpu_layers)
    return open_model(path, replace(options, spec_types="auto", pooling=pooling))


def open_model(
    path: str | Path,
    options: LoadOptions,
    on_plan: Callable[[str], None] | None = None,
    on_compile: Callable[[Compiling], None] | None = None,
    beside: Model | None = None,
) -> Model:
    """Like `load`, with all options and callbacks (see Model)."""
    return Model(GGUF.open(resolve(str(path))), options, on_plan, on_compile, beside)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer of a model file or of a vocabulary-only file."""
    return build_tokenizer(GGUF.open(resolve(str(path))).metadata)
