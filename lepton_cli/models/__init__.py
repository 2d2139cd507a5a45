"""The architectures: one short file each, found by the GGUF's `general.architecture`."""

from lepton_cli.models.bitnet import BitNet
from lepton_cli.models.decoder import Decoder
from lepton_cli.models.gemma2 import Gemma2
from lepton_cli.models.gemma3 import Gemma3
from lepton_cli.models.gpt2 import Gpt2
from lepton_cli.models.gpt_oss import GptOss
from lepton_cli.models.lfm2 import Lfm2
from lepton_cli.models.llama import Llama
from lepton_cli.models.mistral3 import Mistral3
from lepton_cli.models.phi3 import Phi3
from lepton_cli.models.qwen2 import Qwen2
from lepton_cli.models.qwen3 import Qwen3

ARCHITECTURES: dict[str, type[Decoder]] = {
    "bitnet": BitNet,
    "gemma2": Gemma2,
    "gemma3": Gemma3,
    "gpt2": Gpt2,
    "gpt-oss": GptOss,
    "lfm2": Lfm2,
    "llama": Llama,
    "mistral3": Mistral3,
    "phi3": Phi3,
    "qwen2": Qwen2,
    "qwen3": Qwen3,
    "qwen3moe": Qwen3,
}
