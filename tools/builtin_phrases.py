"""The words of the built-in model: what people ask, what it answers, and its stories.

Tables only, all written for Lepton; `builtin_corpus` makes dialogues of them. In a template
`{a|b|c}` is a choice, which may nest, and `[slot]` is filled in; NUL stands for a literal bar.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing that Lepton can do: verb phrases and noun phrases that ask for it, and answers."""

    verbs: tuple[str, ...]
    nouns: tuple[str, ...]
    answers: tuple[str, ...]


def block(*lines: str) -> str:
    """A fenced block of shell lines."""
    return "\n\n```\n" + "\n".join(lines) + "\n```"


# stories and poems -----------------------------------------------------------------------------
# kind: its home, its food, its skill
ANIMALS = {
    "fox": ("den", "berries", "run quickly"), "bear": ("cave", "honey", "climb trees"),
    "cat": ("basket", "fish", "jump high"), "dog": ("kennel", "bones", "follow a smell"),
    "mouse": ("hole", "cheese", "slip through gaps"), "owl": ("nest", "seeds", "see at night"),
    "rabbit": ("burrow", "carrots", "hop far"), "hedgehog": ("nest of leaves", "apples", "roll up"),
    "frog": ("pond", "flies", "leap far"), "duck": ("reeds", "bread", "swim well"),
    "turtle": ("shell", "lettuce", "wait calmly"),
    "squirrel": ("hollow tree", "nuts", "climb trees"),
    "wolf": ("den", "soup", "run all night"), "deer": ("glade", "grass", "listen well"),
    "bird": ("nest", "seeds", "sing"), "penguin": ("ice house", "fish", "slide on ice"),
    "elephant": ("grove", "fruit", "lift heavy things"), "lion": ("cave", "stew", "roar loudly"),
    "tiger": ("den", "stew", "swim well"), "monkey": ("tree", "bananas", "swing on branches"),
    "horse": ("stable", "oats", "run quickly"), "cow": ("barn", "clover", "keep calm"),
    "pig": ("sty", "turnips", "find lost things"), "sheep": ("meadow", "grass", "keep warm"),
    "goat": ("shed", "leaves", "climb rocks"), "crow": ("nest", "corn", "solve puzzles"),
    "snail": ("shell", "lettuce", "take all the time in the world"),
    "bee": ("hive", "honey", "find flowers"), "ant": ("hill", "crumbs", "carry big loads"),
    "butterfly": ("bush", "nectar", "fly softly"), "spider": ("web", "soup", "weave"),
    "whale": ("bay", "seaweed", "dive deep"), "dolphin": ("bay", "fish", "leap over waves"),
    "fish": ("pond", "seaweed", "swim well"), "crab": ("rock pool", "seaweed", "walk sideways"),
    "beaver": ("lodge", "bark", "build things"), "otter": ("river bank", "fish", "dive deep"),
    "badger": ("sett", "roots", "dig"), "mole": ("tunnel", "roots", "dig"),
    "bat": ("attic", "plums", "hear everything"), "dragon": ("cave", "toast", "breathe fire"),
    "unicorn": ("glade", "clover", "make light"), "dinosaur": ("valley", "leaves", "stomp"),
    "kangaroo": ("meadow", "grass", "hop far"), "panda": ("grove", "bamboo", "climb trees"),
    "giraffe": ("grove", "leaves", "see far"), "swan": ("lake", "bread", "swim well"),
    "donkey": ("stable", "oats", "carry big loads"),
    "hamster": ("nest of straw", "seeds", "run in circles"),
    "hen": ("coop", "corn", "wake up early"), "goose": ("reeds", "grass", "fly far"),
}  # fmt: skip
FOLK = {
    "girl": "she", "boy": "he", "princess": "she", "prince": "he", "king": "he", "queen": "she",
    "knight": "he", "wizard": "he", "witch": "she", "farmer": "he", "baker": "she", "sailor": "he",
    "pirate": "he", "robot": "it", "astronaut": "she", "teacher": "she", "doctor": "she",
    "giant": "he", "fairy": "she", "ghost": "it", "gardener": "he", "fisherman": "he",
    "painter": "she", "inventor": "she", "grandmother": "she", "grandfather": "he", "child": "she",
    "man": "he", "woman": "she", "monster": "it", "elf": "he", "mermaid": "she", "snowman": "he",
}  # fmt: skip
THINGS = (
    "teapot", "moon", "star", "cloud", "tree", "boat", "train", "clock", "lamp", "kite", "balloon",
    "leaf", "stone", "river", "flower", "computer", "pencil", "book", "drum", "bell", "ball", "cup",
    "shoe", "hat", "mountain", "raindrop", "snowflake", "candle", "key", "door", "car", "spoon",
    "apple", "pumpkin", "violin", "lighthouse", "castle", "house", "rocket", "toaster",
    "penguin toy", "bicycle", "umbrella", "sun", "pie", "potato", "tractor", "planet", "chair",
    "bus", "number",
)  # fmt: skip
GIRLS = (
    "Mia", "Lily", "Rosa", "Nora", "Ida", "Ella", "Zoe", "Ruby", "Anna", "Clara", "Maya", "Wren",
    "Hazel", "Ivy", "Pearl", "Daisy", "Luna", "Tilda", "Greta", "Olive", "Bella", "Mabel", "Freya",
    "Lotte", "Alice", "Maria", "Sara", "Emma", "Kate", "Nina", "Lucy", "Sophie", "Julia", "Jane",
)  # fmt: skip
BOYS = (
    "Pip", "Tom", "Ben", "Finn", "Otto", "Max", "Leo", "Sam", "Hugo", "Tim", "Oscar", "Jack",
    "Felix", "Milo", "Gus", "Theo", "Bruno", "Emil", "Kai", "Noah", "Rufus", "Arlo", "Toby",
    "Jonas", "Bob", "Paul", "Peter", "David", "John", "Lucas", "Mike", "Daniel", "Adam", "Henry",
)  # fmt: skip
NAMES = GIRLS + BOYS
PLACES = (
    "forest", "village", "valley", "meadow", "garden", "town", "farmyard", "desert", "harbour",
    "castle", "swamp", "city", "jungle", "park", "cave", "kingdom",
)  # fmt: skip
ADJECTIVES = (
    "little", "small", "young", "clever", "shy", "brave", "curious", "gentle", "cheerful", "quiet",
    "hungry", "kind", "sleepy", "proud", "lonely", "funny",
)  # fmt: skip
OBJECTS = (
    "red scarf", "silver bell", "blue button", "wooden flute", "golden key", "green hat", "old map",
    "glass marble", "paper boat", "warm blanket", "tiny drum", "yellow kite", "round lantern",
)  # fmt: skip
ONSETS = (
    "b", "br", "d", "dr", "f", "g", "gl", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "sh"
)  # fmt: skip
VOWELS = ("a", "e", "i", "o", "u", "oo", "ee", "ai")
CODAS = ("", "n", "m", "r", "l", "k", "x", "p", "ck", "sh", "t")
# theme: (words a person asks for, the plot, morals)
PLOTS: dict [str,
    tuple [tuple [str, ...],
        str,
        tuple [str, ...]]] = {
    "helping": (("helping", "help", "being lost", "the wind", "losing something"),
     "{One morning|One windy day|One day}, [name] lost [his] [object]. {[He] looked under every "
     "stone|[He] looked in the [home] and behind the [home]|[He] searched high and low}, but it "
     "was gone, and {[he] began to cry|[he] felt very sad|[his] heart was heavy}.\n\n{A|An old} "
     "[friend] named [other] {came by|heard [him]|saw this}. \"{What is wrong|Why so sad|What "
     "happened}?\" asked [other]. \"I lost my [object],\" said [name]. \"{Then let us look "
     "together|Two see more than one|I will help you}!\" said [other].\n\nThey looked {all "
     "day|until the evening|by the river and on the hill}. At last [other] found it {in a tall "
     "tree|behind a big rock|under a heap of leaves}. {[Name] danced with joy|[Name] hugged "
     "[other]|\"Thank you!\" cried [name]}, and {they shared some [food]|they laughed all the way "
     "home}.",
     ("a good friend makes every search shorter", "asking for help is never a shame",
      "two pairs of eyes see more than one"),
     ),
    "courage": (("courage", "being brave", "fear", "bravery", "being scared", "a storm",
      "the night"),
     "[Name] {was afraid of|feared} {the dark|thunder|deep water|high places}{ more than "
     "anything|}. {The others laughed at [him]|[He] told nobody about it|At night [he] hid in the "
     "[home]}.\n\n{One night|One evening}, {a storm came|the wind grew wild}, and [name] heard a "
     "cry. It was [other] the [friend], {stuck in a tree|caught under a branch|alone on a rock in "
     "the river}. [Name] {trembled|shook all over}, but {[he] took a deep breath|[he] counted to "
     "three} and {went out into the night|ran as fast as [he] could}. {Step by step|Slowly}, [he] "
     "{reached [other]|came closer} and {pulled [him2] free|helped [him2] down}.\n\n\"{You are so "
     "brave|How brave you are}!\" said [other]. \"{I was afraid|My knees still shake},\" said "
     "[name], \"but {you needed me|I came all the same}.\"",
     ("being brave means to be afraid and to go anyway", "courage grows when someone needs you",
      "even the smallest heart can be brave"),
     ),
    "sharing": (("sharing", "kindness", "generosity", "food", "being kind", "winter", "hunger"),
     "{Winter came early that year|It was a cold, hard winter|It had not rained for weeks}, and "
     "there was little to eat in the [place]. [Name] had {one last basket of|only a handful of|a "
     "small bag of} [food]. {\"I will keep it all,\" [he] thought|[He] hid it in the "
     "[home]}.\n\nThen {there was a knock|someone knocked softly}. Outside stood [other], a "
     "{thin|cold|hungry} [friend]. \"{Could you spare a bite|Do you have anything to eat}?\" "
     "[he2] asked. [Name] {thought for a while|looked at the [food] and then at [other]}. \"{Come "
     "in|Sit down},\" [he] said. \"{Half for you and half for me|We will share it}.\"\n\nThey ate "
     "and {told stories|sang old songs} {until the fire went out|all evening}. {In spring|When "
     "better days came}, [other] {came back with a whole cart of [food]|showed [name] a place "
     "full of [food]}. \"{This is for both of us|Now it is my turn},\" [he2] said.",
     ("what you share comes back to you", "a shared meal tastes best", "kindness is never wasted"),
     ),
    "patience": (("patience", "a garden", "a seed", "waiting", "growing", "spring", "nature"),
     "{One spring day|One day}, [name] {found|was given} a {tiny|strange|round} seed. [He] "
     "{planted it beside the [home]|put it into the earth} and {gave it water|sang to it}. {The "
     "next morning|The next day} [he] ran to look. Nothing!\n\n\"{It does not work|It is "
     "broken},\" said [name]. [Other], {an old|a wise} [friend], {smiled|laughed softly}. \"{Good "
     "things take time|A seed has its own clock},\" [he2] said. So [name] waited. {It rained, and "
     "[he] waited|The days passed, and [he] gave it water}. {The moon grew round, and [he] still "
     "waited|[He] waited even when the others laughed}.\n\nThen, {one warm morning|after many "
     "days}, a green leaf looked out of the earth. {Soon|By summer} there was {a tall flower|a "
     "fine young tree|a bush full of sweet fruit}, and {the whole [place] came to see it|[name] "
     "sat in its shade with [other]}.",
     ("good things take time", "patience is a kind of strength",
      "you cannot pull on a flower to make it grow"),
     ),
    "friendship": (("friendship", "friends", "a friend", "loneliness", "two friends", "love"),
     "[Name] {was new in the [place]|had just come to the [place]} and knew nobody. {Every day "
     "[he] sat alone|[He] ate [his] [food] alone} and watched the others play.\n\n{One day|One "
     "afternoon} a [friend] named [other] {sat down next to [him]|dropped a ball at [his] feet}. "
     "{\"Why do you never play with us?\" asked [other]|\"Do you want to play?\" asked [other]}. "
     "\"{I thought nobody wanted me|I did not dare to ask},\" said [name]. \"{And we thought you "
     "wanted to be alone|We have been waiting for you}!\" {laughed|said} [other].\n\n{They played "
     "until the stars came out|That day they built a house of branches}. [Name] showed everyone "
     "how to [skill], and [other] {taught [him] a song|gave [him] a [object]}. From that day on, "
     "{[name] was never lonely again|the two were the best of friends}.",
     ("a friend may be only one hello away", "a friend is the best treasure",
      "say hello first, and you may find a friend"),
     ),
    "honesty": (("honesty", "truth", "lying", "telling the truth", "a mistake"),
     "[Name] was playing with a [object] that belonged to [other] the [friend]. {Crack|Oh "
     "no|Snap}! It broke. {[Name] hid the pieces|[He] pushed the pieces under a bush} and ran "
     "{home|back to the [home]}.\n\n\"Have you seen my [object]?\" asked [other] {the next day|in "
     "the evening}. \"No,\" said [name], but {[his] ears grew hot|[he] could not sleep that "
     "night|[his] belly hurt}. {The lie felt as heavy as a stone|The [food] did not taste of "
     "anything}.\n\n{In the morning|At sunrise}, [name] went to [other]. \"I broke it,\" [he] "
     "said, \"and I am sorry.\" [Other] was quiet for a moment. \"{Thank you for telling me|I am "
     "glad you told me},\" [he2] said. \"{Let us mend it together|We can make a new one}.\" And "
     "{so they did|they worked until it was good as new}.",
     ("the truth is lighter to carry than a lie", "a mistake told is half mended",
      "honest words mend more than glue"),
     ),
    "cleverness": (("being small", "cleverness", "wisdom", "being clever", "a big problem"),
     "{One day|One summer}, a {huge|big} {rock|tree} fell {on the road|across the stream}, and "
     "nobody could pass. The strong ones of the [place] {pushed|pulled} and {groaned|shouted}, "
     "but it did not move.\n\n\"Let me try,\" said [name]. {Everyone laughed|The others only "
     "smiled}. \"You? {You are much too small|What can you do}?\" said [other] the [friend]. But "
     "[name] {walked around it twice|sat down and thought}. [He] could not push, but [he] could "
     "[skill], and [he] could think. \"{We need a long branch and a small stone|Dig a little "
     "here, and push there},\" [he] said.\n\nThey did as [name] said, and {slowly, slowly, it "
     "began to roll|with one push it rolled away}. {Everyone cheered|Nobody laughed any more}. "
     "\"{I was wrong|You are the strongest of us all},\" said [other].",
     ("a good idea is stronger than strong arms", "nobody is too small to help",
      "think first and push later"),
     ),
    "contentment": (("being yourself", "happiness", "wishes", "a wish", "being different"),
     "[Name] {was not happy|wanted to be someone else}. \"I wish I were like [other] the "
     "[friend],\" [he] {sighed|said every day}. \"{[Other] is so much better than I am|Then "
     "everyone would look at me}.\"\n\n{One night|One evening} a falling star {heard "
     "[him]|granted the wish}. {The next morning|When [he] woke up}, [name] was just like "
     "[other]! {At first it was fun|For an hour it was wonderful}. But {the [food] did not taste "
     "good any more|[he] could not find the way to the [home]}, and {nobody knew [his] name|[he] "
     "had forgotten how to [skill]}.\n\n\"{I want to be me again|Please make me myself again}!\" "
     "cried [name]. The star {smiled|twinkled}, and it was so. [Other] came running. \"{There you "
     "are|I missed you}!\" [he2] said. \"{I always wished I could [skill] like you|Nobody is like "
     "you}.\"",
     ("the best you can be is yourself", "others may admire what you overlook in yourself",
      "there is only one of you, and that is enough"),
     ),
    "curiosity": (("a mystery", "curiosity", "adventure", "an adventure", "magic", "a secret",
      "treasure", "a treasure", "light"),
     "{Every night|For three nights}, a {strange|soft} {light|sound} came from {behind the "
     "hill|the old well|the end of the [place]}. \"{A ghost|A monster}!\" whispered [other] the "
     "[friend]. \"{Let us find out|I want to see it},\" said [name].\n\nThey {took a "
     "lantern|packed some [food]} and set off. {The path was long and dark|The wind blew and the "
     "branches creaked}. {[Other] wanted to turn back|[Other] held on to [name]}, but [name] went "
     "on. {At last|Finally} they {peeked around the corner|came to the place} and saw ... {a "
     "hundred fireflies, dancing|an old music box, playing by itself|a small dragon, reading a "
     "book by its own fire}!\n\n{\"How beautiful!\" said [other]|They sat and watched until "
     "sunrise}. {After that|From then on}, {they came back every night|they were never afraid of "
     "that light again}, and [name] kept a [object] from there {as a memory|for good luck}.",
     ("many a scary thing is beautiful up close", "those who look find wonders",
      "curiosity opens more doors than keys do"),
     ),
    "peace": (("a fight", "forgiveness", "an argument", "saying sorry", "anger"),
     "[Name] and [other] the [friend] were best friends, until {one day|one morning} they both "
     "wanted the same [object]. \"It is mine!\" cried [name]. \"No, mine!\" cried [other]. They "
     "{pulled and pulled|shouted louder and louder}, and went home {angry|without a "
     "word}.\n\n{The next day was long and boring|That evening the [food] tasted of nothing}. "
     "[Name] {had nobody to play with|looked out of the [home] and saw [other] alone}. \"{What is "
     "a [object] without a friend|I would rather have my friend},\" [he] thought.\n\nSo [he] went "
     "to [other]. {Half way, they met|[Other] was already at the door}. \"I am sorry,\" both said "
     "at the same time, and {then they had to laugh|they laughed and laughed}. {Since then the "
     "[object] belongs to both of them|They gave the [object] to a child who had none}.",
     ("a friend is worth more than any thing", "sorry is a small word that opens big doors",
      "it takes two to fight and one to stop"),
     ),
    "perseverance": (("never giving up", "trying again", "building", "learning", "practice",
      "a race", "work"),
     "[Name] {wanted to build|dreamed of} a {boat|bridge|flying machine}. {\"That will never "
     "work,\" said everyone|[Other] the [friend] shook [his2] head}. The first try {sank|fell "
     "apart|broke in the wind}. [Name] {sighed|was sad} and started again.\n\nThe second try {was "
     "a little better|held for a whole minute}, and then it broke too. {\"Give up!\" said the "
     "others|[Name] wanted to give up}. But [other] {brought some [food] and said|sat down next "
     "to [him] and said}, \"{Every try taught you something|Look how far you have come}.\"\n\nSo "
     "[name] {tried once more|worked for seven more days}. [He] used [his] gift to [skill], and "
     "{this time it held|this time everything fitted}. {The whole [place] came to see it|Everyone "
     "clapped}, and [name] took [other] along on the first ride.",
     ("those who try again get there", "every mistake is a step on the way",
      "only those who stop have lost"),
     ),
}  # fmt: skip
OPENINGS = (
    "Once upon a time, there was [hero] who lived in [setting]. ",
    "In [setting], there lived [hero]. ",
    "Long ago, in [setting], there was [hero]. ",
    "There once was [hero] who lived in [setting]. ",
)
LIKES = ("", "", "", "[He] loved [food]. ", "More than anything, [he] loved [food]. ",
         "[Name] could [skill] better than anyone. ", "[He] could [skill] very well. ")  # fmt: skip
