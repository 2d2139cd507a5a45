"""llama.cpp's flags that Lepton does not have: people paste its command lines.

A flag is accepted silently if Lepton does the same anyway, accepted with a note if it has no
effect, and refused with an alternative if its effect would be missed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from quant.errors import UsageError

Verdict = Literal["same", "ignored", "refused"]


@dataclass(frozen=True, slots=True)
class Foreign:
    """How a flag is treated; it takes `values` values."""

    verdict: Verdict
    reason: str = ""
    values: int = 0
    choices: tuple[str, ...] = ()  # the allowed words of an optional value


ON_OFF = ("on", "off", "auto")
CACHED_ANYWAY = "prompts are cached without it (see `lepton cache`)"
SPECIAL = "--json holds the answer's token ids; --parse-special reads special tokens in the prompt"
INTERACTIVE = "-i --interactive -if --interactive-first -cnv --conversation -mli --multiline-input"

_TABLE = (
    (
        Foreign("same"),
        """--no-display-prompt --simple-io --mmap --jinja --no-perf --no-show-timings --no-warmup
        --log-disable --log-prefix --no-log-prefix --log-timestamps --no-log-timestamps --offline
        --no-context-shift -cb --cont-batching --repack --no-host --no-op-offload
        --no-mmproj --no-mmproj-auto --no-mmproj-offload --no-skip-chat-parsing""",
    ),
    (Foreign("same", choices=ON_OFF), "-co --color --log-colors"),
    (
        Foreign("ignored", "-ngl auto fits the layers to the GPU's memory", 1),
        "-fit --fit -fitt --fit-target -fitc --fit-ctx",
    ),
    (
        Foreign("ignored", "one GPU is used, the first that CUDA_VISIBLE_DEVICES leaves", 1),
        "-mg --main-gpu -sm --split-mode -ts --tensor-split",
    ),
    (
        Foreign("ignored", "-ngl sets the layers on the GPU; they are never split"),
        """-kvo --kv-offload -nkvo --no-kv-offload --op-offload -cmoe --cpu-moe
        -bs --backend-sampling --mmproj-offload""",
    ),
    (
        Foreign("ignored", "the operating system places the threads", 1),
        """-C --cpu-mask -Cr --cpu-range --cpu-strict --prio --poll -Cb --cpu-mask-batch -Crb
        --cpu-range-batch --cpu-strict-batch --prio-batch --poll-batch --numa""",
    ),
    (
        Foreign("ignored", "the model file is mapped, and its tensors are packed one by one"),
        "--no-mmap --mlock -dio --direct-io -ndio --no-direct-io -nr --no-repack",
    ),
    (
        Foreign("ignored", "the model file is mapped, and its tensors are packed one by one", 1),
        "-lm --load-mode",
    ),
    (Foreign("ignored", "attention is always fused", choices=ON_OFF), "-fa --flash-attn"),
    (Foreign("ignored", "-ub sets the prompt tokens per pass", 1), "-b --batch-size"),
    (Foreign("ignored", "-t applies to prompt and answer", 1), "-tb --threads-batch"),
    (Foreign("ignored", "-v shows the timings"), "--perf --show-timings"),
    (Foreign("ignored", "-v is the only level of detail", 1), "-lv --verbosity --log-verbosity"),
    (
        Foreign("ignored", "it has no effect here"),
        "--warmup --swa-full --check-tensors --mmproj-auto",
    ),
    (
        Foreign("ignored", "it has no effect here", 1),
        "-np --parallel -cram --cache-ram -dt --defrag-thold",
    ),
    (
        Foreign(
            "refused",
            "download the model with `lepton pull`, then name it: -m NAME",
        ),
        "-dr --docker-repo --gpt-oss-20b-default --gpt-oss-120b-default",
    ),
    (Foreign("refused", "other users could see it there: set HF_TOKEN"), "-hft --hf-token"),
    (
        Foreign("refused", "use --backend and -ngl"),
        "-dev --device -ot --override-tensor -ncmoe --n-cpu-moe",
    ),
    (
        Foreign("refused", "for speculative decoding use -md MODEL and --draft-max N"),
        """-hfd -hfrd --hf-repo-draft -ngld --gpu-layers-draft
        --n-gpu-layers-draft -devd --device-draft -ctkd --cache-type-k-draft -ctvd
        --cache-type-v-draft -td --threads-draft -tbd --threads-batch-draft
        --spec-draft-hf --spec-draft-ngl""",
    ),
    (
        Foreign("ignored", "how many tokens are guessed is measured, up to --draft-max", 1),
        """--draft-min --draft-n-min --draft-p-split --spec-draft-n-min --spec-draft-p-split
        --spec-ngram-mod-n-max --spec-ngram-mod-n-min --spec-ngram-mod-n-match""",
    ),
    (Foreign("ignored", "speculative decoding is on by default"), "--spec-default"),
    (
        Foreign("refused", "only text models are supported"),
        """-mm --mmproj -mmu --mmproj-url -mmdev --mmproj-device --image --audio --video
        --image-min-tokens --image-max-tokens""",
    ),
    (
        Foreign("refused", "Lepton scales positions as given in the model file"),
        """--rope-scaling --rope-scale --rope-freq-base --rope-freq-scale --yarn-orig-ctx
        --yarn-ext-factor --yarn-attn-factor --yarn-beta-slow --yarn-beta-fast -gan --grp-attn-n
        -gaw --grp-attn-w""",
    ),
    (Foreign("ignored", "a terminal shows how far the answer is"), "--diffusion-visual"),
    (Foreign("refused", "--temp draws tokens at random"), "--diffusion-add-gumbel-noise"),
    (Foreign("ignored", CACHED_ANYWAY, 1), "--prompt-cache"),
    (Foreign("ignored", CACHED_ANYWAY), "--prompt-cache-all --prompt-cache-ro"),
    (
        Foreign("refused", "the chat template adds the prefix and suffix"),
        "--in-prefix --in-suffix --in-prefix-bos",
    ),
    (Foreign("refused", "use --reasoning show|hide|stderr"), "--reasoning-format -rea"),
    (Foreign("refused", "use --overflow shift"), "--context-shift --keep"),
    (Foreign("refused", "use --raw"), "--skip-chat-parsing"),
    (Foreign("refused", "templates are always Jinja"), "--no-jinja"),
    (Foreign("refused", "Lepton uses the metadata of the model file unchanged"), "--override-kv"),
    (Foreign("refused", "`lepton template` shows the prompt"), "--verbose-prompt"),
    (
        Foreign("refused", "Lepton prints only the answer; --json has the token ids"),
        "--display-prompt",
    ),
    (Foreign("refused", "redirect stderr: 2> FILE"), "--log-file --log-prompts-dir"),
    (Foreign("refused", "redirect stdout: > FILE"), "-o --output --output-file"),
    (Foreign("refused", "prompts are text: use -f"), "-bf --binary-file"),
    (Foreign("refused", SPECIAL), "-sp --special"),
    (Foreign("refused", "no server is needed or used"), "--server-base --rpc"),
    (Foreign("refused", "`lepton doctor` shows this machine"), "--list-devices"),
    (Foreign("refused", "`lepton models` lists them"), "-cl --cache-list"),
    (Foreign("refused", "use lepton --show-completion"), "--completion-bash"),
)

_IN_RUN = (
    (Foreign("refused", "`lepton chat` is the interactive command"), INTERACTIVE),
    (Foreign("same"), "-st --single-turn"),
)

_IN_CHAT = (
    (Foreign("same"), INTERACTIVE),
    (Foreign("refused", "`lepton run --raw` completes"), "-no-cnv --no-conversation"),
)

_SEPARATE_OUT = (
    Foreign("refused", "the file to write is given without a flag, as OUT"),
    "-o --output --outfile --output-file",
)
_IN_COMMAND = {  # the flags of llama.cpp's program for the same
    "chat": _IN_CHAT,
    "perplexity": (
        (
            Foreign("refused", "lepton compare A B text.txt reads both models at once"),
            "--kl-divergence --kl-divergence-base --save-all-logits --logits-file",
        ),
        (
            Foreign("refused", "multiple choice takes its questions as JSONL: --choices FILE"),
            """--hellaswag --hellaswag-tasks --winogrande --winogrande-tasks --multiple-choice
            --multiple-choice-tasks""",
        ),
        (Foreign("refused", "--json holds the loss of each window"), "--ppl-output-type"),
    ),
    "imatrix": (
        (Foreign("same"), "--no-ppl"),
        (Foreign("refused", "a text never becomes control tokens here"), "--parse-special"),
    ),
    "quantize": (
        _SEPARATE_OUT,
        (
            Foreign("refused", "--imatrix uses the whole file"),
            "--include-weights --exclude-weights",
        ),
        (Foreign("refused", "repeat --tensor-type NAME=TYPE"), "--tensor-type-file"),
    ),
    "split": (
        _SEPARATE_OUT,
        (Foreign("same"), "--split"),
        (Foreign("refused", "type: lepton merge FIRST-PART OUT"), "--merge"),
    ),
    "merge": (
        _SEPARATE_OUT,
        (Foreign("same"), "--merge"),
        (Foreign("refused", "type: lepton split MODEL OUT"), "--split"),
    ),
    "prune": (_SEPARATE_OUT,),
    "merge-lora": (_SEPARATE_OUT,),
    "convert": (_SEPARATE_OUT,),
}


def _by_flag(*tables: tuple[tuple[Foreign, str], ...]) -> dict[str, Foreign]:
    return {flag: foreign for table in tables for foreign, flags in table for flag in flags.split()}


def foreign_in(command: str) -> Mapping[str, Foreign]:
    """llama.cpp's flags that the command (`run`, `sessions show`) lacks, by their names."""
    return _by_flag(_TABLE, _IN_COMMAND.get(command, _IN_RUN))


