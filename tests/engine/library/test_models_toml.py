"""The list of models that have a name: models.toml."""

import re
from dataclasses import fields

import pytest

from lepton_cli.engine.library.catalogue import load_aliases
from lepton_cli.ui.arguments.options.sampling import SamplingOptions
from quant.errors import LeptonError


def test_models_toml_is_well_formed():
    aliases = load_aliases()
    assert {"builtin", "qwen3-0.6b", "llama-3.2-1b", "gpt-oss-20b"} <= aliases.keys()
    assert {"qwen3.5-4b", "gemma-4-e2b", "lfm2-1.2b", "glm-4.7-flash"} <= aliases.keys()
    for name, alias in aliases.items():
        assert name == name.lower()
        assert alias.file.endswith(".gguf")
        assert alias.licence
        if alias.repo is not None:
            assert alias.repo.count("/") == 1
            assert alias.sha256 is None or re.fullmatch("[0-9a-f]{64}", alias.sha256)
            assert alias.size is None or alias.size > 10_000_000
            assert alias.context
    hashes = [alias.sha256 for alias in aliases.values() if alias.sha256]
    assert len(hashes) == len(set(hashes))


def test_an_unknown_key_in_models_toml_is_an_error(tmp_path):
    path = tmp_path / "models.toml"
    path.write_text('[m]\nfile = "m.gguf"\nlicense = "MIT"\n')
    with pytest.raises(LeptonError, match=r"\[m\] has an unknown key 'license'") as caught:
        load_aliases(path)
    assert "licence" in caught.value.hint


def test_defaults_are_named_as_parameters(tmp_path):
    path = tmp_path / "models.toml"
    path.write_text('[m]\nfile = "m.gguf"\ndefaults = { top-k = 20 }\n')
    assert load_aliases(path)["m"].defaults == {"top_k": 20}


def test_defaults_in_models_toml_are_options_of_sampling():
    options = {option.name for option in fields(SamplingOptions)}
    for alias in load_aliases().values():
        assert alias.defaults.keys() <= options
