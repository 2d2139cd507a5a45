"""Which tensor gets which format. What is expected here was read off llama-quantize's own log."""

from pathlib import Path

import pytest
from make_gguf import write_model

from lepton_cli.engine.imatrix.matrix import ImportanceMatrix
from lepton_cli.engine.shrinking.choosing import Wishes, by_preset, needs_importance
from lepton_cli.engine.shrinking.importance import Importance
from lepton_cli.engine.shrinking.presets import PRESETS, preset_of
from lepton_cli.engine.shrinking.quantizing import facts_of
from quant.errors import UsageError
from quant.format import FORMATS
from quant.gguf import GGUF

LAYERS = 16


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> GGUF:
    path = tmp_path_factory.mktemp("m") / "m.gguf"
    return GGUF.open(write_model(path, dimensions={"L": LAYERS, "D": 256, "F": 256, "V": 256}))


NOTHING = Wishes()


def chosen(file: GGUF, preset: str, wishes: Wishes = NOTHING, weighted: bool = False):
    importance = Importance("i", ImportanceMatrix({})) if weighted else None
    choose = by_preset(PRESETS[preset], facts_of(file, importance), wishes)
    return {name: kind.name for name, kind in choose([*file.tensors.values()]).items()}


def raised(types: dict[str, str], part: str) -> dict[int, str]:
    """The layers whose tensor has another format than most of its kind."""
    own = [types[f"blk.{n}.{part}.weight"] for n in range(LAYERS)]
    return {n: kind for n, kind in enumerate(own) if kind != max(own, key=own.count)}


MORE = dict.fromkeys((0, 1, 4, 7, 10, 13, 14, 15), "Q6_K")
EARLY = {"Q4_K_S": "Q5_K", "Q2_K_S": "Q4_K", "IQ4_XS": "Q5_K", "IQ3_M": "Q4_K", "IQ2_M": "IQ3_S"}


@pytest.mark.parametrize("preset", ["Q4_K_M", "Q5_K_M"])
def test_half_of_the_values_and_downs_get_more_bits(model, preset):
    types = chosen(model, preset)
    for part in ("attn_v", "ffn_down"):
        own = {n: types[f"blk.{n}.{part}.weight"] for n in range(LAYERS)}
        assert {n: kind for n, kind in own.items() if kind == "Q6_K"} == MORE
        assert set(own.values()) == {"Q6_K", preset[:4]}
    assert types["output.weight"] == "Q6_K" and types["token_embd.weight"] == preset[:4]


@pytest.mark.parametrize("preset", EARLY)
def test_the_downs_of_the_first_eighth_get_more_bits(model, preset):
    assert raised(chosen(model, preset), "ffn_down") == {0: EARLY[preset], 1: EARLY[preset]}


def test_importance_changes_what_is_chosen(model):
    plain, weighted = chosen(model, "IQ3_XXS"), chosen(model, "IQ3_XXS", weighted=True)
    assert (plain["blk.3.attn_v.weight"], weighted["blk.3.attn_v.weight"]) == ("IQ3_S", "IQ3_XXS")
    assert (plain["blk.3.ffn_down.weight"], weighted["blk.3.ffn_down.weight"]) == (
        "Q3_K",
        "IQ3_XXS",
    )
    assert raised(chosen(model, "Q4_0", weighted=True), "ffn_down") == {0: "Q4_1", 1: "Q4_1"}


@pytest.mark.parametrize(
    ("preset", "kinds"),
    [
        ("Q8_0", ("Q8_0", "Q8_0", "Q8_0", "Q8_0")),
        ("Q3_K_M", ("Q6_K", "Q3_K", "Q3_K", "Q4_K")),
        ("Q2_K", ("Q6_K", "Q2_K", "Q2_K", "Q3_K")),
        ("IQ2_XXS", ("Q5_K", "Q2_K", "IQ2_XXS", "IQ2_XXS")),
        ("IQ1_M", ("Q5_K", "Q2_K", "IQ1_M", "IQ2_XXS")),
        ("IQ3_XS", ("Q6_K", "IQ3_S", "IQ3_XXS", "IQ3_S")),
        ("TQ2_0", ("Q6_K", "Q4_K", "TQ2_0", "TQ2_0")),
    ],
)
def test_output_and_embedding_and_attention_have_their_own_rules(model, preset, kinds):
    types = chosen(model, preset)
    names = ("output", "token_embd", "blk.3.attn_q", "blk.3.attn_output")
    assert tuple(types[f"{name}.weight"] for name in names) == kinds


def test_norms_and_vectors_have_no_choice(model):
    assert not [name for name in chosen(model, "Q4_0") if "norm" in name]


