"""The name of a byte-pair tokenizer's pre-tokenizer (`tokenizer.ggml.pre`).

llama.cpp's converter knows it by the hash of a text's ids. Another tokenizer, as of a model with
further tokens, is known by how it cuts that text.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tokenizers import Tokenizer

from lepton_cli.engine.text.tokenizer.pretokenizers import PRETOKENIZERS
from lepton_cli.engine.text.tokenizer.spellers.byte_pairs import PatternCutter
from quant.errors import ModelFileError

CHECK = (
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n\U0001f680 (normal) \U0001f636\u200d"
    "\U0001f32b\ufe0f (multiple emojis concatenated) \u2705 \U0001f999\U0001f999 "
    "3 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3 "
    "\u1780\u17b6\u1793\u17cb\u178f\u17c2\u1796\u17b7\u179f\u17c1\u179f\u17a2\u17b6\u1785\U0001f601"
    " ?\u6211\u60f3\u5728apple\u5de5\u4f5c1314151\u5929\uff5e ------======= "
    "\u043d\u0435\u0449\u043e \u043d\u0430 \u0411\u044a\u043b\u0433\u0430\u0440\u0441\u043a\u0438 "
    "''''''```````\"\"\"\"......!!!!!!?????? I've been 'told he's there, 'RE you sure? 'M not sure "
    "I'll make it, 'D you like some tea? We'Ve a'lL"
)
HASHES: Mapping[str, str] = MappingProxyType(
    {
        "0ef9807a4087ebef797fc749390439009c3b9eda9ad1a097abbe738f486c01e5": "llama-bpe",
        "c136ed14d01c2745d4f60a9596ae66800e2b61fa45643e72436041855ad4089d": "smaug-bpe",
        "d353350c764d8c3b39c763113960e4fb4919bea5fbf208a0e3b22e8469dc7406": "llama4",
        "9d032fcbd5501f4a38150912590928bfb36091efb5df11b8e2124b0390e3fb1e": "falcon3",
        "f6791d196f87ce6b56a7d234be618e0d58f8cda3549416635b2bebcd22cd95c4": "midm-2.0",
        "e636dc30a262dcc0d8c323492e32ae2b70728f4df7dfe9737d9f920a282b8aea": "qwen2",
        "d4540891389ea895b53b399da6ac824becc30f2fba0e9ddbb98f92e55ca0e97c": "qwen2",
        "b3f499bb4255f8ca19fccd664443283318f2fd2414d5e0b040fbdd0cc195d6c5": "deepseek-r1-qwen",
        "d4c8f286ea6b520b3d495c4455483cfa2302c0cfcd4be05d781b6a8a0a7cdaf1": "megrez",
        "862f827721df956049dff5ca81a57f29e575280bc622e290d3bf4e35eca29015": "f2llmv2",
        "3ce83efda5659b07b1ad37ca97ca5797ea4285d9b9ab0dc679e4a720c9da7454": "gpt-2",
        "0fe1cf6eda062318a1af7270f3331a85c539a01778ff948e24388e949c5282f4": "gpt-2",
        "fcace8b9cac38ce847670c970cd5892031a753a1ef381abd1d9af00f713da085": "phi-2",
        "8b5a93ed704057481f240da0be7e7dca721d7f8f4755263b6807227a2cbeae65": "roberta-bpe",
        "b0a6b1c0bd5998ebd9df08611efde34a4ff03faed45ae09c43e6b31ebd4b94cf": "a.x-4.0",
        "855059429035d75a914d1eda9f10a876752e281a054a7a3d421ef0533e5b6249": "smollm",
        "a1e163ecab2e718a4c829d1148b6e86824ec36163bb71941c3dca9cd5ac25756": "mellum",
        "63b97e4253352e6f357cc59ea5b583e3a680eaeaf2632188c2b952de2588485e": "tekken",
        "0e9433cbbb161f89e264eb32e8e64bfe69e834973ffca5d41d3948a604a3e2a3": "pixtral",
        "d5f1dd6f980fec569fb218a81a7658ac45fc56b38c5a0adeb1c232fbe04ef5ec": "seed-coder",
        "ccc2ef013c104be7bae2965776d611e1d7a8a2a9c547dd93a682c9a9fc80352e": "gpt-4o",
        "347715f544604f9118bb75ed199f68779f423cabb20db6de6f31b908d04d7821": "deepseek-coder",
        "049ecf7629871e3041641907f3de7c733e4dbfdc736f57d882ba0b0845599754": "deepseek-llm",
        "0876d13b50744004aa9aeae05e7b0647eac9d801b5ba4668afc01e709c15e19f": "jina-v2-en",
        "8e62295832751ca1e8f92f2226f403dea30dc5165e448b5bfa05af5340c64ec7": "bert-bge-large",
    }
)
"""Of `CHECK`'s ids with special tokens, as llama.cpp's converter has them."""


def pretokenizer_name(path: Path, otherwise: str | None = None) -> str:
    """Of the tokenizer in a tokenizer.json; `otherwise`: of one that is not known.

    Raises ModelFileError for a file that cannot be read; if it cuts text in no known way.
    """
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises Exception itself
        raise ModelFileError(f"{path}: {error}", "download it again") from error
    ids = tokenizer.encode(CHECK).ids
    known = HASHES.get(hashlib.sha256(str(ids).encode()).hexdigest(), otherwise)
    found = known or _alike(tokenizer)
    if found is None:
        message = f"{path}: its pre-tokenizer cuts text in a way that is not known"
        raise ModelFileError(message, "get the model as GGUF, or update Lepton")
    return found


def _alike(tokenizer: Tokenizer) -> str | None:
    """The first that cuts the text alike, and treats whole tokens alike."""
    if tokenizer.pre_tokenizer is None:
        return None
    places = (place for _, place in tokenizer.pre_tokenizer.pre_tokenize_str(CHECK))
    pieces = [CHECK[start:end] for start, end in places]
    ignores_merges = bool(getattr(tokenizer.model, "ignore_merges", False))
    alike = [name for name, how in PRETOKENIZERS.items() if PatternCutter(how).cut(CHECK) == pieces]
    same = [name for name in alike if PRETOKENIZERS[name].ignores_merges == ignores_merges]
    return next(iter(same or alike), None)
