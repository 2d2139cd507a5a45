"""`/lora`: lists the adapters of the open model, and switches or rescales them."""

from collections.abc import Sequence

from lepton_cli.engine.library.suggestions import did_you_mean
from lepton_cli.engine.loading.adapters import AdapterState
from lepton_cli.ui.repl.dialogue import Dialogue
from quant.errors import UsageError

USAGE = "/lora lists the adapters; /lora 1 0.5, /lora 1 off or /lora NAME on changes one"
NONE_OPEN = "lepton chat MODEL --lora FILE opens one; --lora FILE:0 leaves it switched off"


def adapt(dialogue: Dialogue, argument: str) -> None:
    """Lists them, or gives one another scale."""
    adapters = dialogue.session.model.adapters
    states = adapters.states
    if not states:
        raise UsageError("the model was opened without adapters", NONE_OPEN)
    if not argument:
        for number, state in enumerate(states, 1):
            dialogue.say(_row(number, state), f"  {state.about}")
        return
    name, _, value = argument.rpartition(" ")
    number = _number(states, name.strip())
    adapters.rescale(number, _scale(states[number], value))
    dialogue.say(_row(number + 1, adapters.states[number]))
    if dialogue.session.conversation.turns:
        dialogue.note("the next answer reads the chat anew")


def _row(number: int, state: AdapterState) -> tuple[str, str]:
    shown = f"x {state.scale:g}" if state.scale else "off"
    return f"{number}  {state.name}  {shown}", "" if state.scale else "faint"


def _number(states: Sequence[AdapterState], name: str) -> int:
    """The index of the adapter of this number or name. Raises UsageError."""
    if not name:
        raise UsageError("/lora needs an adapter and its scale", USAGE)
    if name.isdecimal():
        if not 1 <= int(name) <= len(states):
            raise UsageError(f"there is no adapter {name}", USAGE)
        return int(name) - 1
    names = [state.name for state in states]
    found = [n for n, each in enumerate(names) if name in (each, str(states[n].path))]
    if not found:
        near = did_you_mean(name, names)
        raise UsageError(f"there is no adapter {name}", near or USAGE)
    if len(found) > 1:
        raise UsageError(f"{len(found)} adapters are called {name}", "use their numbers")
    return found[0]


def _scale(state: AdapterState, text: str) -> float:
    """`on`: the scale that it was opened with. Raises UsageError."""
    if text in ("on", "off"):
        return (state.given or 1.0) if text == "on" else 0.0
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"the scale {text!r} is not a number", USAGE) from None