@pytest.mark.parametrize(
    ("width", "preset", "kind"),
    [
        (320, "Q4_K_S", "Q5_0"),
        (320, "Q6_K", "Q8_0"),
        (320, "Q2_K", "Q4_0"),
        (320, "IQ3_S", "IQ4_NL"),
        (72, "Q4_K_S", "F16"),
        (72, "Q8_0", "F16"),
    ],
)
def test_rows_that_do_not_fill_blocks_get_a_format_of_shorter_ones(tmp_path, width, preset, kind):
    path = write_model(
        tmp_path / "a.gguf", dimensions={"D": width, "H": 4, "K": 2, "d": width // 4}
    )
    assert chosen(GGUF.open(path), preset)["blk.1.attn_q.weight"] == kind


def test_without_an_output_the_embedding_is_one(tmp_path):
    path = write_model(tmp_path / "a.gguf", tensors={"output.weight": None}, dimensions={"D": 256})
    assert chosen(GGUF.open(path), "Q4_K_M")["token_embd.weight"] == "Q6_K"


def test_wishes_come_before_rules_and_are_not_counted(model):
    wishes = Wishes(
        output=FORMATS["Q8_0"],
        embedding=FORMATS["Q5_1"],
        tensors=((r"blk\.(0|1)\.attn_v", FORMATS["F16"]), ("attn_v", FORMATS["Q3_K"])),
    )
    types = chosen(model, "Q4_K_M", wishes)
    assert (types["output.weight"], types["token_embd.weight"]) == ("Q8_0", "Q5_1")
    assert raised(types, "attn_v") == {0: "F16", 1: "F16"}
    later = Wishes(tensors=((r"blk\.(0|1)\.", FORMATS["Q4_K"]),))
    downs = chosen(model, "Q4_K_S", later)
    assert raised(downs, "ffn_down") == {2: "Q5_K", 3: "Q5_K"}


def test_pure_has_no_exceptions_and_the_output_can_be_left(model):
    assert set(chosen(model, "Q4_K_M", Wishes(pure=True)).values()) == {"Q4_K"}
    assert "output.weight" not in chosen(model, "Q4_K_M", Wishes(leave_output=True))


def test_eight_experts_have_rules_of_their_own(tmp_path):
    path = write_model(
        tmp_path / "a.gguf",
        "llama-moe",
        metadata={"llama.expert_count": 8},
        dimensions={"E": 8, "D": 256, "L": 8},
    )
    types = chosen(GGUF.open(path), "Q4_K_M")
    assert types["blk.3.attn_v.weight"] == types["blk.3.attn_k.weight"] == "Q8_0"
    assert types["blk.3.attn_output.weight"] == "Q5_K"
    types = chosen(GGUF.open(path), "MXFP4_MOE")
    assert types["blk.3.ffn_up_exps.weight"] == "MXFP4"
    assert types["blk.3.attn_q.weight"] == "Q8_0"


def test_few_bits_need_importance_but_not_in_embeddings():
    needs = [
        (kind, needs_importance("a.weight", FORMATS[kind], PRESETS["Q2_K"])) for kind in FORMATS
    ]
    assert [kind for kind, need in needs if need] == [
        *("IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ2_S", "IQ1_M")
    ]
    assert needs_importance("a.weight", FORMATS["Q2_K"], PRESETS["Q2_K_S"])
    assert not needs_importance("token_embd.weight", FORMATS["IQ2_S"], PRESETS["IQ2_M"])


def test_types_are_named_in_any_case_or_by_number():
    assert preset_of("q4_k_m") is preset_of("15") is preset_of("Q4_K") is PRESETS["Q4_K_M"]
    with pytest.raises(UsageError) as caught:
        preset_of("Q4_K_X")
    assert "Q4_K_M" in str(caught.value.hint)
    with pytest.raises(UsageError) as caught:
        preset_of("nonsense")
    assert "IQ3_XXS" in str(caught.value.hint)


def test_a_file_of_types_is_there_for_each(shared_data):
    """Of every type that llama-quantize made of one model."""
    folder: Path = shared_data("quants")
    file = GGUF.open(folder / "tiny-F32.gguf")
    paths = {preset: folder / f"tiny-{preset}.gguf" for preset in PRESETS}
    there = {preset: GGUF.open(path) for preset, path in paths.items() if path.exists()}
    assert len(there) > 20
    for preset, other in there.items():
        weighted = "quantize.imatrix.file" in other.metadata
        types = chosen(file, preset, weighted=weighted)
        made = {name: each.format.name for name, each in other.tensors.items()}
        assert {name: types.get(name, "F32") for name in made} == made


def test_a_wish_for_no_tensor_is_refused(model):
    wishes = Wishes(tensors=(("ffn_dwn", FORMATS["Q6_K"]),))
    with pytest.raises(UsageError, match="no tensor's name matches 'ffn_dwn'"):
        chosen(model, "Q4_K_M", wishes)
