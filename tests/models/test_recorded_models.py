"""The small trained models against llama.cpp's recorded prompts, logits and greedy texts."""

import json
from typing import Any

import numpy as np
import pytest

import lepton_cli
from lepton_cli.engine.decoding.generation import Generation
from lepton_cli.engine.events import Done
from lepton_cli.engine.sampling.sampler import Sampling

GREEDY = Sampling(temperature=0)
PROMPTS = {
    "tinytalk": "User: hey, how are you?\nBot:",
    "slm4096": None,
    "tiny": None,
}  # None: as recorded
STORY = "Once upon a time"

# the largest difference of the five largest logits, which are near 10: llama.cpp rounds activations
TOLERANCE = {"F32": 5e-3, "F16": 2e-2}  # slm4096 and atome have the f16 GELU table too
QUANTIZED = 0.2

NAMES = [
    "atome-vanilla1m-gpt2-F16",
    "babyllama-tok105-F32",
    "bitllama-3M-IQ4_XS",
    "bitllama-3M-Q3_K_M",
    "bitllama-3M-Q4_K_M",
    "bitllama-3M-Q5_1",
    "bitllama-3M-Q5_K_M",
    "bitllama-3M-Q6_K",
    "bitllama-3M-Q8_0",
    "bitllama-3M-TQ2_0",
    "slm4096-gpt2-F32",
    "stories260K-F32",
    "stories260K-moe-F32",
    "stories260K-phi3-F32",
    "stories260K-qwen2-F32",
    "stories260K-tied-F32",
    "tiny-rwkv7-834K-F32",
    "tinytalk-3m-gpt2-F16",
    "tinytalk-3m-gpt2-Q4_0",
]


def recording(folder: Any, name: str) -> dict[str, Any]:
    lines = (folder / "reference.jsonl").read_text().splitlines()
    return next(r for r in map(json.loads, lines) if r["model"] == f"{name}.gguf")


@pytest.mark.parametrize("name", NAMES)
def test_prompt_logits_and_greedy_text_follow_the_recording(shared_data, name):
    folder = shared_data("models")
    recorded = recording(folder, name)
    ids, greedy = recorded["prompt_ids"], recorded["greedy_ids"]
    with lepton_cli.load(folder / f"{name}.gguf", kv="f32") as model:
        prompt = PROMPTS.get(name.split("-")[0], STORY)
        assert model.tokenizer.encode(prompt or model.tokenizer.decode(ids)) == ids
        last = model.logits(ids)[-1]
        largest = max(abs(float(last[i]) - value) for i, value in recorded["first_top5"])
        assert largest < TOLERANCE.get(name.rsplit("-", 1)[1], QUANTIZED)
        assert int(np.argmax(last)) == greedy[0]
        generation = Generation(GREEDY, max_tokens=len(greedy), split_reasoning=False)
        *_, done = model.stream(ids, generation)
    assert isinstance(done, Done)
    drawn = [*done.token_ids]
    if done.reason == "stop":  # the recording holds the end token too
        drawn += greedy[len(drawn) :]
        assert len(done.token_ids) == len(greedy) - 1
        assert greedy[-1] in model.tokenizer.end_of_generation
    assert drawn == greedy


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_story_is_told_to_the_letter(shared_data, backend):
    folder = shared_data("models")
    with lepton_cli.load(folder / "stories260K-F32.gguf", backend=backend) as model:
        told = "".join(model.generate(STORY, max_tokens=100, temperature=0))
    assert told == (folder / "stories260K-F32.txt").read_text()


def test_every_recorded_model_is_tried(shared_data):
    lines = (shared_data("models") / "reference.jsonl").read_text().splitlines()
    recorded = {json.loads(line)["model"].removesuffix(".gguf") for line in lines}
    assert recorded == set(NAMES)
