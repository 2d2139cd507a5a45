"""How the built-in model is asked for a topic: frames of questions, and other words for the same.

`[x]` is where a phrase of a topic goes; `{a|b}` is a choice.
"""

ASK_VERB = (
    "how {do|can|could|would|should} {I|i|you|we|one} [x]?", "how {do|can} I [x]?", "how to [x]?",
    "how to [x]", "[x]", "[x]?", "how do I [x] {with lepton|in lepton|here|in this chat}?",
    "{is there a|what is the|which|what} {way|command} to [x]?", "is there a command to [x]",
    "what {command|flag|option} {do I need|is there|lets me} to [x]?", "{can|could} {I|you|it} [x]?",
    "I {want|would like|need|wish} to [x]", "tell me how to [x]", "{show|teach} me how to [x]",
    "help me [x]", "how does one [x]?", "what do I {type|do|have to do|enter} to [x]?",
    "I don't know how to [x]", "explain how to [x]", "what if I want to [x]?",
    "is it possible to [x]?", "does lepton let me [x]?", "what's the {command|flag|way} to [x]?",
    "I am trying to [x]", "please [x]", "where can I [x]?", "and how do I [x]?", "I can't [x]",
    "which {flag|command} {do I use|is needed} to [x]?", "I cannot [x], what now?",
    "any way to [x]?", "I'd like to [x]", "I need to [x]", "how would I go about it if I want to [x]?",
    "do you know how to [x]?", "can you tell me how to [x]?", "what must I do to [x]?", "[x] how?",
    "is there {some|a|any} way to [x]?", "{somehow|quickly} [x]", "[x] {with lepton|in lepton|here}",
    "I would love to [x]", "could you help me [x]?", "what about if I [x]?", "{let me|let us} [x]",
    "which {key|option|switch|setting} do I need to [x]?", "{hi|hello}, how do I [x]?", "what is the best way to [x]?", "how do i [x] now", "quick: how to [x]?",
)  # fmt: skip
ASK_NOUN = (
    "[x]", "[x]?", "what is [x]?", "what's [x]?", "what does [x] do?", "explain [x]",
    "tell me about [x]", "how does [x] work?", "how do I use [x]?", "what is [x] for?",
    "help with [x]", "what about [x]?", "where is [x]?", "can you explain [x]?",
    "I don't understand [x]", "what can I do with [x]?", "show me [x]", "what are [x]?", "and [x]?",
    "[x] then?", "what does [x] mean?", "how about [x]?", "[x] please", "where do I find [x]?",
    "is there [x]?", "when do I need [x]?", "info on [x]", "what was [x] again?",
    "which command is for [x]?", "does it have [x]?", "does lepton support [x]?", "help [x]",
    "how do I {get|set|find|change|see|turn on} [x]?", "[x] how", "what is the meaning of [x]?",
    "can you tell me about [x]?", "tell me more about [x]", "anything on [x]?", "[x] flag", "[x] command",
    "how can I {get|set|find|change|see} [x]?", "what do you know about [x]?", "describe [x]",
    "which option is for [x]?", "how is [x] {set|used|done}?", "define [x]", "{set|change|use} [x]",
    "is [x] {supported|possible|there}?", "can I {have|use|get} [x]?", "why is there [x]?", "[x]!",
    "I have a question about [x]", "what are the details of [x]?", "{hi|hello}, what is [x]?",
    "I need [x]", "I need help with [x]", "question about [x]", "lepton [x]",
)  # fmt: skip
BARE = ("[x]", "[x]?")  # a single word, or a whole question
SYNONYMS = {
    "answer": ("reply", "response"), "answers": ("replies", "responses"), "see": ("view", "look at"),
    "chat": ("conversation", "discussion", "dialogue", "session", "talk"), "show": ("display",),
    "conversation": ("discussion", "dialogue", "session"), "file": ("document", "text file"),
    "change": ("alter", "modify", "adjust", "set"), "set": ("define", "choose", "give", "specify"),
    "get": ("have", "obtain", "receive"), "use": ("work with", "employ", "take"),
    "save": ("store", "keep", "write down"), "delete": ("remove", "erase"), "open": ("load", "start"),
    "stop": ("halt", "interrupt", "end"), "make": ("let", "force"), "list": ("overview", "listing"),
    "bigger": ("larger", "greater"), "larger": ("bigger", "huge"), "shorter": ("briefer", "smaller"),
    "message": ("text", "question", "input"), "question": ("message", "prompt"), "quit": ("exit",),
    "program": ("app", "tool"), "random": ("wild", "creative"), "same": ("identical", "very same"),
    "number": ("count", "amount"), "last": ("previous", "latest"), "saved": ("stored", "earlier"),
    "cleared": ("deleted", "wiped", "erased"), "model": ("gguf", "llm", "language model"),
    "want": ("wish", "would like"), "machine": ("computer", "laptop", "pc"), "again": ("once more",),
    "template": ("chat template",), "graphics": ("video",), "another": ("a different", "a new"),
    "text": ("words", "string"), "lines": ("rows",), "find": ("look for", "get"), "fast": ("quick",),
    "output": ("result", "answer"), "tell": ("show",), "restore": ("recover", "bring back"),
    "switch": ("change", "move"), "attach": ("add", "include"), "usage": ("use",),
}  # fmt: skip
SMALL_WORDS = (
    "a", "an", "the", "do", "I", "i", "to", "is", "of", "my", "in", "it", "can", "you", "for", "me"
)  # fmt: skip