MODEL_SOURCES = {  # flags for a model on the web -> what their value is
    flag: source
    for source, flags in {
        "repo": "-hf -hfr --hf-repo",
        "file": "-hff --hf-file",
        "url": "-mu --model-url",
    }.items()
    for flag in flags.split()
}


def model_of(repo: str | None, file: str | None, url: str | None) -> str:
    """The values of those flags as one name, as `-m` takes it. Raises UsageError."""
    if url is not None:
        if repo is not None or file is not None:
            raise UsageError("-mu is given together with -hf or -hff", "give one of them")
        return url
    if repo is None:
        raise UsageError(f"-hff {file} names no repository", "add -hf USER/REPO")
    repo = repo.removeprefix("hf:")
    return f"hf:{repo}" if file is None else f"hf:{repo.partition(':')[0]}/{file}"


OURS = {  # our flag -> other tools' flags for the same
    theirs: ours
    for ours, flags in {
        "-n": """--max-tokens --max-new-tokens --max-length --num-predict --num-tokens --tokens
        --maxtokens""",
        "-c": "--num-ctx --n-ctx --context --context-size --context-length --max-context",
        "-t": "--num-thread --num-threads --n-threads --nthreads",
        "-r": "--stop --stop-sequence",
        "-sys": "--system --system-message --instructions",
        "-f": "--prompt-file --input --input-file",
        "-j": "--schema",
        "--repeat-penalty": "--repetition-penalty",
        "--overflow": "--truncate",
        "--type": "--outtype",
        "--ppl-stride": "--stride",
        "--think": "--thinking --enable-thinking",
        "--no-think": "--no-thinking --disable-thinking",
        "--reasoning hide": "--hidethinking --hide-thinking",
    }.items()
    for theirs in flags.split()
}
NEEDLESS = {  # other tools' flags for what Lepton always does
    flag: reason
    for reason, flags in {
        "only the answer goes to stdout, notes and errors go to stderr": "--quiet --silent -q",
        "answers are shown as they are generated": "--stream",
    }.items()
    for flag in flags.split()
}
