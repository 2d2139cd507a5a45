"""--lora, --control-vector and their kin: files with scales, by llama.cpp's names."""

from pathlib import Path

import pytest

from lepton_cli.engine.loading.adapters import AdapterFile
from lepton_cli.ui.arguments.adapters import adapters_of
from lepton_cli.ui.arguments.options.model import ModelOptions
from lepton_cli.ui.open_model import without_adapters
from quant.errors import UsageError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.gguf", "b.gguf", "with,comma.gguf", "x:2.gguf", "x:2"):
        (tmp_path / name).touch()


def lora(*texts: str) -> list[tuple[str, float]]:
    return [(str(each.path), each.scale) for each in adapters_of(ModelOptions(lora=list(texts)))]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a.gguf"], [("a.gguf", 1.0)]),
        (["a.gguf:0.5"], [("a.gguf", 0.5)]),
        (["a.gguf:-1e-1", "b.gguf:0"], [("a.gguf", -0.1), ("b.gguf", 0.0)]),
        (["a.gguf:0.5,b.gguf"], [("a.gguf", 0.5), ("b.gguf", 1.0)]),
        (["with,comma.gguf"], [("with,comma.gguf", 1.0)]),
        (["x:2.gguf"], [("x:2.gguf", 1.0)]),
        (["x:2"], [("x:2", 1.0)]),  # a file of that name
        (["x:2:0.5"], [("x:2", 0.5)]),
        ([r"C:\missing.gguf"], [(r"C:\missing.gguf", 1.0)]),  # told when it is opened
    ],
)
def test_files_and_scales(texts, expected):
    assert lora(*texts) == expected


def test_all_options_together():
    found = adapters_of(
        ModelOptions(
            lora=["a.gguf"],
            lora_scaled=["b.gguf:2"],
            control_vector=["c.gguf"],
            control_vector_scaled=["d.gguf:3"],
            control_vector_layer_range=(2, 5),
        )
    )
    assert found == (
        AdapterFile(Path("a.gguf")),
        AdapterFile(Path("b.gguf"), 2.0),
        AdapterFile(Path("c.gguf"), 1.0, "control vector", (2, 5)),
        AdapterFile(Path("d.gguf"), 3.0, "control vector", (2, 5)),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora": ["a.gguf:half"]}, "'half' is not a number"),
        ({"lora": ["a.gguf:"]}, "'' is not a number"),
        ({"lora": ["a.gguf:nan"]}, "scale is nan"),
        ({"lora": [""]}, "names no file"),
        ({"lora": ["a.gguf,"]}, "names no file"),
        ({"lora": [":0.5"]}, "names no file"),
        ({"lora_scaled": ["a.gguf"]}, "has no scale"),
        ({"lora_scaled": ["missing.gguf:x"]}, "'x' is not a number"),
        ({"control_vector_scaled": ["a.gguf"]}, "--control-vector-scaled a.gguf has no scale"),
        ({"control_vector": ["a.gguf"], "control_vector_layer_range": (5, 2)}, "is 5 2"),
        ({"control_vector": ["a.gguf"], "control_vector_layer_range": (0, 2)}, "is 0 2"),
        ({"control_vector_layer_range": (1, 2)}, "without a control vector"),
    ],
)
def test_wrong_texts_are_refused_with_the_cure(options, message):
    with pytest.raises(UsageError) as caught:
        adapters_of(ModelOptions(**options))
    assert message in caught.value.message and caught.value.hint


def test_another_model_is_opened_without_them(capsys):
    assert adapters_of(without_adapters(ModelOptions(lora=["a.gguf"], ctx_size=99))) == ()
    assert "stay with the former model" in capsys.readouterr().err
    assert without_adapters(ModelOptions(ctx_size=99)).ctx_size == 99
    assert not capsys.readouterr().err