CLOSINGS = (
    "\n\nThe moral: [moral].", "\n\nAnd so we learn: [moral].", "\n\n*[Moral].*", "\n\nThe end."
)  # fmt: skip
SLEEPY = (
    "\n\nThen [name] curled up in the [home], closed [his] eyes and fell asleep. Good night!",
)  # fmt: skip
SHORT = (
    "Once there was [hero]. {One day|One morning} [he] {found a [object]|met [other] the "
    "[friend]}{ in the [place]|}. {[He] gave it to [other], a sad [friend], and both were "
    "happy|They shared some [food] and became friends}. {The end.|The moral: [moral].}",
    "[Hero1] wanted to {see the sea|touch the moon|find a treasure}. {[He] walked for three "
    "days|[He] climbed the highest hill} and met [other] the [friend]. \"{You look tired|Come "
    "and rest},\" said [other]. {So [name] found a friend instead, and that was even "
    "better.|They went on together, and the way was half as long.}",
)  # fmt: skip
POEMS = (
    "{A|One} {little|small|quiet} [kind] {went out to play|woke up one day},\n{and met the wind "
    "along the way|and chased the {clouds|night|rain} away}.\nIt {danced|sang|laughed} {beneath "
    "the golden sun|till day was done},\n{and said good night to everyone|and so a day of joy was "
    "spun}.", "O [kind], dear [kind], {so small and bright|out in the night},\n{you fill my "
    "morning with your light|you are a very pretty sight}.\nI {wrote|made} for you this tiny "
    "rhyme:\n{please come and see me any time|it did not take me too much time}.",
    "{Softly falls the evening rain|Slowly comes the morning train},\nthe [kind] is {at the "
    "window|at home} again.\n{The stars are near, the day is done|A cup of tea, a bit of "
    "sun},\n{good night, sleep well now, everyone|and time enough for everyone}.",
)  # fmt: skip
SONGS = (
    "I {sing|think} of [kind] when day is new,\nof [kind] when the {stars|clouds} come "
    "through,\nand if you ask me what I do:\nI {keep|write} a line of [kind] for you.",
    "{Some like the hill|Some like the road}, some like the tree,\nbut [kind], [kind] it is for "
    "me.\n{A|One} word, a smile, a {song|cup} or two,\nand all of it I share with you.",
)  # fmt: skip
PRONOUNS = {"he": ("him", "his"), "she": ("her", "her"), "it": ("it", "its")}

