"""llama.cpp's flags that are not ours: people paste its command lines, so each gets an answer.

A flag is taken without a word where Lepton does the same anyway, taken with a note where it
changes nothing here, and refused with what to do instead where its result would be missed.
"""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["same", "ignored", "refused"]


@dataclass(frozen=True, slots=True)
class Foreign:
    """What becomes of a flag; `values` words after it belong to it."""

    verdict: Verdict
    reason: str = ""
    values: int = 0
    choices: tuple[str, ...] = ()  # of an optional value: taken only if it is one of these


ON_OFF = ("on", "off", "auto")
NO_GPU = "there is no GPU backend yet"
NO_DRAFT = "speculative decoding is not supported yet"
NO_GRAMMAR = "constrained output is not supported yet"
NO_ADAPTER = "adapters and control vectors are not supported yet"
NO_DOWNLOAD = "downloading is not supported yet; give the path of a GGUF file"
NO_PICTURES = "only text models are supported"
NO_ROPE = "the RoPE scaling of the model file is always used"
INTERACTIVE = "-i --interactive -if --interactive-first -cnv --conversation -mli --multiline-input"

_TABLE = (
    (Foreign("same"), "--no-display-prompt --simple-io --mmap --jinja --no-perf --no-warmup"),
    (Foreign("same"), "--log-disable --no-log-prefix --no-log-timestamps --no-context-shift"),
    (Foreign("same"), "--no-show-timings --offline -cb --cont-batching --repack --no-host"),
    (Foreign("same"), "-nkvo --no-kv-offload --no-op-offload --no-mmproj --no-mmproj-auto"),
    (Foreign("same", choices=ON_OFF), "-co --color --log-colors"),
    (Foreign("ignored", "attention is always fused", choices=ON_OFF), "-fa --flash-attn"),
    (Foreign("ignored", NO_GPU, 1), "-ngl --gpu-layers --n-gpu-layers -fit --fit -fitt"),
    (Foreign("ignored", NO_GPU, 1), "--fit-target -fitc --fit-ctx"),
    (Foreign("ignored", NO_GPU, 1), "-mg --main-gpu -sm --split-mode -ts --tensor-split"),
    (Foreign("ignored", NO_GPU), "-kvo --kv-offload --op-offload -cmoe --cpu-moe"),
    (Foreign("ignored", "-ub is the size of a pass", 1), "-b --batch-size"),
    (Foreign("ignored", "-t is used for prompt and answer", 1), "-tb --threads-batch"),
    (Foreign("ignored", "the file is mapped and packed tensor by tensor"), "--no-mmap --mlock"),
    (Foreign("ignored", "the file is mapped and packed tensor by tensor"), "-dio --direct-io"),
    (Foreign("ignored", "the file is mapped and packed tensor by tensor", 1), "-lm --load-mode"),
    (Foreign("ignored", "weights are always packed"), "-nr --no-repack"),
    (Foreign("ignored", "threads run where the system puts them", 1), "-C --cpu-mask --prio"),
    (Foreign("ignored", "threads run where the system puts them", 1), "-Cr --cpu-range --numa"),
    (Foreign("ignored", "threads run where the system puts them", 1), "--cpu-strict --poll"),
    (Foreign("ignored", "-v shows the timings"), "--perf --show-timings"),
    (Foreign("ignored", "it has no effect here"), "--warmup --swa-full --check-tensors"),
    (Foreign("ignored", "-v is the only level", 1), "-lv --verbosity --log-verbosity"),
    (Foreign("ignored", "it has no effect here", 1), "-cram --cache-ram -np --parallel"),
    (Foreign("refused", NO_DOWNLOAD), "-hf -hfr --hf-repo -hff --hf-file -mu --model-url"),
    (Foreign("refused", NO_DOWNLOAD), "-hft --hf-token -dr --docker-repo"),
    (Foreign("refused", NO_GPU), "-dev --device -ot --override-tensor -ncmoe --n-cpu-moe"),
    (Foreign("refused", "`lepton doctor` shows them"), "--list-devices"),
    (Foreign("refused", "`lepton models` shows them"), "-cl --cache-list"),
    (Foreign("refused", NO_DRAFT), "-md --model-draft -hfd --hf-repo-draft --draft --draft-n"),
    (Foreign("refused", NO_DRAFT), "--draft-max --draft-min --draft-p-min --spec-type"),
    (Foreign("refused", NO_DRAFT), "--spec-draft-model --spec-draft-n-max --spec-default"),
    (Foreign("refused", NO_DRAFT), "-ngld --gpu-layers-draft -devd --device-draft"),
    (Foreign("refused", NO_GRAMMAR), "--grammar --grammar-file -j --json-schema -jf"),
    (Foreign("refused", NO_GRAMMAR), "--json-schema-file"),
    (Foreign("refused", NO_ADAPTER), "--lora --lora-scaled --control-vector"),
    (Foreign("refused", NO_ADAPTER), "--control-vector-scaled --control-vector-layer-range"),
    (Foreign("refused", NO_PICTURES), "-mm --mmproj -mmu --mmproj-url --image --audio --video"),
    (Foreign("refused", NO_ROPE), "--rope-scaling --rope-scale --rope-freq-base"),
    (Foreign("refused", NO_ROPE), "--rope-freq-scale --yarn-orig-ctx --yarn-ext-factor"),
    (Foreign("refused", NO_ROPE), "--yarn-attn-factor --yarn-beta-slow --yarn-beta-fast"),
    (Foreign("refused", NO_ROPE), "-gan --grp-attn-n -gaw --grp-attn-w"),
    (Foreign("refused", "use --overflow shift"), "--context-shift --keep"),
    (Foreign("refused", "the model's metadata is used as it is"), "--override-kv"),
    (Foreign("refused", "prompts cannot be kept on disk yet"), "--prompt-cache"),
    (Foreign("refused", "prompts cannot be kept on disk yet"), "--prompt-cache-all"),
    (Foreign("refused", "prompts cannot be kept on disk yet"), "--prompt-cache-ro"),
    (Foreign("refused", "the chat template puts its own"), "--in-prefix --in-suffix"),
    (Foreign("refused", "the chat template puts its own"), "--in-prefix-bos"),
    (Foreign("refused", "`lepton tokenize` shows tokens"), "--verbose-prompt"),
    (Foreign("refused", "stdout is the answer alone"), "--display-prompt"),
    (Foreign("refused", "stderr is the log: redirect it"), "--log-file --log-prompts-dir"),
    (Foreign("refused", "redirect stdout"), "-o --output --output-file"),
    (Foreign("refused", "prompts are text: use -f"), "-bf --binary-file"),
    (Foreign("refused", "give --json for the token ids"), "-sp --special"),
    (Foreign("refused", "templates are always Jinja"), "--no-jinja"),
    (Foreign("refused", "use --reasoning show|hide|stderr"), "--reasoning-format -rea"),
    (Foreign("refused", "use --raw"), "--skip-chat-parsing"),
    (Foreign("refused", "it is not supported yet"), "--reasoning-budget --reasoning-effort"),
    (Foreign("refused", "it is not supported yet"), "--reasoning-budget-message"),
    (Foreign("refused", "no server is needed or used"), "--server-base --rpc"),
)

_IN_RUN = (
    (Foreign("refused", "`lepton chat` is the interactive command"), INTERACTIVE),
    (Foreign("same"), "-st --single-turn"),
)

_IN_CHAT = (
    (Foreign("same"), INTERACTIVE),
    (Foreign("refused", "`lepton run --raw` completes"), "-no-cnv --no-conversation"),
)


def _by_flag(*tables: tuple[tuple[Foreign, str], ...]) -> dict[str, Foreign]:
    return {flag: foreign for table in tables for foreign, flags in table for flag in flags.split()}


FOREIGN = _by_flag(_TABLE, _IN_RUN)
FOREIGN_IN_CHAT = _by_flag(_TABLE, _IN_CHAT)

SPELLINGS = {  # other tools' words for flags that we have
    "--max-tokens": "-n",
    "--max-new-tokens": "-n",
    "--num-predict": "-n",
    "--num-ctx": "-c",
    "--num-thread": "-t",
    "--stop": "-r",
    "--system": "-sys",
    "--truncate": "--overflow",
    "--quiet": "2>/dev/null",
}
