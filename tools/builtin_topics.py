"""What the built-in model explains: each thing that Lepton can do, how it is asked, the answer.

Phrases are separated by `; `. In a phrase or an answer `{a|b}` is a choice, which may nest, and
NUL stands for a literal bar.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """Verb phrases, noun phrases and whole questions that ask for one thing, and its answer."""

    verbs: str
    nouns: str
    answer: str
    asks: str = ""


def block(*lines: str) -> str:
    """A fenced block of shell lines."""
    return "\n\n```\n" + "\n".join(lines) + "\n```"


TOPICS = (
    Topic(
        "open a {real|bigger|better|proper|larger|serious} model; chat with a {real|big|better} "
        "model; use {my own|a|another|a real} model; load a {model|gguf|gguf file|gguf model}; run "
        "a {real|big|local} model; use a gguf{| file}; start a chat with {my|my own|a} model; open "
        "{model.gguf|a gguf file|my model}; talk to a {smarter|real} model; {get|have} a "
        "{smarter|better} model; open my gguf; start lepton with a model; give lepton a model file",
        "a real model; lepton chat; the chat command; opening a model; loading a model; chat",
        "Start a chat with the path of a GGUF file:" + block("lepton chat model.gguf") +
        "\n\nA name from `lepton models` works too.",
        "where do I put my model?; I have a gguf file, what now?; I have a model, how do I start?",
    ),
    Topic(
        "{find|get|download|fetch} {a model|models|a gguf file|gguf files}; know which models {I "
        "have|are there|exist}; list {the|my|all} models; see {my|the available|all|installed} "
        "models; use a model by name; get a model from hugging face; use {ollama|llama.cpp} "
        "models; install a model; pull a model; download llama; get qwen; find gguf files on my "
        "disk",
        "lepton models; the models command; model names; aliases; available models; my models; "
        "model downloads; hugging face; ollama; llama.cpp; models; downloading; a download",
        "`lepton models` lists the models that have a name and those on your disk, and shows the "
        "command that fetches each one. Lepton itself downloads nothing.",
        "where {can|do} I {get|find} {a model|models}?; what models are there?; which models can I "
        "use?; does lepton download models?; can you download a model for me?; what models do I "
        "have?; which model should I use?; recommend a model",
    ),
    Topic(
        "pipe {a prompt|text|a file|something|stdin}{ into lepton| into a model| to it|}; summarize "
        "{a file|my notes|a text file|notes.txt|a document}; use lepton in {a script|scripts|bash|a "
        "shell script|a pipe|a pipeline}; run {one|a single} prompt; use stdin; send {a file|text} "
        "to the model{| from the shell}; run a prompt without chat; use {pipes|the pipe}; use "
        "lepton run; ask one question from the shell; cat a file into it; feed it a file",
        "lepton run; the run command; pipes; stdin; scripting; scripts; one-shot prompts; piping; "
        "pipe; shell scripts; standard input",
        "`lepton run` answers one prompt and ends. It reads stdin first, then your prompt:" +
        block("cat notes.txt | lepton run model.gguf 'Summarize'") +
        "\n\nThe answer goes to stdout, everything else to stderr.",
        "does it work with pipes?; does it read stdin?; can I pipe into it?; can it read stdin?",
    ),
    Topic(
        "limit the {answer|length|output|number of tokens|answer length}; make {the answer|the "
        "answers|it|replies} {shorter|longer|short}; set the {maximum length|number of tokens|max "
        "tokens}; get {shorter|longer|brief} answers; limit tokens; stop after {100|50|200} "
        "tokens; cap the length; stop it from writing so much",
        "-n; the -n flag; {answer|output} length; the token limit; max tokens; the maximum "
        "length; shorter answers; --n-predict; length",
        "`-n` sets the largest number of tokens of an answer:" +
        block("lepton run model.gguf -n 100 'Tell me a story'"),
        "the answers are too {long|short}; why is the answer so {long|short}?; it talks too much",
    ),
    Topic(
        "change the temperature; make {it|the model|answers|the output} {more|less} "
        "{random|creative|boring|wild|deterministic}; set the temperature; get {more "
        "varied|more creative|less random} answers; {lower|raise|increase|decrease} the "
        "temperature; make it more creative; turn down the randomness; set temp; sample greedily; "
        "use greedy decoding",
        "--temp; the temperature; temperature; temp; randomness; the --temp flag; creativity; the "
        "temperature flag; the temperature setting; greedy sampling; greedy",
        "`--temp` sets the temperature: `--temp 0` always takes the likeliest token, 0.8 is the "
        "default, higher is wilder. In a chat: `/set temperature 0.5`.",
        "what temperature should I use?; what is the default temperature?; the answers are too "
        "{random|wild|boring}; which temperature is best?; why is it so random?",
    ),
    Topic(
        "change the context{ size| length| window|}; make the context {larger|bigger|smaller|"
        "longer}; use less memory; set the context{ size| window| length|}; get a "
        "{longer|bigger} {context|window}; increase the context; reduce memory usage; save memory",
        "-c; the context size; the -c flag; the context window; context length; context size; "
        "--ctx-size; a bigger context; num_ctx; n_ctx",
        "`-c` sets the context in tokens:" + block("lepton chat model.gguf -c 4096") +
        "\n\nWithout it, Lepton takes the model's own length. A smaller context needs less memory.",
        "it needs too much memory; I run out of memory; out of memory; which context size should "
        "I use?; how big is the context of a model?; why does it use so much memory?",
    ),
    Topic(
        "deal with a full context; handle a long prompt; drop old messages; keep chatting when "
        "the context is full; fix a context overflow; use a prompt that is too long",
        "--overflow; the --overflow flag; context overflow; a full context; overflow; an overflow",
        "`--overflow` says what happens when the context is too small: `error`, `drop-old`, "
        "`middle` or `shift`. A larger context comes with `-c`.",
        "the context is full; the prompt is too long; my prompt does not fit; what if the context "
        "is full?; what happens when the context is full?; the prompt does not fit the context",
    ),
    Topic(
        "get the same answer {again|every time|twice}; set {the|a} seed; make {it|answers|output|"
        "results} {repeatable|reproducible|deterministic}; reproduce {an answer|a result}; use a "
        "{seed|fixed seed}; fix the seed; repeat an answer exactly",
        "-s; the seed; seeds; the -s flag; random seed; seed; --seed; reproducible answers; a "
        "fixed seed; reproducibility; the random seed",
        "`-s` sets the seed:" + block("lepton run model.gguf -s 42 'Hello'") +
        "\n\nThe same seed gives the same answer. `--temp 0` needs no seed.",
        "why is the answer different every time?; which seed was used?; why do I get different "
        "answers?; is it deterministic?; are answers reproducible?",
    ),
    Topic(
        "use more {threads|cores|cpus}; set the {number of |}threads; make it {faster|use all "
        "cores|quicker}; use {4|8|2|fewer} threads; speed it up; limit the cpu; run on {4|8} "
        "cores; use all {my |}{cores|cpus}; change the thread count; use less cpu",
        "-t; threads; the -t flag; the number of threads; cpu cores; cores; thread count; "
        "--threads; multithreading; cpu usage",
        "`-t` sets the number of threads:" + block("lepton chat model.gguf -t 4") +
        "\n\nWithout it, Lepton takes the physical cores. `lepton doctor` tells how many.",
        "how many {threads|cores} does it use?; how many threads should I use?; it is too slow; "
        "does it use all cores?; can it be faster?; why is it so slow?",
    ),
    Topic(
        "set {a|the} system prompt; give {it|the model|you} {a role|instructions|a personality|a "
        "character}; change the system {prompt|message|text}; tell the model how to behave; use a "
        "system {prompt|message|text}; remove the system prompt; add a system prompt; make it act "
        "like a pirate",
        "-sys; /system; the system prompt; system prompts; a system message; the -sys flag; "
        "system prompt; the system text; system; system message; --system-prompt",
        "The system prompt tells the model how to behave:\n\n- at the start: `lepton chat "
        "model.gguf -sys 'You are a poet.'`\n- in a chat: `/system You are a poet.`\n- `/system "
        "none` removes it",
        "where does the system prompt go?; can the model have a role?; can you play a role?",
    ),
    Topic(
        "read {the|a} prompt from a file; use a prompt file; use a file as {the |}prompt; "
        "take the prompt from prompt.txt; put my prompt into a file; run a prompt file; load a "
        "prompt from a file",
        "-f; the -f flag; prompt files; a prompt file; prompt.txt; --file; a prompt from a file",
        "`-f` reads the prompt from a file:" + block("lepton run model.gguf -f prompt.txt") +
        "\n\nIn a chat, `/read FILE` does it.",
        "my prompt is in a file; can the prompt be a file?",
    ),
    Topic(
        "{read|add|attach|include|show you|give you|send} a {file|text file|document} in {the "
        "chat|a chat|this chat|a message}; attach a {file|document|text}; add a file to my "
        "message; chat about a {file|document}; upload a {file|document}; ask about a file; let you "
        "read a file; paste a file",
        "/read; attachments; reading a file in the chat; attaching files; file uploads; the /read "
        "command; a file in the chat; an attachment",
        "`/read FILE` puts a file in front of your next message, for example `/read notes.txt`.",
        "can you read a file?; can I attach a file?; here is a file; can I upload files?; read "
        "notes.txt; can I show you a document?",
    ),
    Topic(
        "get json{ output|}; print json; get {machine readable|structured} output; get {token "
        "ids|the token counts} in a script; use json; output json; make it {print|return|output|"
        "give} json; have the answer as json; parse the output; get the result as json; make the "
        "output json; write json; return json; format the output as json; turn on json",
        "--json; json; --jsonl; json output; the --json flag; jsonl; structured output; JSON "
        "lines; json mode; the json flag; a json object; json results; output in json format",
        "`lepton run model.gguf --json 'Hello'` prints one JSON object with text, token ids, "
        "counts, seed and times. `--jsonl` prints one for each event.",
        "does it {have|support|do|speak} json?; is there json output?; can the output be json?; can "
        "it output json?; I need json; json please; give me json; can I have json?",
    ),
    Topic(
        "complete {text|a text|a sentence} without a template; turn off the {chat "
        "template|template}; use plain completion; continue a text; use raw mode; complete text; "
        "use a base model; skip the chat template; prompt without template",
        "--raw; raw mode; plain completion; the --raw flag; completion; raw; base models; text "
        "completion; raw prompts",
        "`--raw` continues your text without a chat template:" +
        block("lepton run model.gguf --raw 'Once upon a time'"),
        "can it just complete my text?; does it work with base models?",
    ),
    Topic(
        "see {all|the} {commands|slash commands}; get help; find the commands; list {all |the |}"
        "{commands|slash commands}; learn the commands; show {all |the |}commands; know the "
        "commands; see the list of commands; find the help; show the help; see what I can type",
        "/help; {the|all} {commands|slash commands}; slash commands; the help; help; --help; "
        "commands; command list; a list of commands; the list of commands; the manual; the "
        "documentation; docs; manual; /h; /?",
        "Type `/help` for all commands. The most useful:\n\n- `/retry` answers again\n- "
        "`/system` sets the system prompt\n- `/model` opens another model\n- `/save` keeps the "
        "chat\n- `/exit` leaves",
        "what commands {are there|exist|do you have|do you know|can I use|can I type|are "
        "available}?; which commands {are there|exist|do you have|do you know|can I use|can I "
        "type|are available}?; what can I type{| here}?; where is the manual?; what slash commands "
        "are there?; commands?; are there any commands?; tell me the commands; what are my "
        "commands?; which slash commands exist?; give me the commands",
    ),
    Topic(
        "use lepton; use this{| program| thing| tool| chat}; get started{| with lepton}; start; "
        "begin; learn lepton; work with lepton; start using {lepton|this}",
        "the basics; getting started; first steps; a tutorial; usage; an example; examples; a "
        "quick start; how to use lepton",
        "- `lepton chat model.gguf` talks to a model\n- `lepton run model.gguf 'Hello'` answers "
        "one prompt\n- `lepton models` lists models\n- `/help` lists the commands of this chat",
        "how does {this|lepton|it|this thing} work?; I am new here; where do I start?; what do I "
        "do first?; what now?; what do I do now?; how do I use you?; how do I use it?",
    ),
    Topic(
        "change {a setting|settings|an option|the settings|options}{ in the chat| here|}; set {a "
        "parameter|parameters|options|a value}{ in the chat|}; configure {lepton|the chat}; see "
        "the settings; show {the|all} settings; change parameters",
        "/set; settings; the settings; options; parameters; the /set command; preferences; the "
        "options of the chat",
        "`/set` shows and changes settings in the chat, for example `/set temperature 0.5` or "
        "`/set max_tokens 100`.",
        "what settings are there?; which settings can I change?; what can I set?",
    ),
    Topic(
        "{try|ask} again; get another answer; {regenerate|redo} {the|an|your|the last} answer; get "
        "a {different|better|new} answer; make {it|you} answer again; retry; regenerate; reroll "
        "the answer; have you answer once more",
        "/retry; retry; regenerate; the /retry command; /regen; a new answer; another answer; a "
        "second try",
        "`/retry` answers your last message again.",
        "I want a different answer; can you answer that again?; answer again; try again; I don't "
        "like this answer, can I get another?",
    ),
    Topic(
        "undo {|something|my message|that|it|the last message}; take back {my|a|the last} message; "
        "remove the last {message|answer|exchange}; delete {my|the} last {message|question|answer}; "
        "take that back; unsend a message",
        "/undo; undo; taking back a message; the /undo command; deleting a message",
        "`/undo` takes back your last message and its answer. `/back` brings them back.",
        "I want to take that back; can I delete my last message?; oops, undo",
    ),
    Topic(
        "undo {/clear|/undo|/edit|/retry|/load|an undo|the clear|a clear}; get {my|the} {old |}"
        "{chat|conversation} back{| after /clear}; go back{| to the old chat}; recover {the|a "
        "cleared|a lost} chat; bring back {the old chat|my chat|what I cleared}; undo the undo; "
        "redo; restore what I {cleared|undid}; return to the chat before",
        "/back; the /back command; going back; redo; undoing /clear; back",
        "`/back` brings back the chat as it was before `/undo`, `/edit`, `/retry`, `/clear` or "
        "`/load`.",
        "I cleared the chat by mistake; I cleared it by accident; can I undo /clear?; can I go "
        "back?; I lost my chat after /clear; is /clear final?; can I get the first answer back?",
    ),
    Topic(
        "{edit|change|correct|fix} {my|a|the last} {message|question|prompt}; fix a typo; rewrite "
        "my question; change what I {said|wrote|asked}; edit {an|the|your} answer; correct a typo; "
        "edit an earlier message; ask it differently",
        "/edit; editing a message; the /edit command; typos; editing; edit",
        "`/edit` lets you change your last message and sends it again. `/edit 2` takes the second "
        "one, `/edit answer` the last answer.",
        "I made a typo; I mistyped; I wrote it wrong; can I edit my message?; can I change the "
        "answer?",
    ),
    Topic(
        "continue {an|the|your|the last} answer; make {it|you} go on; finish {an|the} answer; get "
        "the rest of {the|an} answer; resume the answer; have you go on writing; complete a cut "
        "answer",
        "/continue; continuing an answer; the /continue command; the rest of an answer; an "
        "unfinished answer",
        "`/continue` lets the last answer go on exactly where it ended.",
        "the answer was cut off; it stopped in the middle; the answer is incomplete; the answer "
        "stopped too early; the answer is not finished; why did the answer stop?",
    ),
    Topic(
        "{clear|reset|forget|erase|delete|empty} {the|this|our} {chat|conversation}; start "
        "over; start a new {chat|conversation}; start {again from zero|from scratch|fresh}; make "
        "you forget {everything|this}; begin a new chat; wipe the chat",
        "/clear; a new chat; clearing the chat; the /clear command; /new; clear; a fresh start; "
        "new chat; reset",
        "`/clear` forgets the conversation and starts a new one. The model and the system prompt "
        "stay. `/back` undoes it.",
        "let's start over; forget everything; new conversation; can we start over?",
    ),
    Topic(
        "see how full the context is; see the {context|context usage}; know how much "
        "{context|space} is {left|used}; check the context; see how many tokens {are left|I "
        "used|each message takes}; count the tokens of this chat; check the space left",
        "/context; the context meter; context usage; the toolbar; the context bar; the /context "
        "command; the tokens of this chat; the space left",
        "`/context` shows how many tokens each message takes and how full the context is.",
        "how full is the context?; how much context is left?; how many tokens are left?; is the "
        "context full?; how much space is left?; how many tokens did I use?; how many tokens does "
        "this chat have?; what is in the context?; how long can this chat get?",
    ),
    Topic(
        "see {the speed|tokens per second|statistics|the stats|the timings}; know how fast {you "
        "are|it is|the answer was}; see the figures of the last answer",
        "/stats; statistics; the speed; tokens per second; stats; speed; the /stats command; "
        "timings; the figures of an answer",
        "`/stats` shows the figures of the last answer: tokens, times and speed.",
        "how fast {are you|is it|was that}?; how many tokens per second?; how long did that take?; "
        "how long did the answer take?; what is the speed?",
    ),
    Topic(
        "measure the speed of a model; benchmark {it|a model|my machine}; compare the speed of "
        "models; test how fast a model is; run a benchmark; see how fast my {model|machine} is",
        "lepton bench; the bench command; benchmarks; a benchmark; benchmarking; performance; "
        "bench; a speed test",
        "`lepton bench` measures a model's speed beside the limits of your machine:" +
        block("lepton bench model.gguf"),
        "how fast is my model?; how fast is my machine?",
    ),
    Topic(
        "answer {many prompts|many questions|every row|a list of prompts}; run {many prompts|a "
        "batch|a batch job}; process {a csv|a csv file|many rows|a jsonl file|a list|a dataset}; "
        "use lepton batch; translate a {csv|list}; go on with a stopped batch; label my data",
        "lepton batch; the batch command; batches; batch; a csv file; csv; many prompts; rows; "
        "batch jobs; a dataset; batch mode",
        "`lepton batch` answers every row of a file of lines, JSONL or CSV:" +
        block("lepton batch model.gguf prompts.txt -o out.jsonl") +
        "\n\nStopped, the same command goes on where it was.",
        "can it answer many prompts?; does it read csv?; can I run it over a table?",
    ),
    Topic(
        "use a json schema; {force|make} {the answer|it} {fit|follow|match} a schema; get json of "
        "a given form; get {valid json|answers in a fixed form}; use a {grammar|regex}; constrain "
        "the {answer|output}; let it choose from a list; get yes or no; classify {text|a text}",
        "--json-schema; a json schema; -j; -jf; schemas; a schema; grammars; gbnf; --grammar; "
        "--regex; regex; --choices; choices; constrained output; constrained answers; a grammar",
        "The answer keeps to a form when you give one:\n\n- `-jf person.schema.json` is a JSON "
        "schema\n- `--choices yes,no` is a list\n- `--regex` and `--grammar-file` are patterns",
        "can it only say yes or no?; does it support {grammars|gbnf|json schemas}?",
    ),
    Topic(
        "resume {a|my|the|my last|the last} {chat|conversation|session}; go on with {the last|my "
        "last|yesterday's} {chat|conversation|session}; get my chat back after {a crash|closing "
        "it}; pick up where I left off; continue {an old|yesterday's|the last} session",
        "--resume; resuming; resume; the --resume flag; sessions; autosave; /sessions; my last "
        "session; a crash; yesterday's chat; old sessions",
        "A chat in a terminal is kept as it happens: `lepton chat --resume` goes on with the last "
        "one, also after a crash. `/sessions` lists them, `--no-save` keeps nothing.",
        "what happens if it crashes?; do I lose my chat when I close the terminal?; where did my "
        "last chat go?; can I go on tomorrow?; {the terminal|lepton|my computer|it} crashed, can I "
        "get my chat back?; my terminal crashed; I closed the window, is my chat lost?; is the chat "
        "lost after a crash?",
    ),
    Topic(
        "branch {the|a|this} chat; try another way without losing this one; switch between "
        "branches; see the branches; go back to another answer; see all answers to a question",
        "/branch; branches; the /branch command; a branch; branching; other answers",
        "Each `/retry`, `/undo` and `/edit` begins a branch, and nothing is lost: `/branch` lists "
        "the branches of this chat and switches between them.",
        "are old answers kept?; can I have branches?",
    ),
    Topic(
        "compile {the |all |}kernels{ ahead| before the first run|}; make the first start faster; "
        "warm {it|lepton} up; prepare lepton; avoid the wait at the first start",
        "lepton warmup; the warmup command; warmup; the first start; kernels; compilation; warming "
        "up",
        "Kernels are compiled when they are first needed, and kept. `lepton warmup` compiles all "
        "of them ahead.",
        "why is the first start slow?; why does the first run take so long?; what does it compile?",
    ),
    Topic(
        "use a draft model; use speculative decoding; guess ahead; speed up decoding with a small "
        "model; turn off {drafting|guessing|speculative decoding}",
        "-md; a draft model; speculative decoding; --draft-max; drafting; guessing ahead; "
        "speculation; --model-draft; draft models",
        "`-md small.gguf` names a small model that guesses ahead. The answer stays the same, it "
        "only comes faster. `--draft-max 0` turns guessing off.",
        "does it have speculative decoding?; can a small model help?",
    ),
    Topic(
        "{clear|see|turn off|show|empty} the {prompt |prefix |}cache; keep long prompts; speed up "
        "a long prompt; read the same file faster the second time; free disk space; see what the "
        "cache holds",
        "lepton cache; the cache command; --prefix-cache; the prefix cache; the prompt cache; "
        "cached prompts; the cache; cache; caching; prompt caching",
        "What was computed of a long prompt is kept on disk, so the same beginning is fast next "
        "time. `lepton cache ls` lists it, `lepton cache clear` empties it, `--prefix-cache 0` "
        "turns it off.",
        "is the prompt cached?; why is the second run faster?; how much disk does the cache use?",
    ),
    Topic(
        "log {all|my|the} {prompts|answers}; keep {a record|an audit log}; write every answer to a "
        "log file; audit what is said",
        "--audit; an audit log; the audit log; the --audit flag; auditing; a log of all answers",
        "`--audit log.jsonl` appends each prompt, its answer and its settings to a file; without it "
        "there is no such log. Chats are kept for `--resume`, unless you say `--no-save`.",
        "are my prompts logged?; can I keep a record of all answers?",
    ),
    Topic(
        "see {the|a} {rendered |}{prompt|chat template|template}; show the {rendered |}"
        "{template|prompt|chat template}{ in the chat| here|}; check the {prompt|chat} template; "
        "see what the model {gets|sees|really gets}; see the exact prompt; debug the prompt; see "
        "the special tokens",
        "/template; the chat template; chat templates; the template; the rendered prompt; "
        "template; the /template command; the full prompt; special tokens; /prompt; a chat template",
        "`/template` shows the rendered prompt: the very text that the model gets. In the shell, "
        "`lepton template model.gguf 'Hello'` does it.",
        "what does the model see?; what prompt does the model get?; what is sent to the model?; "
        "what does the prompt look like?",
    ),
    Topic(
        "render a prompt{ in the shell| without a chat|}; use lepton template; see the prompt of a "
        "model from the {shell|command line}; render the template of a {model|file}; test a chat "
        "template; check a template from the command line",
        "lepton template; the template command; rendering a prompt; the lepton template command",
        "`lepton template` shows the very prompt that the chat template makes of a text:" +
        block("lepton template model.gguf 'Hello'"),
    ),
    Topic(
        "use another chat template; use {my|a different|another} {chat |}template; change the chat "
        "template; override the template; set a jinja template; choose a template",
        "--chat-template; the --chat-template flag; --chat-template-file; my own template; jinja; "
        "another chat template; a jinja template",
        "`--chat-template` takes the name of a template or Jinja text, `--chat-template-file` a "
        "file.",
        "the chat template is wrong; the model has no chat template",
    ),
    Topic(
        "save {the|this|our|my|a} {chat|conversation|talk|dialogue}; keep {the|this|our} "
        "{chat|conversation|talk}; store the {chat|conversation}; {write|export} the chat to a "
        "file; save {it|this}; save what we {said|wrote}; export to markdown; back up the chat; "
        "save everything to a file",
        "/save; saving; saving a chat; save; the /save command; chat.json; exporting; export",
        "`/save NAME` keeps the chat, and `/load NAME` brings it back. A file works too: `/save "
        "chat.json`, `.md` or `.txt`.",
        "where are chats saved?; is this chat saved?; can I keep this conversation?; are chats "
        "saved?; I want to keep this for later; does it save my chats?",
    ),
    Topic(
        "load {a|the|an old|my|a saved|it|yesterday's} {chat|conversation}; open a {saved|old} "
        "{chat|conversation}; restore a {saved |}chat; continue a saved {chat|conversation}; load "
        "it{ again| back|}; list my saved chats; load what I saved; bring it back later; open it "
        "again; go on with a saved chat",
        "/load; loading a chat; load; the /load command; --load; saved chats; my saved chats; old "
        "chats",
        "`/load NAME` opens a saved chat, `/load` alone lists them. In the shell: `lepton chat "
        "model.gguf --load chat.json`.",
        "where are my saved chats?; which chats did I save?; and how do I load it{| again| back}?; "
        "can I get a saved chat back?; how do I get it back later?; which chats are saved?",
    ),
    Topic(
        "{switch|change} {the |to another |}model{| here| in the chat}; swap models; change "
        "models; use another model here; switch models without leaving; try a different model "
        "here; load a model in this chat; see which model is open",
        "/model; switching models; another model; the /model command; model switching",
        "`/model FILE` goes on with another model in this chat, for example `/model model.gguf`. "
        "Names from `lepton models` work too.",
        "can I switch the model?; can I change the model in the chat?; I want another model",
    ),
    Topic(
        "{quit|exit|leave|close}{| the chat| lepton| this| the program| it| here}; get out{| of "
        "here}; stop lepton; end {the|this} chat; log out; terminate; go back to the shell; stop "
        "the program; get out of this chat",
        "/exit; leaving; Ctrl-D; ctrl d; quitting; /quit; exit; quit; /bye; /q; the exit; the way "
        "out; logout",
        "Type `/exit` or press Ctrl-D.",
        "let me out; how do I get out?; I want out; I want to stop; where is the exit?",
    ),
    Topic(
        "stop {an|the|your|this} answer; stop you{| talking| writing}; interrupt {you|the answer|"
        "it|the model}; make {it|you} stop; cancel {the|an} answer; abort; stop the output; stop "
        "generating; stop the generation",
        "Ctrl-C; ctrl c; stopping an answer; interrupting; cancel; interrupt; ctrl-c",
        "Press Ctrl-C. The answer stops, and what is there stays.",
        "stop talking; it does not stop; it never stops; it goes on forever; it won't stop",
    ),
    Topic(
        "stop at a {word|string|text}; set a stop {string|word}; use stop {strings|words}; end the "
        "answer at a word; stop before a text",
        "-r; stop strings; stop words; --reverse-prompt; the -r flag; a stop string; reverse "
        "prompts",
        "`-r TEXT` stops the answer before that text. It may be given more than once.",
    ),
    Topic(
        "write {more than one line|several lines|a long message|many lines}; type a new line; "
        "enter multiple lines; make a line break; paste several lines; write on two lines; insert "
        "a newline",
        "multi-line input; multiple lines; line breaks; newlines; several lines; Alt-Enter; a new "
        "line; multiline messages",
        "Alt-Enter or a `\\` at the end begins a new line. `\"\"\"` opens and closes a block.",
        "Enter sends my message too early; can I write several lines?; how do I not send yet?",
    ),
    Topic(
        "send a message that begins with a slash; write a slash; send / as text; start a message "
        "with /; send a path",
        "a message with a slash; //; a slash at the beginning; the double slash",
        "Begin with `//`: such a message is sent with one `/`.",
    ),
    Topic(
        "see what is in a {gguf|model|gguf file|model file}; inspect a {file|model|gguf|gguf "
        "file}; {see|check|find} the {architecture|metadata|size|parameters|license} of a {model|"
        "file|gguf}; look into a {gguf|model} file; show {the |}metadata; list the tensors; see "
        "the tensors; get information about a model; analyse a model; see model details; print "
        "model info",
        "lepton inspect; the inspect command; metadata; inspecting a file; inspect; tensors; "
        "model information; model info; the contents of a gguf file; the architecture of a model",
        "`lepton inspect` prints architecture, parameters, quantization, context and template:" +
        block("lepton inspect model.gguf") + "\n\n`--tensors` and `--metadata` show more.",
        "what is in this gguf?; what is inside a gguf file?; what does my gguf file contain?; "
        "what's inside model.gguf?; which architecture does my model have?",
    ),
    Topic(
        "check {my|the} {installation|machine|setup|computer|cpu|system}; find out why it is slow; "
        "see {which cpu features are used|what my machine can do}; find problems; diagnose {a "
        "problem|problems}; debug lepton; see what hardware is used; see where the caches are",
        "lepton doctor; the doctor command; doctor; diagnostics; my machine; my hardware; "
        "hardware; system information; a problem; an error; problems",
        "`lepton doctor` shows what this machine offers, what Lepton makes of it, and why.",
        "something is wrong; it does not work; lepton does not work; is my machine good enough?; "
        "can my computer run this?; it crashes; what hardware do I have?; is my installation ok?",
    ),
    Topic(
        "{see|count|get} {the |}tokens of a {text|word|sentence}; tokenize {a text|text|something|a "
        "string|words|a sentence}; see how {text|a word|a sentence} is split; get token ids; test "
        "the tokenizer; split text into tokens; count tokens{| in a file}; know how many tokens a "
        "text has",
        "lepton tokenize; the tokenize command; tokenize; tokens; the tokenizer; token ids; "
        "tokenization; a tokenizer; a token; counting tokens",
        "`lepton tokenize` shows the token ids of a text:" +
        block("lepton tokenize model.gguf 'Hello world'"),
        "how many tokens does my text have?; how many tokens is this text?; how is text split?",
    ),
    Topic(
        "turn off {markdown|colours|colors|formatting|color}; use a screen reader; get plain "
        "{text|output}; disable {markdown|colours|colors}; use it with a screen reader; have no "
        "colours",
        "--plain; plain mode; screen readers; the --plain flag; colours; markdown; colors; "
        "accessibility; plain text; formatting",
        "`lepton chat model.gguf --plain` shows no markdown, which suits screen readers. Colours "
        "are off when `NO_COLOR` is set.",
        "is it accessible?; I am blind; the colours are ugly; I don't want colours",
    ),
    Topic(
        "hide the {reasoning|thinking|thoughts}; show the {reasoning|thinking|thoughts}; turn off "
        "thinking; stop it from thinking; see what the model thinks; disable reasoning; turn "
        "thinking off",
        "--reasoning; reasoning; the --reasoning flag; thinking models; think tags; --no-think; "
        "thinking; reasoning models; thoughts",
        "`--reasoning show`, `hide` or `stderr` says where the thoughts of a reasoning model go. "
        "`--no-think` turns them off, where the model can.",
        "can the model think?; does it support reasoning models?; it thinks too long",
    ),
    Topic(
        "use lepton {from|in|with} python; write a python program with lepton; call lepton from "
        "{code|a program}; use the {python |}api; import lepton; use it as a library; use lepton "
        "from my program; embed lepton in my app",
        "the python api; the api; python; lepton_cli.load; the library; a python library; api; "
        "python bindings",
        "```python\nimport lepton_cli\n\nmodel = lepton_cli.load(\"model.gguf\")\nfor piece in "
        "model.generate(\"Hello\", max_tokens=50):\n    print(piece, end=\"\")\n```",
        "is there an api?; does it have a python api?; can I use it from python?; is it a library?",
    ),
    Topic(
        "use a config file; set {environment variables|defaults}; save my settings; change the "
        "defaults; make a setting permanent; keep my settings; set a default model; set a default",
        "the config file; configuration; environment variables; LEPTON variables; defaults; "
        "config.toml; config; LEPTON_MODEL; the configuration file; default settings",
        "Each option has a variable, such as `LEPTON_TOP_K`, and a place in `config.toml`. A flag "
        "beats the variable, that the file, that the model's own advice.",
        "where is the config{| file}?; can I make this permanent?; does it have a config file?",
    ),
    Topic(
        "see the exit codes; know if it failed; check for errors in a script; test if it worked",
        "exit codes; the exit code; return codes; errors in scripts; the exit status; exit status",
        "- 0: all is well\n- 1: failure\n- 2: wrong usage\n- 3: bad model file\n- 4: context "
        "overflow\n- 5: not enough memory\n- 6: not the form that was asked for\n- 130: interrupted",
        "what does exit code {2|3|4|5|6|130} mean?; which exit codes are there?",
    ),
    Topic(
        "choose a backend; use the {reference |cpu |}backend; change the backend; see which "
        "backend is used; compute on the cpu only",
        "--backend; backends; the backend; the --backend flag; backend; the reference backend; "
        "numpy; the cpu backend",
        "`--backend auto|cpu|cuda|reference` chooses who computes. `auto` takes a graphics card "
        "where it can, `reference` is plain NumPy: slow and obvious.".replace("|", "\x00"),
        "which backends are there?; what computes?",
    ),
    Topic(
        "use {the|my|a|an nvidia} {gpu|graphics card|video card}; run {it|lepton|a model|models} on "
        "{the|my|a} {gpu|graphics card}; see if the gpu is used; use cuda; turn on the gpu; enable "
        "{the gpu|cuda|gpu support}; offload layers{ to the gpu|}; get gpu acceleration; make it "
        "use my {gpu|graphics card|nvidia card}; use metal; use {rocm|vulkan}",
        "the gpu; cuda; GPU support; my graphics card; gpu; nvidia; a gpu; gpus; gpu acceleration; "
        "gpu layers; -ngl; vram; the graphics card; metal; vulkan; rocm; gpu mode",
        "Lepton uses NVIDIA cards, no others, once its extra `cuda` is installed:" +
        block("pip install 'lepton-cli[cuda]'") +
        "\n\n`-ngl N` sets how many layers go to the card, and `lepton doctor` says what is used.",
        "does it {use|support|need|have|run on} {a|the|my} gpu?; does it use my graphics card?; is "
        "the gpu used?; can it use {my|the|a} gpu?; is there gpu support?; do I need a gpu?; why is "
        "my gpu not used?; is cuda supported?; will it run on my gpu?; gpu or cpu?; does lepton "
        "support cuda?; are gpus supported?; can I use my nvidia card?; does cuda work?; how many "
        "layers go to the gpu?; is there metal support?; does it run on amd cards?",
    ),
    Topic(
        "choose between chat and run; tell run and chat apart; know when to use run",
        "the difference between {run and chat|chat and run|lepton run and lepton chat}; chat "
        "versus run; run or chat; chat or run; run vs chat",
        "- `lepton chat` is for people: a conversation with history and commands\n- `lepton "
        "run` is for scripts: one prompt, one answer, clean pipes",
    ),
    Topic(
        "use {top-k|top-p|min-p|samplers|the samplers}; change {the sampling|the samplers|top-k|"
        "top-p|min-p}; set {top-k|top-p|min-p|top_k|top_p}; change how tokens are chosen",
        "--top-k; --top-p; --min-p; top-k; top-p; min-p; sampling; samplers; the samplers; top_k; "
        "top_p; nucleus sampling; the sampling parameters; mirostat; xtc",
        "The samplers have llama.cpp's names and defaults: `--top-k 40`, `--top-p 0.95`, `--min-p "
        "0.05`, `--temp 0.8`. In a chat, use `/set`.",
        "which samplers are there?; what is the default top-k?",
    ),
    Topic(
        "stop {repetition|repeating|the repetition|loops}; avoid {repetition|loops}; make it repeat "
        "less; penalize repetition; set the repeat penalty; keep it from repeating itself",
        "repetition; --repeat-penalty; the repeat penalty; repetition penalty; dry; loops; "
        "repetitions; the repeat-penalty flag",
        "`--repeat-penalty 1.1` makes repetition less likely, and `--dry-multiplier 0.8` stops "
        "loops.",
        "it repeats itself; it says the same thing again and again; it is stuck in a loop; the "
        "model keeps repeating",
    ),
    Topic(
        "choose a quantization; know the quantization{| of my file| of a model}; understand "
        "quantization; make a model smaller; pick a quant; choose between Q4 and Q8",
        "quantization; quants; Q4_K; Q8_0; Q4_0; a quantized model; quantized models; Q4_K_M; "
        "Q5_K; Q6_K; quantisation; the quantization of a model; a quant",
        "Quantization stores the weights of a model in fewer bits, as Q8_0 or Q4_K do: smaller, a "
        "little less exact. `lepton inspect model.gguf` shows which a file has.",
        "which quantization should I use?; is Q4_K_M good?; what does Q4_K_M mean?; what does q8_0 "
        "mean?; which quant is best?",
    ),
    Topic(
        "understand gguf; know what gguf is; use the gguf format; learn about gguf",
        "gguf; a gguf file; GGUF files; the gguf format; a gguf; gguf models; .gguf",
        "GGUF is a file format for language models: weights, tokenizer and template in one file. "
        "Open one with `lepton chat model.gguf`.",
        "what does gguf stand for?; which file formats are supported?; which formats does it "
        "read?; can it open safetensors?; does it support {gguf|safetensors|onnx}?",
    ),
    Topic(
        "know what lepton is; learn about lepton; understand lepton",
        "lepton; this program; this tool; Lepton; this software; this app; this thing; this cli",
        "Lepton is a command-line tool that runs language models from GGUF files on your own "
        "machine: `lepton chat` talks to one, `lepton run` answers one prompt.",
        "what is lepton for?; what does lepton do?; what is this?; what is this all about?; where "
        "am I?; what does this program do?; why should I use lepton?",
    ),
    Topic(
        "see my old messages; delete my history; find the history; search {the|my} history; turn "
        "off the history; not keep what I type; find what I typed before; repeat what I typed",
        "the history; history; my old messages; --no-history; input history; the arrow keys; "
        "Ctrl-R",
        "The arrow keys bring back what you typed before, and Ctrl-R searches it. `--no-history` "
        "keeps nothing.",
        "does it keep a history?; is what I type stored?; where is my history?",
    ),
    Topic(
        "see the version; check the version; know which version this is; find the version number",
        "--version; the version; your version; lepton version; version; the version number",
        "`lepton --version` prints the version of Lepton.",
        "which version {is this|are you|do I have}?; what version is this?; is this the newest "
        "version?",
    ),
    Topic(
        "use tab completion; complete commands in the shell; install completion; turn on shell "
        "completion",
        "tab completion; shell completion; completions; --install-completion; autocomplete; the "
        "tab key",
        "`lepton --install-completion` sets up completion for your shell. In the chat, Tab "
        "completes commands.",
    ),
    Topic(
        "see more {details|information} of a run; see what happens; get verbose output; see logs; "
        "turn on logging",
        "-v; --verbose; verbose mode; logs; logging; the log; the -v flag; verbose output",
        "`-v` says on stderr what runs, and how fast.",
    ),
)  # fmt: skip