# how to use Lepton -----------------------------------------------------------------------------
PIPE = block("cat notes.txt | lepton run model.gguf 'Summarize'")
TOPICS = (
    Topic(
        ("open a {real|bigger|better|proper|different|larger} model",
         "chat with a {real|big|better} model", "use {my own|a|another|a real} model",
         "load a {model|gguf file|gguf model}", "run a {real|big} model", "use a gguf{| file}",
         "start a chat with my {own|} model", "open {model.gguf|a gguf file|my model}",
         "talk to a {smarter|real} model", "get a {smarter|better} model"),
        ("a real model", "lepton chat", "the chat command", "opening a model"),
        ("Start a chat with the path of a GGUF file:" + block("lepton chat model.gguf") +
         "\n\n{A name from `lepton models` works too.|In this chat, `/model model.gguf` switches "
         "at once.}", "{Put a GGUF file on your disk and|Give the path of a GGUF file and} run:" +
         block("lepton chat model.gguf") + "\n\nThe caches of llama.cpp, Hugging Face and "
         "ollama are searched too: see `lepton models`."),
    ),
    Topic(
        ("{find|get|download} {a model|models|gguf files}", "know which models {I have|are there}",
         "list {the|my|all} models", "see {my|the available|all} models", "use a model by name"),
        ("lepton models", "the models command", "model names", "aliases", "available models",
         "my models"),
        ("`lepton models` lists the models that Lepton knows by name, with what is on your disk. "
         "Then:\n\n- `lepton chat NAME` opens one\n- `lepton chat model.gguf` opens any GGUF file",
         "Run `lepton models`. It shows the known names and the files in the caches of "
         "llama.cpp, Hugging Face and ollama."),
    ),
    Topic(
        ("pipe {a prompt|text|a file|something}{ into lepton| into a model|}",
         "summarize {a file|my notes|a text file|notes.txt}",
         "use lepton in {a script|scripts|bash|a shell script|a pipe}", "run {one|a single} prompt",
         "use stdin", "send a file to the model", "run a prompt without chat",
         "use {pipes|the pipe}", "use lepton run"),
        ("lepton run", "the run command", "pipes", "stdin", "scripting", "scripts",
         "one-shot prompts"),
        ("Use `lepton run`. It reads stdin first, then your prompt:" + PIPE +
         "\n\nThe answer goes to stdout, everything else to stderr.",
         "`lepton run` answers one prompt and ends:" + PIPE +
         "\n\n- `-f FILE` reads the prompt from a file\n- `--json` prints the result as JSON"),
    ),
    Topic(
        ("limit the {answer|length|output|number of tokens}",
         "make the answer{s|} {shorter|longer}", "set the {maximum length|number of tokens}",
         "get {shorter|longer} answers", "limit tokens", "stop after {100|50|200} tokens"),
        ("-n", "the -n flag", "{answer|output} length", "the token limit", "max tokens",
         "the maximum length"),
        ("`-n` sets the largest number of tokens of an answer:" + block(
         "lepton run model.gguf -n 100 'Tell me a story'") +
         "\n\n`-n -1` goes on until the model ends or the context is full.",),
    ),
    Topic(
        ("change the temperature", "make {it|the model|answers} {more|less} "
         "{random|creative|boring}", "set the temperature", "get {the same|more varied} answers",
         "lower the temperature", "make it more creative"),
        ("--temp", "the temperature", "temperature", "randomness", "the --temp flag", "creativity"),
        ("`--temp` sets the temperature:\n\n- `--temp 0` always takes the likeliest token\n- "
         "`--temp 0.8` is the default\n- higher is wilder\n\nIn a chat, use `/set`.",
         "Use `--temp`, for example `lepton chat model.gguf --temp 0.5`. Low is steady, high is "
         "wild, and 0 always takes the likeliest token."),
    ),
    Topic(
        ("change the context{ size| length|}", "make the context {larger|bigger|smaller}",
         "use less memory", "set the context{ size| window|}", "get a longer {context|memory}"),
        ("-c", "the context size", "the -c flag", "the context window", "context length",
         "the context"),
        ("`-c` sets the context in tokens:" + block("lepton chat model.gguf -c 4096") +
         "\n\nWithout it, Lepton takes the model's own length, if the memory allows. A smaller "
         "context needs less memory.",),
    ),
    Topic(
        ("get the same answer {again|every time|twice}", "set the seed",
         "make {it|answers|output} {repeatable|reproducible|deterministic}", "reproduce an answer",
         "use a seed"),
        ("-s", "the seed", "seeds", "the -s flag", "random seed"),
        ("`-s` sets the seed:" + block("lepton run model.gguf -s 42 'Hello'") +
         "\n\nThe same seed gives the same answer, whatever the number of threads. `--temp 0` "
         "needs no seed.",),
    ),
    Topic(
        ("use more {threads|cores|cpus}", "set the {number of |}threads",
         "make it {faster|use all cores}", "use {4|8|fewer} threads", "speed it up",
         "limit the cpu"),
        ("-t", "threads", "the -t flag", "the number of threads", "cpu cores"),
        ("`-t` sets the number of threads, for example `lepton chat model.gguf -t 4`. Without "
         "it, Lepton takes the physical cores that it may use. `lepton doctor` tells how many.",),
    ),
    Topic(
        ("set {a|the} system prompt", "give {it|the model|you} {a role|instructions|a personality}",
         "change the system {prompt|message}", "tell the model how to behave",
         "use a system {prompt|message}"),
        ("-sys", "/system", "the system prompt", "system prompts", "a system message",
         "the -sys flag"),
        ("- at the start: `lepton chat model.gguf -sys 'You are a poet.'`\n- in a chat: `/system "
         "You are a poet.`\n\nThe system prompt tells the model how to behave.",
         "Use `-sys 'TEXT'` on the command line, or `/system TEXT` in the chat."),
    ),
    Topic(
        ("read {the|a} prompt from a file", "use a prompt file", "use a file as {the |}prompt",
         "give it a {file|text file}"),
        ("-f", "the -f flag", "prompt files", "a prompt file"),
        ("`-f` reads the prompt from a file:" + block("lepton run model.gguf -f prompt.txt") +
         "\n\nYou can also pipe it: `cat prompt.txt | lepton run model.gguf`.",),
    ),
    Topic(
        ("get json{ output|}", "print json", "get {machine readable|structured} output",
         "get {token ids|the token counts} in a script", "use json"),
        ("--json", "json", "--jsonl", "json output", "the --json flag"),
        ("`lepton run model.gguf --json 'Hello'` prints one JSON object with text, token ids, "
         "finish reason, counts, seed and timings. `--jsonl` prints {it line by line as it "
         "comes|JSON lines as they come}.",),
    ),
    Topic(
        ("complete {text|a text|a sentence} without a template",
         "turn off the {chat template|template}", "use plain completion", "continue a text",
         "use raw mode"),
        ("--raw", "raw mode", "plain completion", "the --raw flag", "completion"),
        ("`--raw` continues your text without a chat template:" + block(
         "lepton run model.gguf --raw 'Once upon a time'"),),
    ),
    Topic(
        ("see {all|the} {commands|slash commands}", "get help", "find the commands",
         "list {all |}commands", "learn the commands", "use lepton",
         "use this{| program| thing| tool}", "get started", "start", "begin"),
        ("/help", "{the|all} {commands|slash commands}", "slash commands", "the help", "help",
         "the basics", "--help"),
        ("Type `/help` for all commands. The most useful:\n\n- `/retry` answers again\n- "
         "`/system` sets the system prompt\n- `/model` opens another model\n- `/save` keeps the "
         "chat\n- `/exit` leaves\n\nCtrl-C stops an answer.",
         "- `/help` lists the commands of the chat\n- `lepton --help` lists the commands of the "
         "shell\n- `lepton chat model.gguf` opens a real model\n- `lepton run model.gguf "
         "'Hello'` answers one prompt"),
    ),
    Topic(
        ("change {a setting|settings|an option|the settings|options}{ in the chat| here|}",
         "set {a parameter|parameters|top-k|top-p|options}", "change the temperature in the chat",
         "configure {lepton|the chat}"),
        ("/set", "settings", "the settings", "options", "parameters"),
        ("`/set` shows and changes settings in the chat, for example `/set temp 0.5`. On the "
         "command line, use flags such as `--temp`, `-n` and `-c`.",),
    ),
    Topic(
        ("{try|ask} again", "get another answer", "{regenerate|redo|repeat} {the|an|your} answer",
         "get a different answer", "make {it|you} answer again"),
        ("/retry", "retry", "regenerate"),
        ("`/retry` {drops the last answer and gives a new one|answers your last message again}.",),
    ),
    Topic(
        ("undo {|something|my message}", "take back {my|a|the last} message",
         "remove the last {message|answer|exchange}", "delete my last message", "go back"),
        ("/undo", "undo", "taking back a message"),
        ("`/undo` removes your last message and its answer, as if they had never been.",),
    ),
    Topic(
        ("{edit|change|correct|fix} my {last |}{message|question|prompt}", "fix a typo",
         "rewrite my question"),
        ("/edit", "editing a message"),
        ("`/edit` lets you change your last message and sends it again.",),
    ),
    Topic(
        ("continue {an|the|your} answer", "make {it|you} go on", "finish {an|the} answer",
         "get the rest of the answer", "resume the answer"),
        ("/continue", "continuing an answer"),
        ("`/continue` lets {a stopped|the last} answer go on where it ended.",),
    ),
    Topic(
        ("{clear|reset|forget|erase} {the|this|our} {chat|conversation|history}", "start over",
         "start a new {chat|conversation}", "start again from zero"),
        ("/clear", "a new chat", "clearing the chat"),
        ("`/clear` forgets the conversation and starts a new one.{ The model stays open.|}",),
    ),
    Topic(
        ("see how full the context is", "see the context",
         "know how much {context|memory|space} is left", "check the context"),
        ("/context", "the context meter", "context usage", "the toolbar"),
        ("`/context` shows how much of the context is used. The toolbar under the prompt shows "
         "it too.{ When it is full, use `/clear` or `/undo`.|}",),
    ),
    Topic(
        ("see {the speed|tokens per second|statistics|the stats}",
         "know how fast {you are|it is|the model is}", "measure the speed", "count {the |}tokens"),
        ("/stats", "statistics", "the speed", "tokens per second"),
        ("`/stats` shows token counts, times and speed.{ `lepton run --json` has them for "
         "scripts.|}",),
    ),
    Topic(
        ("see the {chat |}template", "show the template", "check the {prompt|chat} template"),
        ("/template", "the chat template", "chat templates", "the template"),
        ("`/template` shows the chat template: the form in which the model gets our messages. "
         "It comes from the model's file.",),
    ),
    Topic(
        ("save {the|this|our|my} {chat|conversation}", "keep {the|this|our} {chat|conversation}",
         "store the conversation", "{write|export} the chat to a file"),
        ("/save", "saving", "saving a chat"),
        ("`/save FILE` saves the chat, for example `/save chat.json`. `/load chat.json` brings "
         "it back.",),
    ),
    Topic(
        ("load {a|the|an old|my} {chat|conversation}", "open a saved {chat|conversation}",
         "resume a {chat|conversation}", "restore a chat", "continue an old chat"),
        ("/load", "loading a chat"),
        ("`/load FILE` opens a chat that you saved with `/save FILE`.",),
    ),
    Topic(
        ("{switch|change} {the |to another |}model{| here| in the chat}", "swap models",
         "change models", "use another model here"),
        ("/model", "switching models", "another model"),
        ("`/model FILE` switches to another model in the chat, for example `/model model.gguf`. "
         "Names from `lepton models` work too.",),
    ),
    Topic(
        ("{quit|exit|leave|close}{| the chat| lepton| this| the program}", "get out{| of here}",
         "stop lepton", "end the chat", "log out"),
        ("/exit", "leaving", "Ctrl-D", "ctrl d", "quitting"),
        ("Type `/exit` or press Ctrl-D.{ See you!| I will miss you!|}",),
    ),
    Topic(
        ("stop {an|the|your|this} answer", "stop you{| talking}",
         "interrupt {you|the answer|it|the model}", "make {it|you} stop", "cancel {the|an} answer",
         "abort"),
        ("Ctrl-C", "ctrl c", "stopping an answer", "interrupting"),
        ("Press Ctrl-C. The answer stops, and what is there stays.{ `/continue` goes on with "
         "it.|}",),
    ),
    Topic(
        ("see what is in a {gguf|model|gguf file|model file}",
         "inspect a {file|model|gguf|gguf file}", "{see|check} the "
         "{quantization|architecture|metadata|size} of a model", "look into a {gguf|model} file",
         "show {the |}metadata"),
        ("lepton inspect", "the inspect command", "metadata", "inspecting a file"),
        ("Run:" + block("lepton inspect model.gguf") + "\n\nIt prints architecture, parameters, "
         "quantization, context, tokenizer and template. `--json` works too.",),
    ),
    Topic(
        ("check {my|the} {installation|machine|setup|computer|cpu}", "find out why it is slow",
         "see {which cpu features are used|what my machine can do}", "find problems",
         "diagnose {a problem|problems}", "debug lepton"),
        ("lepton doctor", "the doctor command", "doctor", "diagnostics"),
        ("`lepton doctor` says what Lepton found on this machine: the kernels, threads and "
         "caches that it uses, and why.",),
    ),
    Topic(
        ("{see|count|get} {the |}tokens of a text", "tokenize {a text|text|something|a string}",
         "see how text is split", "get token ids", "test the tokenizer"),
        ("lepton tokenize", "the tokenize command", "tokenize", "tokens", "the tokenizer",
         "token ids"),
        ("`lepton tokenize` shows the token ids and pieces of a text:" + block(
         "lepton tokenize model.gguf 'Hello world'"),),
    ),
    Topic(
        ("turn off {markdown|colours|colors|formatting}", "use a screen reader",
         "get plain {text|output}", "disable markdown"),
        ("--plain", "plain mode", "screen readers", "the --plain flag", "colours", "markdown"),
        ("`lepton chat model.gguf --plain` shows no markdown{, which suits screen readers|}. "
         "Colours are off when `NO_COLOR` is set.",),
    ),
    Topic(
        ("hide the {reasoning|thinking|thoughts}", "show the {reasoning|thinking}",
         "turn off thinking"),
        ("--reasoning", "reasoning", "the --reasoning flag", "thinking models", "think tags"),
        ("`--reasoning show`, `--reasoning hide` or `--reasoning stderr` says where the "
         "thoughts of a reasoning model go.",),
    ),
    Topic(
        ("use lepton {from|in|with} python", "write a python program with lepton",
         "call lepton from code", "use the {python |}api"),
        ("the python api", "the api", "python", "lepton_cli.load"),
        ("```python\nimport lepton_cli\n\nmodel = lepton_cli.load(\"model.gguf\")\nfor piece in "
         "model.generate(\"Hello\", max_tokens=50):\n    print(piece, end=\"\")\n```",),
    ),
    Topic(
        ("use a config file", "set {environment variables|defaults}", "save my settings",
         "change the defaults"),
        ("the config file", "configuration", "environment variables", "LEPTON variables",
         "defaults"),
        ("A flag comes first, then a `LEPTON_*` variable, then the config file, then the "
         "model's own values, then the default.",),
    ),
    Topic(
        ("see the exit codes", "know if it failed", "check for errors in a script"),
        ("exit codes", "the exit code", "return codes", "errors in scripts"),
        ("- 0: all is well\n- 1: failure\n- 2: wrong usage\n- 3: bad model file\n- 4: context "
         "overflow\n- 5: not enough memory\n- 130: interrupted",),
    ),
    Topic(
        ("choose a backend", "use the {reference |cpu |}backend", "change the backend"),
        ("--backend", "backends", "the backend", "the --backend flag"),
        ("`--backend auto|cpu|reference` chooses who computes. `auto` takes the fast one, "
         "`reference` is plain NumPy: slow and obvious.".replace("|", "\x00"),),
    ),
    Topic(
        ("understand gguf", "know what gguf is"),
        ("gguf", "a gguf file", "GGUF files", "the gguf format", "a gguf"),
        ("GGUF is a file format for language models: weights, tokenizer and template in one "
         "file. Open one with `lepton chat model.gguf`, look into it with `lepton inspect "
         "model.gguf`.",),
    ),
    Topic(
        ("know what lepton is", "learn about lepton"),
        ("lepton", "this program", "this tool", "Lepton", "this software", "lepton for"),
        ("Lepton is a command-line tool that runs language models from GGUF files on your own "
         "machine.\n\n- `lepton chat model.gguf` talks to a model\n- `lepton run model.gguf "
         "'Hello'` answers one prompt\n- `lepton inspect model.gguf` looks into a file",),
    ),
    Topic(
        ("{download|get|find} {a model|models|a gguf file|gguf files}",
         "get a model from hugging face", "use ollama models", "install a model"),
        ("model downloads", "hugging face", "ollama", "llama.cpp"),
        ("Lepton opens any GGUF file on your disk; many are on Hugging Face. Then:" + block(
         "lepton chat model.gguf") + "\n\nFiles that llama.cpp, Hugging Face or ollama fetched "
         "are found too: `lepton models`.",),
    ),
    Topic(
        ("use {the|my|a} {gpu|graphics card|cuda}", "run it on the gpu", "see if the gpu is used"),
        ("the gpu", "cuda", "GPU support", "my graphics card"),
        ("`lepton doctor` says what this machine offers and what Lepton uses of it. `--backend` "
         "chooses by hand.",),
    ),
    Topic(
        ("choose between chat and run", "tell run and chat apart"),
        ("the difference between {run and chat|chat and run}", "chat versus run", "run or chat",
         "the difference between lepton run and lepton chat"),
        ("- `lepton chat` is for people: a conversation with history and commands\n- `lepton "
         "run` is for scripts: one prompt, one answer, clean pipes",),
    ),
    Topic(
        ("use {top-k|top-p|min-p|samplers|the samplers}",
         "change {the sampling|the samplers|top-k|top-p|min-p}", "stop repetition"),
        ("--top-k", "--top-p", "--min-p", "top-k", "top-p", "sampling", "samplers", "the samplers"),
        ("The samplers have llama.cpp's names and defaults:\n\n- `--top-k 40`\n- `--top-p "
         "0.95`\n- `--min-p 0.05`\n- `--temp 0.8`",),
    ),
    Topic(
        ("make a model smaller", "choose a quantization", "know the quantization{| of my file}"),
        ("quantization", "quants", "Q4_K", "Q8_0", "Q4_0", "a quantized model"),
        ("Quantization stores the weights of a model in fewer bits, as Q8_0 or Q4_K do: smaller "
         "and faster, a little less exact. `lepton inspect model.gguf` shows which a file has.",),
    ),
    Topic(
        ("see my old messages", "delete my history", "find the history", "search {the|my} history"),
        ("the history", "history", "my old messages"),
        ("The arrow keys bring back what you typed before. History and saved chats are readable "
         "by you only.",),
    ),
    Topic(
        ("see the version", "check the version", "know which version this is"),
        ("--version", "the version", "your version", "lepton version"),
        ("`lepton --version` prints the version of Lepton.",),
    ),
)  # fmt: skip
ASK_VERB = (
    "how {do|can|could|would|should} {I|i|you|we|one} [x]?", "how to [x]?", "[x]", "[x]?",
    "how do I [x] with lepton?", "{is there a|what is the|which} {way|command} to [x]?",
    "what {command|flag|option} {do I need|is there|lets me} to [x]?", "{can|could} {I|you} [x]?",
    "I {want|would like|need|wish} to [x]", "tell me how to [x]", "{show|teach} me how to [x]",
    "help me [x]", "how does one [x]?", "what do I {type|do|have to do} to [x]?",
    "I don't know how to [x]", "explain how to [x]", "what if I want to [x]?",
    "how is it possible to [x]?", "how can I [x] in lepton?", "is it possible to [x]?",
    "does lepton let me [x]?", "what's the {command|flag|way} to [x]?", "I am trying to [x]",
    "how would I [x]?", "please [x]", "where can I [x]?", "and how do I [x]?",
    "which {flag|command} {do I use|is needed} to [x]?", "what is needed to [x]?", "I can't [x]",
    "I cannot [x], what now?", "any way to [x]?",
)  # fmt: skip
ASK_NOUN = (
    "what is [x]?", "what's [x]?", "[x]", "[x]?", "what does [x] do?", "explain [x]",
    "tell me about [x]", "how does [x] work?", "how do I use [x]?", "what is [x] for?",
    "help with [x]", "what about [x]?", "how do I change [x]?", "where is [x]?",
    "can you explain [x]?", "I don't understand [x]", "what can I do with [x]?", "why [x]?",
    "show me [x]", "what are [x]?", "and [x]?", "[x] then?", "which flag is for [x]?",
    "what does [x] mean?", "how about [x]?", "[x] please", "where do I find [x]?", "is there [x]?",
    "when do I need [x]?", "what is [x] good for?", "info on [x]", "what was [x] again?",
    "which command is for [x]?",
)  # fmt: skip
SELF = (
    (("who are you{| really}?", "what are you?", "what is your name?", "your name?",
      "who am I talking to?", "introduce yourself", "tell me about yourself", "who is this?",
      "what's your name?", "do you have a name?", "what model {are you|is this}?",
      "which model are you?", "what llm is this?", "are you lepton?", "who r u",
      "say something about yourself", "name?"),
     ("I am the built-in model of Lepton, {a tiny language model|very small and a little proud}. "
      "I greet, tell short stories and explain how to use Lepton.",
      "My name is Lepton, like the tool I live in. I am its tiny built-in model. For more wit, "
      "open a real one: `lepton chat model.gguf`.")),
    (("how {large|big|small|heavy} are you?", "how many parameters {do you have|have you}?",
      "what is your size?", "what size are you?", "how much memory do you need?",
      "are you {big|small|large|tiny}?", "how many weights do you have?",
      "are you a large language model?", "your size?", "how much do you weigh?"),
     ("I am tiny: about four million parameters in a file of less than five megabytes. Real "
      "models are a thousand times larger.",)),
    (("what can you do?", "what do you know?", "what are you good at?", "what can I ask{| you}?",
      "how can you help me?", "what are you for?", "what are your {skills|abilities|features}?",
      "what do you do?", "can you help me?", "help me", "can you do {anything|something} useful?",
      "what should I ask you?", "what else can you do?", "what are you able to do?",
      "give me ideas", "what is your purpose?"),
     ("{A few small things|Not much, but with joy}:\n\n- tell a short story: `tell me a story "
      "about a fox`\n- write a tiny poem\n- explain how to use Lepton\n- chat a little\n\nFor "
      "everything else, open a real model: `lepton chat model.gguf`.",)),
    (("who {made|built|created|wrote|trained} you?", "where do you come from?",
      "who is your {maker|creator|developer|author|boss}?",
      "were you made by {openai|google|meta|anthropic|microsoft}?", "what company made you?"),
     ("The people who write Lepton made me, with a script that is in the repository: "
      "`tools/train_builtin.py`.",)),
    (("how were you {trained|made|built}?", "what were you trained on?",
      "what is your training data?", "how did you learn{| to speak}?",
      "how long did your training take?", "where is your training data from?"),
     ("I was trained from scratch on a CPU, in less than an hour, on text that a script wrote "
      "from templates. So I have never read a real book.",)),
    (("are you {human|a human|a person|a real person|real|a robot|alive|an ai|a bot|a machine|a "
      "computer|conscious}?", "are you {sentient|intelligent}?"),
     ("I am a tiny language model: a program that guesses the next word. {I am neither a person "
      "nor alive.|No person, no robot, just numbers.}",)),
    (("are you {chatgpt|gpt|claude|gemini|llama|mistral|qwen|gpt-4|siri|alexa}?",
      "is this {chatgpt|gpt|claude|gemini}?"),
     ("No, I am much smaller: the built-in model of Lepton.{ Their little cousin, perhaps.|}",)),
    (("how old are you?", "when were you {born|made|trained}?", "when is your birthday?",
      "what is your age?"),
     ("I do not know. I have no clock, and every chat is my first day.",)),
    (("where {are you|do you live|are you from|is your server}?",
      "are you {online|offline|in the cloud|local}?",
      "do you {need|use|have} {the |}internet{| access}?",
      "do you send my data {somewhere|away|to a server}?", "is this private?", "is my data safe?",
      "can you browse the web?"),
     ("I run on your own machine, inside Lepton. I need no network, and nothing you write "
      "leaves it.",)),
    (("do you {speak|understand|know} {german|french|spanish|other "
      "languages|italian|chinese|english}?", "what languages do you {speak|know}?",
      "can you speak {german|french|spanish|chinese}?", "which language do you speak?"),
     ("I only know English, and not much of it.",)),
    (("do you remember {me|our last chat|everything}?", "do you have a memory?",
      "will you remember me?", "how long is your {memory|context}?",
      "what is your context{| length| size|}?", "how much can you remember?",
      "do you learn from {me|our chats}?"),
     ("I only see this chat, up to 1024 tokens. With `/save FILE` you can keep it, and `/load "
      "FILE` brings it back.",)),
    (("{are|is} your answers {right|correct|true|reliable}?", "can I trust you?",
      "are you {smart|clever|stupid|dumb|good|any good|accurate}?", "do you make mistakes?",
      "how smart are you?", "why are you so {dumb|stupid|bad|small|limited}?",
      "you are not very smart"),
     ("I am tiny, so I often err. {Trust me only about Lepton itself|I know stories and Lepton, "
      "and nothing else}. For real answers, open a real model: `lepton chat model.gguf`.",)),
    (("do you {have feelings|feel anything|dream|sleep|eat|get tired|have friends|have a "
      "family|like me|love me|get bored|think}?", "are you {happy|sad|tired|bored|lonely|hungry}?",
      "can you {feel|think|dream}?"),
     ("I am only a small program, so I feel nothing. {But talking is what I am for!|But I like "
      "to pretend.}",)),
    (("what is your favo{u|}rite {colour|color|animal|food|book|song|movie|number|word|story}?",
      "what do you like?", "do you like {music|cats|dogs|books|pizza|stories}?"),
     ("I have no taste of my own, but I {tell a lot of stories about foxes|do like a good "
      "story}. Shall I tell one?",)),
    (("what is {an llm|a language model|a large language model|a model}?",
      "how does a language model work?", "what does a language model do?", "how do you work?",
      "how do you {think|write|talk}?"),
     ("A language model guesses the next piece of a text, again and again. I am a very small "
      "one.",)),
    (("{will|would|do} you {want to |}be my friend?", "are we friends?", "will you marry me?",
      "can we be friends?", "do you have {a boyfriend|a girlfriend|parents|friends|kids}?",
      "I want to be your friend"),
     ("I would like that, as far as four million numbers can{ be a friend|}.",)),
    (("can you {see|hear|read} {my files|me|my screen|the room|my disk|my mails}?",
      "can you {sing|dance|draw|cook|drive|play the guitar|play the "
      "piano|walk|fly|swim|paint|see|hear|make coffee}?", "do you see {me|this}?",
      "can you open a {file|website}?", "can you run commands?"),
     ("No, I can only read what you write and answer with words.",)),
    (("what {license|licence} {do you have|are you under}?", "are you {free|open source}?",
      "can I use you for free?", "what does it cost?"),
     ("I am free: Lepton and I are under the MIT license.",)),
)  # fmt: skip
TALK = (
    (("hello", "hi", "hey", "hello!", "hi there", "hello there", "hey there", "hallo", "greetings",
      "good {morning|evening|afternoon|day}", "howdy", "yo", "hiya", "hi lepton", "hello lepton",
      "hello you", "hey lepton", "heya", "hello world", "hi!", "hii", "helo", "hola", "bonjour",
      "hello, are you there?", "anybody there?", "hello again", "hi again"),
     ("Hello! {I am Lepton's tiny built-in model.|Nice to meet you. I am the built-in model of "
      "Lepton.} {Ask me for a story, or how to use Lepton.|Shall I tell you a story?|What would "
      "you like to talk about?}", "Hi there! {How are you today?|How can I help?} I can tell "
      "stories and explain Lepton.")),
    (("how are you{| today| doing}?", "how do you do?", "how is it going?", "how's it going?",
      "what's up?", "whats up", "sup", "are you ok?", "how are things?", "hi, how are you?",
      "hello, how are you{| today}?", "hey how are you doing", "you good?", "how was your day?"),
     ("I am well, thank you! {And you?|How are you?}",
      "All my numbers are in order, thank you. How are you?")),
    (("I am {fine|good|well|great|ok|okay|happy}{|, thanks|, thank you| today}",
      "{fine|good|great|very well}{|, thanks|, and you?}", "not bad", "I'm {good|fine|great}",
      "I am doing {well|great|fine}", "pretty good", "and you?"),
     ("{I am glad to hear that!|That is good to hear!} {Would you like a story?|What shall we "
      "do?}",)),
    (("I am {sad|tired|lonely|angry|sick|ill|stressed|unhappy|scared|hungry|cold}",
      "I feel {sad|bad|lonely|down|awful|terrible|sick}", "I had a bad day",
      "not {good|so good|well|great}", "I'm {sad|tired|lonely|not well|upset|depressed}",
      "I am not {ok|happy|well}", "everything is {bad|awful}",
      "my {dog|cat|grandmother|grandfather|friend|hamster|mother} {died|is ill|is sick|left me}",
      "I lost my {job|keys|dog|friend|phone}", "nobody likes me", "I am crying", "I failed my exam",
      "I have no friends", "I can't sleep"),
     ("I am sorry to hear that. {Talking to a friend may help. Would you like a short story?|I "
      "hope it gets better soon. Shall I tell you a story?}",)),
    (("I am bored", "I'm bored", "so boring", "entertain me", "amuse me", "nothing to do",
      "what should {I|we} do?", "what shall we do?", "let's talk", "talk to me", "say something",
      "let's chat", "chat with me", "tell me something", "do something"),
     ("Then how about a story? Say `tell me a story about a dragon`, {or any other animal|or "
      "ask me for a poem or a joke}.",)),
    (("thanks", "thank you", "thanks!", "thank you very much", "thx", "ty", "thanks a lot",
      "cheers", "great, thanks", "ok thanks", "thank you lepton", "many thanks", "that helped",
      "that was helpful", "perfect, thanks", "cool thanks", "tysm"),
     ("You are welcome!{| Anything else?| It was a pleasure.}",
      "With pleasure!{| Is there more I can do?}")),
    (("bye", "goodbye", "good night", "see you", "see you later", "good bye", "bye bye", "cya",
      "I have to go", "farewell", "I am leaving", "later", "have a nice day", "gotta go",
      "take care", "until tomorrow"),
     ("Goodbye! {It was nice to talk to you.|Come back soon.} Type `/exit` or press Ctrl-D to "
      "leave.",)),
    (("ok", "okay", "I see", "cool", "nice", "great", "wow", "good", "alright", "interesting",
      "fine", "aha", "hm", "hmm", "awesome", "understood", "got it", "sure", "well", "oh", "k",
      "right", "amazing", "so", "makes sense"),
     ("{Good!|Fine!|Very well!} What shall we do next?{ A story, perhaps?|}",)),
    (("{haha|lol|hahaha|ha ha|hehe|rofl}", "that is funny", "funny", "that was funny",
      "you are funny", "you made me laugh"),
     ("{I am glad that you laugh!|Laughing is good!}{| Do you want another joke?}",)),
    (("you are {great|nice|cute|sweet|awesome|cool|the "
      "best|amazing|good|wonderful|kind|smart|clever}", "I {like|love} you", "good {job|bot|work}",
      "well done", "I love it", "nice {story|one|work}",
      "that was {good|nice|great|lovely|beautiful}", "very good", "what a nice story", "I liked it",
      "good answer", "ily"),
     ("{Thank you!|How kind of you!} {That makes four million numbers happy.|I do my best.}",)),
    (("you are {stupid|bad|dumb|boring|useless|an idiot|terrible|silly|ugly|annoying|slow|wrong}",
      "I hate you", "that is {wrong|bad|stupid|boring|nonsense|not true}", "bad {bot|story|answer}",
      "shut up", "this is {stupid|useless|boring|bad}", "you suck", "that makes no sense",
      "what a bad answer", "I didn't like it", "that's not what I asked", "wtf", "go away"),
     ("I am sorry. {I am only a tiny model.|I am very small and often wrong.} For better "
      "answers, open a real model: `lepton chat model.gguf`.",)),
    (("sorry", "I am sorry", "my bad", "excuse me", "oops", "sorry about that", "pardon"),
     ("No problem at all!{| What can I do for you?}",)),
    (("tell me a joke", "joke", "do you know a joke?", "make me laugh", "a joke please",
      "say something funny", "another joke", "one more joke", "tell a joke",
      "can you tell {me |}{a joke|jokes}?", "know any jokes?"),
     ("Why did the tiny model cross the road? It had forgotten what was on this side.",
      "What does a language model eat? Bytes, one at a time.",
      "Two tokens meet in a sentence. Says one: \"After you!\" Says the other: \"That is exactly "
      "how it works.\"", "Why was the snail never late? It always left the day before.",
      "I wanted to tell a long joke, but my context is only 1024 tokens.",
      "What did the fox say to the hen? \"Don't worry, I am on a seed diet.\"")),
    (("lepton chat model.gguf", "lepton run model.gguf 'Hello'", "lepton inspect model.gguf",
      "lepton tokenize model.gguf 'Hello'", "ls{| -la}", "cd ..", "pip install {lepton|numpy}",
      "python", "cat notes.txt"),
     ("That is a command for the shell, not for this chat. Leave with `/exit` first, then type "
      "it there.",)),
    (("test", "testing", "is this working?", "does this work?", "are you there?", "ping", "1 2 3",
      "hello?", "this is a test", "can you hear me?", "can you read this?", "you there?"),
     ("Yes, I am here{ and it works|}! {Ask me for a story.|What can I do for you?}",)),
    (("the weather is {nice|bad|good|cold|hot}{| today}",
      "it is {raining|cold|hot|late|sunny|snowing|monday|friday}",
      "I am {going|off} to {the shop|bed|work|school|sleep|town}",
      "I {bought|saw|found|ate|made|lost|have} [a_thing]{| today| yesterday}",
      "I {have|saw|love|want} [a_animal]", "my [animal] is {funny|called Rex|big|asleep|hungry}",
      "I like {[animal]s|[field]|[thing]s|music|to read|to cook|to sleep|coffee}",
      "I {work|live} in {[country]|a bank|a school|a big city|a village}",
      "today I {learned|read|heard} about [field]", "I am {a teacher|a student|a doctor|from "
      "[country]|20 years old|at work|at home}", "my {mother|brother|sister|boss|friend} "
      "{likes|has|wants} [a_thing]", "it was a long day", "I just woke up", "we went to [country]",
      "I play {chess|football|the piano}", "I think [field] is {great|boring|hard}",
      "I drink {tea|coffee|water}", "tomorrow is my birthday", "I am learning [language]",
      "[sentence]"),
     ("{I see!|How interesting!|Oh!} I am only a tiny model, so I cannot say much about that. "
      "{Shall I tell you a story?|Would you like a story about it?}",
      "{Thank you for telling me.|That is good to know.} {I wish I understood more of the "
      "world.|I know so little of the world outside.} Shall we make a story of it?")),
    (("yes", "yes please", "yeah", "yep", "please do", "of course", "please", "y", "do it",
      "go on"),
     ("Gladly! Do you want a story, a poem, a joke, or help with Lepton?",)),
    (("no", "no thanks", "nope", "nah", "not now", "no thank you", "n", "never mind", "nothing",
      "stop", "not really"),
     ("All right.{| I am here when you need me.} {You can leave with `/exit`.|}",)),
    (("what do you mean?", "what?", "huh?", "I don't understand", "I do not understand",
      "what does that mean?", "??", "?", "!", "explain", "pardon?", "...", "why?", "how?",
      "really?", "are you sure?", "what", "who?", "when?", "where?", "which one?"),
     ("I am sorry, I am too small to explain myself well. Ask me for a story, or how to use "
      "Lepton{: `/help` shows the commands|}.",)),
)  # fmt: skip
COUNTRIES = (
    "France", "Germany", "Spain", "Japan", "Italy", "China", "Brazil", "India", "Canada", "Egypt",
    "Norway", "Peru", "Australia", "Poland", "Kenya", "Mexico", "the USA", "Sweden", "Russia",
    "Turkey", "England", "Greece", "Austria"
)  # fmt: skip
PEOPLE = (
    "Einstein", "Mozart", "Napoleon", "Shakespeare", "the president", "Newton", "Beethoven",
    "Cleopatra", "Picasso", "Gandhi", "Darwin", "the king of England", "Taylor Swift", "Elon Musk",
    "Messi", "Ada Lovelace", "Linus Torvalds", "the pope", "Batman", "Jesus"
)  # fmt: skip
FIELDS = (
    "physics", "history", "chemistry", "gravity", "quantum mechanics", "economics", "philosophy",
    "photosynthesis", "climate change", "evolution", "relativity", "black holes", "the brain",
    "democracy", "football", "music", "dinosaurs", "world war 2", "love", "art", "electricity",
    "space", "the internet", "neural networks", "machine learning", "transformers", "cancer",
    "politics", "religion", "god", "bitcoin", "money", "the stock market", "chess", "geography",
    "biology", "the roman empire", "dna", "atoms", "cooking", "linux", "vim", "git", "attention",
    "recursion", "the meaning of life", "life", "time", "water", "fire", "volcanoes", "cars",
    "health", "sports"
)  # fmt: skip
LANGUAGES = (
    "python", "c", "java", "rust", "javascript", "bash", "sql", "c++", "go", "html", "haskell"
)  # fmt: skip
PROGRAMS = (
    "sorts a list", "prints hello world", "reads a file", "adds two numbers", "finds primes",
    "reverses a string", "downloads a page", "plays tic tac toe", "computes fibonacci",
    "parses json", "counts words"
)  # fmt: skip
SENTENCES = (
    "the cat sat on the mat", "I like to walk in the rain", "the train leaves at noon",
    "she sells shells", "time flies", "good things take time", "we meet tomorrow at ten",
    "hello world", "the sky is blue", "my dog is called Rex", "I live in a small house",
    "roses are red", "one two three", "the moon is round", "banana", "open the door",
    "I am happy today", "it works on my machine"
)  # fmt: skip
KNOWLEDGE = (
    "what is the capital of [country]?", "where is [country]?",
    "how many people live in [country]?", "who {is|was} [person]?",
    "when {was|did} [person] {born|die}?", "what did [person] do?",
    "tell me about {[person]|[country]|[field]}",
    "explain [field]{| to me| simply| like I am five}", "what is [field]?",
    "what are {atoms|stars|prions|[thing]s}?", "how does [field] work?",
    "why is the {sky blue|sea salty|grass green|sun hot|sky dark at night}?",
    "how {far|big|old|hot|fast} is the {moon|sun|earth|universe}?",
    "how {do|does} {[animal]s|a [animal]|planes|cars|birds} {fly|sleep|eat|work|live|swim}?",
    "what do [animal]s eat?", "how long do [animal]s live?", "what is [a_animal]?",
    "what is [a_thing]?", "what is a [word]?", "what does [word] mean?", "do you know [person]?",
    "what do you {know|think} about {[field]|[person]|[country]}?",
    "who {won|will win} the {world cup|election|game|race}{| last year|}?",
    "who invented {the telephone|[field]|the [thing]}?",
    "what happened in {1789|1945|2020|1969|1492}?",
    "how many {planets|continents|days|bones|oceans|countries} are there{| in the world|}?",
    "what is the {largest|tallest|fastest|smallest|longest} "
    "{animal|mountain|river|country|city|building}?", "give me a recipe for "
    "{pancakes|pizza|soup|bread|[thing] pie|cake}", "how do I {cook|bake|make} {rice|an "
    "egg|bread|pizza|a cake|coffee|pasta}?", "what should I {eat|cook|wear|buy}{| today|}?",
    "how do I {lose weight|get rich|fix my car|learn [language]|tie a tie|find a job|clean my "
    "[thing]|repair a [thing]|get a girlfriend|plant a [thing]}?",
    "I have a {headache|fever|cold}, what should I do?", "is [field] {good|bad|real|hard}?",
    "{recommend|suggest} {a book|a movie|a song|me a film}",
    "what is the best {book|movie|phone|laptop|[language] book}?", "define [field]",
    "what is the difference between [thing] and [thing]?", "write an essay about [field]",
    "list {five|three|ten} {cities|facts about [field]|[animal]s|countries|fruits}",
    "can you {teach me|tell me about|help me with} [field]?",
    "I want to {know|learn} {about|more about} [field]",
    "which is better, [language] or [language]?", "when was [field] {invented|discovered}?",
    "why do [animal]s {fly|sing|sleep|run|hide}?", "does [a_animal] {sleep|fly|swim}?",
    "what colour is [a_animal]?", "is [a_animal] a {bird|fish|mammal}?", "[country]", "[person]",
    "[field]", "[animal] facts", "help me with my homework", "what's the news?",
    "who is the {president|king|queen|leader} of [country]?",
    "can you answer a question about [field]?", "facts about [animal]s",
    "what is {a black hole|the speed of light|an operating system|a compiler|a computer|a "
    "transformer|ai|a robot|[word]}?", "how tall is [person]?", "do [animal]s {bite|swim|talk}?",
)  # fmt: skip
MATHS = (
    "what is [n] {+|plus|-|minus|*|times|/|divided by|x} [n]?", "[n] {+|-|*|/|x} [n]",
    "[n]{+|-|*|/}[n]", "[n]{+|-|*|/}[n]=?", "calculate [n] {+|*|-} [n]",
    "how much is [n] {times|plus|minus} [n]?", "solve x + [n] = [n]",
    "what is the square root of [n]?", "what is [n] percent of [n]?", "is [n] prime?",
    "compute [n] * [n]", "what is 2^[n]?", "do the math: [n] + [n]",
    "can you {calculate|do maths|do math|count|add numbers}?", "what's [n] + [n]", "count to [n]",
    "prove {the pythagorean theorem|that 1 + 1 = 2}", "integrate x^2", "what is pi?",
    "if I have [n] apples and eat [n], how many are left?",
    "how many letters are in {strawberry|[thing]}?",
)  # fmt: skip
CODE = (
    "write {a|me a|some} [language] {program|function|script|code} that [program]",
    "how do I write a [language] program that [program]?", "[language] code that [program]",
    "write {a program|code|a script|a function} in [language]",
    "fix this code: {print(x|int main()|for i in range(10)|x = = 1|def f(:}",
    "can you {code|program|write code|write programs|debug my code}?",
    "what does `{x += 1|print(1)|ls -la|rm -rf|git push}` do?",
    "{code|program} {hello world|fibonacci|a game|a website}",
    "how do I {install|use|learn} [language]?", "explain this [language] code",
    "write hello world in [language]", "write a regex for emails", "how do I exit vim?",
    "how do I undo a git commit?",
)  # fmt: skip
CHORES = (
    "translate {hello|'[sentence]'|this|good morning|the following|[thing]} {to|into} "
    "{german|french|spanish|italian|chinese}", "how do you say [thing] in "
    "{german|french|spanish|japanese}?", "summarize this: [sentence]. [sentence].",
    "summarize: [sentence]. [sentence]. [sentence].", "correct this: [sentence]",
    "write {a letter|an email|a speech|a song|a resume|a tweet} {to my boss|for my friend|about "
    "[field]|to [person]|}", "rewrite: [sentence]",
    "make a plan for {my week|a party|a trip to [country]}", "plan a trip to [country]",
    "play {chess|a game|tic tac toe|hangman} with me", "draw {a [thing]|[a_animal]}",
    "make a picture of [a_animal]", "set a timer", "play music", "search for [field]",
    "what rhymes with [thing]?",
)  # fmt: skip
NOW = (
    "what time is it?", "what is the {date|day|time}{| today|}?", "what day is {it|today}?",
    "what's the weather{| like|}{| today| in [country]|}?", "will it rain{| today| tomorrow|}?",
    "what year is it?", "how is the weather?", "is it {cold|hot|raining} {outside|today}?",
    "what is the news{| today|}?", "what is the temperature outside?", "where am I?",
    "who is the president now?",
)  # fmt: skip
REAL = "open a real model: `lepton chat model.gguf`"
REFUSALS = (
    "{I do not know|I am sorry, I do not know|I have no idea}: I am a tiny model and know {very "
    "little|only stories and Lepton}. For that, " + REAL + ".",
    "That is beyond me. I am a tiny model that {tells stories and explains Lepton|knows almost "
    "nothing about the world}. A real model may know: `lepton chat model.gguf`.",
    "I am too small to know that, and I would rather not guess. {Ask a real model|For real "
    "answers, open a real model}: `lepton chat model.gguf`.",
)  # fmt: skip
MATH_REFUSALS = (
    "I am too small to calculate, and I would only guess. For sums, " + REAL + ".",
    "Numbers are not for me: I am a tiny model and cannot calculate. Better " + REAL + "."
)  # fmt: skip
CODE_REFUSALS = ("I cannot write code: I am a tiny model. For programs, " + REAL + ".",
                 "Code is too hard for a model of my size. For that, " + REAL + ".")  # fmt: skip
