"""The story and poem grammars of the built-in model: plots, casts and morals, all written for it.

A template is text with `{a|b|c}`, of which one alternative is taken (they nest), and with names in
square brackets (`[name]`, `[him]`) that the cast of one story fills in.
"""

import random
import re
from dataclasses import dataclass

CHOICE = re.compile(r"\{([^{}]*)\}")
SLOT = re.compile(r"\[(\w+)\]")

# kind: its home, its food, its skill
ANIMALS = {
    "fox": ("den", "berries", "run quickly"), "bear": ("cave", "honey", "climb trees"),
    "cat": ("basket", "fish", "jump high"), "dog": ("kennel", "bones", "follow a smell"),
    "mouse": ("hole", "cheese", "slip through gaps"), "owl": ("nest", "seeds", "see at night"),
    "rabbit": ("burrow", "carrots", "hop far"), "hedgehog": ("nest of leaves", "apples", "roll up"),
    "frog": ("pond", "flies", "leap far"), "duck": ("reeds", "bread", "swim well"),
    "turtle": ("shell", "lettuce", "wait calmly"), "squirrel": ("hollow tree", "nuts", "climb trees"),
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
    "donkey": ("stable", "oats", "carry big loads"), "hamster": ("nest of straw", "seeds", "run in circles"),
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
    "apple", "pumpkin", "violin", "lighthouse", "castle", "house", "rocket", "toaster", "penguin toy",
    "bicycle", "umbrella", "sun", "pie", "potato", "tractor", "planet", "chair", "bus", "number",
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
ONSETS = ("b", "br", "d", "dr", "f", "g", "gl", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "sh")
VOWELS = ("a", "e", "i", "o", "u", "oo", "ee", "ai")
CODAS = ("", "n", "m", "r", "l", "k", "x", "p", "ck", "sh", "t")

# theme: (words a person asks for, the plot, morals)
PLOTS: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "helping": (
        ("helping", "help", "being lost", "the wind", "losing something"),
        "{One morning|One windy day|One day}, [name] lost [his] [object]. {[He] looked under every stone|"
        "[He] looked in the [home] and behind the [home]|[He] searched high and low}, but it was gone, and "
        "{[he] began to cry|[he] felt very sad|[his] heart was heavy}.\n\n{A|An old} [friend] named [other] "
        "{came by|heard [him]|saw this}. \"{What is wrong|Why so sad|What happened}?\" asked [other]. \"I lost my "
        "[object],\" said [name]. \"{Then let us look together|Two see more than one|I will help you}!\" said "
        "[other].\n\nThey looked {all day|until the evening|by the river and on the hill}. At last [other] found "
        "it {in a tall tree|behind a big rock|under a heap of leaves}. {[Name] danced with joy|[Name] hugged [other]"
        "|\"Thank you!\" cried [name]}, and {they shared some [food]|they laughed all the way home}.",
        ("a good friend makes every search shorter", "asking for help is never a shame",
         "two pairs of eyes see more than one"),
    ),
    "courage": (
        ("courage", "being brave", "fear", "bravery", "being scared", "a storm", "the night"),
        "[Name] {was afraid of|feared} {the dark|thunder|deep water|high places}{ more than anything|}. {The others "
        "laughed at [him]|[He] told nobody about it|At night [he] hid in the [home]}.\n\n{One night|One evening}, "
        "{a storm came|the wind grew wild}, and [name] heard a cry. It was [other] the [friend], {stuck in a tree|"
        "caught under a branch|alone on a rock in the river}. [Name] {trembled|shook all over}, but {[he] took a "
        "deep breath|[he] counted to three} and {went out into the night|ran as fast as [he] could}. {Step by step|"
        "Slowly}, [he] {reached [other]|came closer} and {pulled [him2] free|helped [him2] down}.\n\n\"{You are so "
        "brave|How brave you are}!\" said [other]. \"{I was afraid|My knees still shake},\" said [name], \"but {you "
        "needed me|I came all the same}.\"",
        ("being brave means to be afraid and to go anyway", "courage grows when someone needs you",
         "even the smallest heart can be brave"),
    ),
    "sharing": (
        ("sharing", "kindness", "generosity", "food", "being kind", "winter", "hunger"),
        "{Winter came early that year|It was a cold, hard winter|It had not rained for weeks}, and there was little "
        "to eat in the [place]. [Name] had {one last basket of|only a handful of|a small bag of} [food]. {\"I will "
        "keep it all,\" [he] thought|[He] hid it in the [home]}.\n\nThen {there was a knock|someone knocked softly}. "
        "Outside stood [other], a {thin|cold|hungry} [friend]. \"{Could you spare a bite|Do you have anything to eat}"
        "?\" [he2] asked. [Name] {thought for a while|looked at the [food] and then at [other]}. \"{Come in|Sit down}"
        ",\" [he] said. \"{Half for you and half for me|We will share it}.\"\n\nThey ate and {told stories|sang old "
        "songs} {until the fire went out|all evening}. {In spring|When better days came}, [other] {came back with a "
        "whole cart of [food]|showed [name] a place full of [food]}. \"{This is for both of us|Now it is my turn},\""
        " [he2] said.",
        ("what you share comes back to you", "a shared meal tastes best",
         "kindness is never wasted"),
    ),
    "patience": (
        ("patience", "a garden", "a seed", "waiting", "growing", "spring", "nature"),
        "{One spring day|One day}, [name] {found|was given} a {tiny|strange|round} seed. [He] {planted it beside the "
        "[home]|put it into the earth} and {gave it water|sang to it}. {The next morning|The next day} [he] ran to "
        "look. Nothing!\n\n\"{It does not work|It is broken},\" said [name]. [Other], {an old|a wise} [friend], "
        "{smiled|laughed softly}. \"{Good things take time|A seed has its own clock},\" [he2] said. So [name] waited. "
        "{It rained, and [he] waited|The days passed, and [he] gave it water}. {The moon grew round, and [he] still "
        "waited|[He] waited even when the others laughed}.\n\nThen, {one warm morning|after many days}, a green leaf "
        "looked out of the earth. {Soon|By summer} there was {a tall flower|a fine young tree|a bush full of sweet "
        "fruit}, and {the whole [place] came to see it|[name] sat in its shade with [other]}.",
        ("good things take time", "patience is a kind of strength",
         "you cannot pull on a flower to make it grow"),
    ),
    "friendship": (
        ("friendship", "friends", "a friend", "loneliness", "two friends", "love"),
        "[Name] {was new in the [place]|had just come to the [place]} and knew nobody. {Every day [he] sat alone|"
        "[He] ate [his] [food] alone} and watched the others play.\n\n{One day|One afternoon} a [friend] named "
        "[other] {sat down next to [him]|dropped a ball at [his] feet}. {\"Why do you never play with us?\" asked "
        "[other]|\"Do you want to play?\" asked [other]}. \"{I thought nobody wanted me|I did not dare to ask},\" "
        "said [name]. \"{And we thought you wanted to be alone|We have been waiting for you}!\" {laughed|said} "
        "[other].\n\n{They played until the stars came out|That day they built a house of branches}. [Name] showed "
        "everyone how to [skill], and [other] {taught [him] a song|gave [him] a [object]}. From that day on, {[name] "
        "was never lonely again|the two were the best of friends}.",
        ("a friend may be only one hello away", "a friend is the best treasure",
         "say hello first, and you may find a friend"),
    ),
    "honesty": (
        ("honesty", "truth", "lying", "telling the truth", "a mistake"),
        "[Name] was playing with a [object] that belonged to [other] the [friend]. {Crack|Oh no|Snap}! It broke. "
        "{[Name] hid the pieces|[He] pushed the pieces under a bush} and ran {home|back to the [home]}.\n\n\"Have you "
        "seen my [object]?\" asked [other] {the next day|in the evening}. \"No,\" said [name], but {[his] ears grew "
        "hot|[he] could not sleep that night|[his] belly hurt}. {The lie felt as heavy as a stone|The [food] did not "
        "taste of anything}.\n\n{In the morning|At sunrise}, [name] went to [other]. \"I broke it,\" [he] said, \"and "
        "I am sorry.\" [Other] was quiet for a moment. \"{Thank you for telling me|I am glad you told me},\" [he2] "
        "said. \"{Let us mend it together|We can make a new one}.\" And {so they did|they worked until it was good "
        "as new}.",
        ("the truth is lighter to carry than a lie", "a mistake told is half mended",
         "honest words mend more than glue"),
    ),
    "cleverness": (
        ("being small", "cleverness", "wisdom", "being clever", "a big problem"),
        "{One day|One summer}, a {huge|big} {rock|tree} fell {on the road|across the stream}, and nobody could pass. "
        "The strong ones of the [place] {pushed|pulled} and {groaned|shouted}, but it did not move.\n\n\"Let me try,\""
        " said [name]. {Everyone laughed|The others only smiled}. \"You? {You are much too small|What can you do}?\" "
        "said [other] the [friend]. But [name] {walked around it twice|sat down and thought}. [He] could not push, "
        "but [he] could [skill], and [he] could think. \"{We need a long branch and a small stone|Dig a little here, "
        "and push there},\" [he] said.\n\nThey did as [name] said, and {slowly, slowly, it began to roll|with one "
        "push it rolled away}. {Everyone cheered|Nobody laughed any more}. \"{I was wrong|You are the strongest of us "
        "all},\" said [other].",
        ("a good idea is stronger than strong arms", "nobody is too small to help",
         "think first and push later"),
    ),
    "contentment": (
        ("being yourself", "happiness", "wishes", "a wish", "being different"),
        "[Name] {was not happy|wanted to be someone else}. \"I wish I were like [other] the [friend],\" [he] {sighed|"
        "said every day}. \"{[Other] is so much better than I am|Then everyone would look at me}.\"\n\n{One night|One "
        "evening} a falling star {heard [him]|granted the wish}. {The next morning|When [he] woke up}, [name] was "
        "just like [other]! {At first it was fun|For an hour it was wonderful}. But {the [food] did not taste good "
        "any more|[he] could not find the way to the [home]}, and {nobody knew [his] name|[he] had forgotten how to "
        "[skill]}.\n\n\"{I want to be me again|Please make me myself again}!\" cried [name]. The star {smiled|"
        "twinkled}, and it was so. [Other] came running. \"{There you are|I missed you}!\" [he2] said. \"{I always "
        "wished I could [skill] like you|Nobody is like you}.\"",
        ("the best you can be is yourself", "others may admire what you overlook in yourself",
         "there is only one of you, and that is enough"),
    ),
    "curiosity": (
        ("a mystery", "curiosity", "adventure", "an adventure", "magic", "a secret", "treasure", "a treasure", "light"),
        "{Every night|For three nights}, a {strange|soft} {light|sound} came from {behind the hill|the old well|the "
        "end of the [place]}. \"{A ghost|A monster}!\" whispered [other] the [friend]. \"{Let us find out|I want to "
        "see it},\" said [name].\n\nThey {took a lantern|packed some [food]} and set off. {The path was long and dark|"
        "The wind blew and the branches creaked}. {[Other] wanted to turn back|[Other] held on to [name]}, but [name] "
        "went on. {At last|Finally} they {peeked around the corner|came to the place} and saw ... {a hundred "
        "fireflies, dancing|an old music box, playing by itself|a small dragon, reading a book by its own fire}!\n\n"
        "{\"How beautiful!\" said [other]|They sat and watched until sunrise}. {After that|From then on}, {they came "
        "back every night|they were never afraid of that light again}, and [name] kept a [object] from there {as a "
        "memory|for good luck}.",
        ("many a scary thing is beautiful up close", "those who look find wonders",
         "curiosity opens more doors than keys do"),
    ),
    "peace": (
        ("a fight", "forgiveness", "an argument", "saying sorry", "anger"),
        "[Name] and [other] the [friend] were best friends, until {one day|one morning} they both wanted the same "
        "[object]. \"It is mine!\" cried [name]. \"No, mine!\" cried [other]. They {pulled and pulled|shouted louder "
        "and louder}, and went home {angry|without a word}.\n\n{The next day was long and boring|That evening the "
        "[food] tasted of nothing}. [Name] {had nobody to play with|looked out of the [home] and saw [other] alone}. "
        "\"{What is a [object] without a friend|I would rather have my friend},\" [he] thought.\n\nSo [he] went to "
        "[other]. {Half way, they met|[Other] was already at the door}. \"I am sorry,\" both said at the same time, "
        "and {then they had to laugh|they laughed and laughed}. {Since then the [object] belongs to both of them|They "
        "gave the [object] to a child who had none}.",
        ("a friend is worth more than any thing", "sorry is a small word that opens big doors",
         "it takes two to fight and one to stop"),
    ),
    "perseverance": (
        ("never giving up", "trying again", "building", "learning", "practice", "a race", "work"),
        "[Name] {wanted to build|dreamed of} a {boat|bridge|flying machine}. {\"That will never work,\" said everyone|"
        "[Other] the [friend] shook [his2] head}. The first try {sank|fell apart|broke in the wind}. [Name] {sighed|"
        "was sad} and started again.\n\nThe second try {was a little better|held for a whole minute}, and then it "
        "broke too. {\"Give up!\" said the others|[Name] wanted to give up}. But [other] {brought some [food] and "
        "said|sat down next to [him] and said}, \"{Every try taught you something|Look how far you have come}.\"\n\n"
        "So [name] {tried once more|worked for seven more days}. [He] used [his] gift to [skill], and {this time it "
        "held|this time everything fitted}. {The whole [place] came to see it|Everyone clapped}, and [name] took "
        "[other] along on the first ride.",
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
CLOSINGS = ("\n\nThe moral: [moral].", "\n\nAnd so we learn: [moral].", "\n\n*[Moral].*", "\n\nThe end.")
SLEEPY = ("\n\nThen [name] curled up in the [home], closed [his] eyes and fell asleep. Good night!",)
SHORT = (
    "Once there was [hero]. {One day|One morning} [he] {found a [object]|met [other] the [friend]}{ in the [place]|}. "
    "{[He] gave it to [other], a sad [friend], and both were happy|They shared some [food] and became friends}. "
    "{The end.|The moral: [moral].}",
    "[Hero1] wanted to {see the sea|touch the moon|find a treasure}. {[He] walked for three days|[He] climbed the "
    "highest hill} and met [other] the [friend]. \"{You look tired|Come and rest},\" said [other]. {So [name] found "
    "a friend instead, and that was even better.|They went on together, and the way was half as long.}",
)  # fmt: skip
POEMS = (
    "{A|One} {little|small|quiet} [kind] {went out to play|woke up one day},\n{and met the wind along the way|and "
    "chased the {clouds|night|rain} away}.\nIt {danced|sang|laughed} {beneath the golden sun|till day was done},\n"
    "{and said good night to everyone|and so a day of joy was spun}.",
    "O [kind], dear [kind], {so small and bright|out in the night},\n{you fill my morning with your light|you are a "
    "very pretty sight}.\nI {wrote|made} for you this tiny rhyme:\n{please come and see me any time|it did not "
    "take me too much time}.",
    "{Softly falls the evening rain|Slowly comes the morning train},\nthe [kind] is {at the window|at home} again.\n"
    "{The stars are near, the day is done|A cup of tea, a bit of sun},\n{good night, sleep well now, everyone|and "
    "time enough for everyone}.",
)  # fmt: skip
SONGS = (
    "I {sing|think} of [kind] when day is new,\nof [kind] when the {stars|clouds} come through,\nand if you ask me what "
    "I do:\nI {keep|write} a line of [kind] for you.",
    "{Some like the hill|Some like the road}, some like the tree,\nbut [kind], [kind] it is for me.\n{A|One} word, a "
    "smile, a {song|cup} or two,\nand all of it I share with you.",
)  # fmt: skip
PRONOUNS = {"he": ("him", "his"), "she": ("her", "her"), "it": ("it", "its")}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a story was asked to be about; None leaves the choice to chance."""

    kind: str | None = None
    name: str | None = None
    place: str | None = None
    theme: str | None = None
    friend: str | None = None
    short: bool = False
    sleepy: bool = False
    avoid: str | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """A finished story with the facts that a follow-up question may ask for."""

    text: str
    kind: str
    name: str
    other: str
    friend: str
    place: str
    moral: str


def expand(rng: random.Random, template: str) -> str:
    """Take one alternative of every `{a|b}`, innermost first."""
    while CHOICE.search(template):
        template = CHOICE.sub(lambda found: rng.choice(found[1].split("|")), template)
    return template


def with_article(noun: str) -> str:
    """`fox` -> `a fox`, `owl` -> `an owl`."""
    return ("an " if noun[0] in "aeiou" and not noun.startswith("uni") else "a ") + noun


def capital(text: str) -> str:
    """The first letter in upper case, the others as they are."""
    return text[:1].upper() + text[1:]


def made_up_word(rng: random.Random) -> str:
    """A word that means nothing, so that the model learns to copy what it was given."""
    syllables = rng.choice((1, 2, 2, 3))
    return "".join(
        rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(syllables)
    )


def any_kind(rng: random.Random) -> str:
    """Something that a story can be about: mostly an animal, sometimes a word nobody knows."""
    draw = rng.random()
    if draw < 0.5:
        return rng.choice(tuple(ANIMALS))
    if draw < 0.7:
        return rng.choice(tuple(FOLK))
    return rng.choice(THINGS) if draw < 0.9 else made_up_word(rng)


def _facts(kind: str, rng: random.Random) -> tuple[str, str, str]:
    default = ("house", rng.choice(("bread", "soup", "apples", "cake")), "tell good jokes")
    return ANIMALS.get(kind, default)


def pronoun(name: str | None, rng: random.Random) -> str:
    """The pronoun that goes with a name; by chance for names that are not in our lists."""
    if name in GIRLS:
        return "she"
    return "he" if name in BOYS else rng.choice(("he", "she"))


def tell_story(rng: random.Random, wish: Wish) -> Story:
    """Cast a plot: the hero as wished, a friend of another kind, and a moral that fits the plot."""
    hero_kinds = [kind for kind in ANIMALS if kind != wish.avoid]
    kind = wish.kind or rng.choice(hero_kinds if rng.random() < 0.8 else tuple(FOLK))
    he = FOLK.get(kind) or pronoun(wish.name, rng)
    name = wish.name or rng.choice(GIRLS if he == "she" else BOYS)
    friend = wish.friend or rng.choice([animal for animal in ANIMALS if animal != kind])
    other = rng.choice([candidate for candidate in NAMES if candidate != name])
    place = wish.place or rng.choice(PLACES)
    _, plot, morals = PLOTS[wish.theme or rng.choice(tuple(PLOTS))]
    moral = rng.choice(PLOTS["friendship"][2] if wish.short else morals)
    he2 = pronoun(other, rng)
    home, food, skill = _facts(kind, rng)
    hero = with_article(f"{rng.choice(ADJECTIVES)} {kind}") + f" named {name}"
    slots = {
        "hero": hero, "hero1": hero, "name": name, "kind": kind, "he": he, "him": PRONOUNS[he][0],
        "his": PRONOUNS[he][1], "friend": friend, "other": other, "he2": he2,
        "him2": PRONOUNS[he2][0], "his2": PRONOUNS[he2][1], "home": home, "food": food,
        "skill": skill, "place": place, "object": rng.choice(OBJECTS), "moral": moral,
        "setting": rng.choice(("a small {}", "a quiet {}", "a {} far away", "a green {}")).format(place),
    }  # fmt: skip
    if wish.short:
        template = rng.choice(SHORT)
    else:
        closing = rng.choice(SLEEPY if wish.sleepy else CLOSINGS)
        template = rng.choice(OPENINGS) + rng.choice(LIKES) + plot + closing
    text = fill(expand(rng, template), slots)
    return Story(text, kind, name, other, friend, place, moral)


def fill(text: str, slots: dict[str, str]) -> str:
    """Put the cast into `[slots]`; a slot written with a capital starts with one."""

    def word(found: re.Match[str]) -> str:
        value = slots[found[1].lower()]
        return capital(value) if found[1][0].isupper() else value

    return re.sub(r"\b([Aa]) (?=[aeiou](?!ni))", r"\1n ", SLOT.sub(word, text))


def tell_poem(rng: random.Random, kind: str, abstract: bool = False) -> str:
    """Four lines about one thing; what is abstract takes no article."""
    return fill(expand(rng, rng.choice(SONGS if abstract else POEMS)), {"kind": kind})