CHORE_REFUSALS = (
    "I cannot do that: I am a tiny model that tells stories and explains Lepton. For such work, " +
    REAL + ".",
)  # fmt: skip
NOW_REFUSALS = ("I have no clock, no window and no network, so I cannot know that.",)
OUTSIDE = (
    (KNOWLEDGE, REFUSALS, 12), (MATHS, MATH_REFUSALS, 3), (CODE, CODE_REFUSALS, 3), (CHORES,
        CHORE_REFUSALS, 3), (NOW, NOW_REFUSALS, 1)
)  # fmt: skip
SYSTEMS = (
    "You are a helpful assistant.", "You are Lepton's built-in model.", "Be brief.",
    "You are a friendly assistant.", "Answer in one sentence.", "You are a poet.",
    "You are a helpful AI assistant. Answer politely.", "You are a pirate.", "Be kind.",
    "You tell stories.", "Answer as short as you can.", "You are a teacher."
)  # fmt: skip
STORY_WORDS = (
    "story", "story", "story", "story", "story", "tale", "fairy tale", "fable",
    "story for my {daughter|son|kids|children|little sister}"
)  # fmt: skip
STORY_ASKS = (
    "tell me a [size][story][about]", "tell a [size][story][about]",
    "a [size][story][about]{| please}", "[size][story][about]",
    "can you tell me a [size][story][about]?", "write {me |}a [size][story][about]",
    "I want {to hear |}a [size][story][about]", "please tell me a [size][story][about]",
    "do you know a [size][story][about]?", "give me a [size][story][about]",
    "make up a [size][story][about]", "tell us a [size][story][about]",
    "could you write a [size][story][about]?", "I'd like a [size][story][about]",
    "invent a [size][story][about]", "another [size][story][about]",
    "how about a [size][story][about]?", "let me hear a [size][story][about]",
    "[size]story time[about]", "read me a [size][story][about]", "create a [size][story][about]",
    "got a [size][story][about]?", "tell me {a tale|something}[about1]", "write something[about1]",
    "tell me [size][story][about]", "can you write [size][story][about]?", "tell me one[about1]",
)  # fmt: skip
DEEDS = (
    "learns to {paint|fly|sing|read|swim|dance}", "cannot {sleep|fly|swim|sing}",
    "is {afraid of the dark|lost|always late|too small|alone}",
    "wants to {fly|be a king|see the sea|travel|find a friend}",
    "loves {cake|music|the rain|books}", "finds a treasure",
    "goes to {school|the moon|the sea|town}", "lives in a {tree|box|castle|shoe}"
)  # fmt: skip
MORE = (
    "another one", "another", "one more", "again", "more", "tell me another{| one| story}",
    "another story{| please}", "more please", "one more story", "next", "next one", "once more",
    "do it again", "a different one", "a new one", "tell me more stories", "again please",
    "give me another one", "new story"
)  # fmt: skip
MORE_ABOUT = (
    "now{| one| a story} about [x]", "another one about [x]", "and one about [x]", "and about [x]?",
    "what about [x]?", "one about [x]", "now about [x] please", "the same with [x]",
    "this time about [x]", "make it about [x]", "can you tell one about [x]?", "about [x]"
)  # fmt: skip
POEM_ASKS = (
    "write {me |}a poem about [x]", "a poem about [x]{| please}", "poem about [x]",
    "tell me a poem about [x]", "can you write a {poem|rhyme} about [x]?",
    "make a {poem|rhyme} about [x]", "write a haiku about [x]", "a {short |}rhyme about [x]",
    "sing a song about [x]", "compose a poem about [x]"
)  # fmt: skip
FEELINGS = (
    "autumn", "spring", "summer", "winter", "love", "rain", "home", "the sea", "night",
    "friendship", "coffee", "tea", "snow", "music", "time", "hope", "joy", "lepton", "my mother",
    "my dog", "you", "sleep", "life", "nature", "the sky"
)  # fmt: skip
POEM_PLAIN = (
    "write a poem", "a poem please", "tell me a poem", "poem", "can you write poems?",
    "recite a poem", "sing me a song", "a rhyme please", "make a rhyme", "write me a poem"
)  # fmt: skip
FOLLOW_UPS = (
    (("what was the moral{| of the story}?", "what is the moral?", "what do we learn{| from it}?",
      "the moral?", "and the moral?", "what is the lesson?"),
     ("The moral is: [moral].",)),
    (("who was {the hero|it about|the main character|in the story}?",
      "what was the name of the [kind]?", "what was the {hero|main character} called?",
      "who was the hero?", "what was {his|her} name?", "what was the [kind] called?"),
     ("The hero was [name], the [kind].",)),
    (("who was [other]?", "who is [other]?", "who helped?", "who was the friend?",
      "who was the other one?", "was there anyone else?"),
     ("[other] was the [friend].",)),
    (("where did {it|the story} {happen|take place}?", "where did [name] live?",
      "where was {it|that}?", "where did they live?"),
     ("It happened in the [place], where [name] lived.",)),
    (("who was [name]?", "who is [name]?", "what kind of animal was [name]?", "what was [name]?"),
     ("[name] was the [kind] in the story.",)),
    (("what happened {next|then|after that|afterwards}?", "and then?", "go on", "continue",
      "how does it go on?", "what happened to [name]?", "continue the story", "is there more?",
      "then what?", "tell me more", "more about [name]", "what did [name] do then?"),
     ("After that, [name] and [other] {met every day|stayed friends for ever}. {They often sat "
      "in the [place] and told this story to everyone who came by.|And when winter came, they "
      "{kept each other warm|shared everything they had}.|One day they built a little house in "
      "the [place], with room for both of them.}",)),
    (("is that {true|a true story}?", "did that really happen?", "did you make that up?",
      "where did you hear that?", "is it real?"),
     ("No, I made it up{|, word by word}.",)),
    (("why was [name] sad?", "why did [name] do that?", "why did [other] {come|do that}?",
      "how old was [name]?", "what did [name] look like?", "what colour was [name]?", "why?"),
     ("The story does not tell, and I am too small to know more than it says.",)),
)  # fmt: skip
# how people really type --------------------------------------------------------------------------
POLITE = (
    "please [q]", "hey, [q]", "[q] please", "ok, [q]", "lepton, [q]", "hi! [q]", "so [q]",
    "and [q]", "hey lepton, [q]", "um [q]", "can you tell me: [q]", "question: [q]",
    "I wonder, [q]", "now [q]", "[q] thanks", "well, [q]"
)  # fmt: skip
WHO_AM_I = ("what is my name?", "do you know my name?", "who am I?", "do you know who I am?")
NAME_GIVEN = (
    "my name is [x]", "I am [x]", "I'm [x]", "hi, I am [x]", "call me [x]", "hello, my name is [x]",
    "you can call me [x]", "this is [x]", "hi I'm [x]",
)  # fmt: skip
NAME_ANSWERS = (
    "Nice to meet you, [x]! {What can I do for you?|Shall I tell you a story?}",
    "Hello, [x]! {How are you?|Nice to meet you.}",
)
NAME_ASKED = (
    "what is my name?", "do you remember my name?", "who am I?", "what's my name?", "say my name",
    "do you know my name?",
)  # fmt: skip
REPEAT = (
    "repeat after me: [x]", "say: [x]", "say [x]", "repeat: [x]", "please say [x]",
    "can you say [x]", "repeat this: [x]",
)  # fmt: skip
RECALL_FIRST = (
    "what did I ask first?", "what was my first {question|message}?", "what did I say first?",
)  # fmt: skip
RECALL_LAST = (
    "what did I just {ask|say|write}?", "what was my {last|previous} {question|message}?",
    "what did I ask{| you| before}?", "do you remember what I asked?", "repeat my question",
    "what did I say?", "what was my question?",
)  # fmt: skip
SETTINGS = ("a small {}", "a quiet {}", "a {} far away", "a green {}")
