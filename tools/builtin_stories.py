"""The built-in model's stories and poems: their cast, their plots, and the telling.

So small a model cannot carry a name through a text that it has seen for the first time. So every
kind of hero has one name of its own, a story names nobody else, and a wish for another name is
answered with the truth.
"""

import random
import re

CHOICE = re.compile(r"\{([^{}]*)\}")
SLOT = re.compile(r"\[(\w+)\]")

# kind: name, pronoun, home, food
HEROES = {
    "fox": ("Ruby", "she", "den", "berries"), "bear": ("Bruno", "he", "cave", "honey"),
    "cat": ("Mimi", "she", "basket", "fish"), "dog": ("Max", "he", "kennel", "bones"),
    "mouse": ("Pip", "he", "hole", "cheese"), "owl": ("Olive", "she", "nest", "seeds"),
    "rabbit": ("Clara", "she", "burrow", "carrots"), "hedgehog": ("Igor", "he", "nest", "apples"),
    "frog": ("Fred", "he", "pond", "soup"), "duck": ("Daisy", "she", "pond", "bread"),
    "turtle": ("Tilda", "she", "shell", "lettuce"), "squirrel": ("Nina", "she", "tree", "nuts"),
    "wolf": ("Wanda", "she", "den", "soup"), "deer": ("Della", "she", "glade", "grass"),
    "bird": ("Wren", "she", "nest", "seeds"), "penguin": ("Pablo", "he", "ice house", "fish"),
    "elephant": ("Ella", "she", "grove", "fruit"), "lion": ("Leo", "he", "cave", "stew"),
    "tiger": ("Tara", "she", "den", "stew"), "monkey": ("Milo", "he", "tree", "bananas"),
    "horse": ("Henry", "he", "stable", "oats"), "cow": ("Rosa", "she", "barn", "clover"),
    "pig": ("Paula", "she", "sty", "turnips"), "sheep": ("Sally", "she", "meadow", "grass"),
    "goat": ("Gus", "he", "shed", "leaves"), "snail": ("Sam", "he", "shell", "lettuce"),
    "bee": ("Bella", "she", "hive", "honey"), "butterfly": ("Lily", "she", "bush", "nectar"),
    "spider": ("Sofia", "she", "web", "soup"), "whale": ("Willy", "he", "bay", "seaweed"),
    "fish": ("Finn", "he", "pond", "seaweed"), "dragon": ("Dora", "she", "cave", "toast"),
    "unicorn": ("Luna", "she", "glade", "clover"), "dinosaur": ("Dino", "he", "valley", "leaves"),
    "panda": ("Ming", "he", "grove", "bamboo"), "kangaroo": ("Kim", "she", "meadow", "grass"),
    "girl": ("Mia", "she", "house", "cake"), "boy": ("Tom", "he", "house", "bread"),
    "princess": ("Isabel", "she", "castle", "cake"), "prince": ("Paul", "he", "castle", "cake"),
    "king": ("Karl", "he", "castle", "cake"), "queen": ("Anna", "she", "castle", "cake"),
    "knight": ("Arthur", "he", "castle", "stew"), "wizard": ("Otto", "he", "tower", "soup"),
    "witch": ("Greta", "she", "hut", "soup"), "pirate": ("Jack", "he", "ship", "biscuits"),
    "robot": ("Robbie", "he", "workshop", "oil"), "farmer": ("Ben", "he", "farm", "bread"),
    "astronaut": ("Stella", "she", "rocket", "biscuits"), "ghost": ("Casper", "he", "attic", "air"),
    "monster": ("Momo", "he", "cellar", "socks"), "fairy": ("Flora", "she", "flower", "nectar"),
    "snowman": ("Olaf", "he", "garden", "snow"), "child": ("Noa", "she", "house", "cake"),
}  # fmt: skip
ANIMALS = tuple(HEROES)[:36]
PRONOUNS = {"he": ("him", "his"), "she": ("her", "her")}
ADJECTIVES = ("little", "small", "young", "clever", "shy", "brave", "curious", "kind")
PLACES = ("forest", "village", "valley", "garden", "town")
OBJECTS = ("red scarf", "silver bell", "golden key", "green hat", "old map", "yellow kite")
# theme: words that ask for it, the plot, the moral
PLOTS = {
    "help": (
        ("helping", "help", "being lost", "losing something", "a lost thing"),
        "{One day|One morning} [name] lost [his] [object]. [He] looked {everywhere|all day}, but "
        "it was gone. {A friendly|An old} [friend] came by and said: \"Let us look together!\" At "
        "last they found it {in the [food]|behind the [home]|under a bush}, and [name] {danced "
        "with joy|thanked the [friend]}.",
        "a good friend makes every search shorter",
    ),
    "courage": (
        ("courage", "being brave", "fear", "bravery", "a storm", "the night", "the dark"),
        "[Name] was afraid of {the dark|thunder}. One night a storm came, and [name] heard {a cry|"
        "someone cry}: a [friend] was stuck in a tree! [Name] {shook all over|took a deep breath}, "
        "but [he] went out and helped. \"You are so brave!\" said the [friend].",
        "being brave means to be afraid and to go anyway",
    ),
    "sharing": (
        ("sharing", "kindness", "food", "being kind", "winter", "hunger", "generosity"),
        "It was a cold winter, and [name] had only a little [food]. Then someone knocked: it was a "
        "hungry [friend]. [Name] thought for a while. \"{Come in|Sit down},\" [he] said, \"half "
        "for you and half for me.\" In spring the [friend] {came back with|brought} a whole basket "
        "of [food].",
        "what you share comes back to you",
    ),
    "patience": (
        ("patience", "a garden", "a seed", "waiting", "growing", "spring", "nature", "a flower"),
        "One spring day [name] planted a {tiny|round} seed beside the [home]. Nothing happened. "
        "\"Good things take time,\" said a wise [friend]. So [name] gave it water and waited. Then, "
        "one warm morning, a {green leaf|flower} looked out of the earth.",
        "good things take time",
    ),
    "friendship": (
        ("friendship", "friends", "a friend", "loneliness", "two friends", "love", "playing"),
        "[Name] knew nobody and always played alone. One day a [friend] sat down next to [him]. "
        "\"Do you want to play?\" asked the [friend]. They {played until the stars came out|shared "
        "some [food] and laughed}, and [name] was never lonely again.",
        "a friend may be only one hello away",
    ),
    "honesty": (
        ("honesty", "truth", "lying", "telling the truth", "a mistake", "a lie"),
        "[Name] broke the [object] of a [friend] and hid the pieces. But [he] could not sleep that "
        "night. In the morning [he] went to the [friend] and said: \"I broke it, and I am sorry.\" "
        "\"Thank you for telling me,\" said the [friend], and they mended it together.",
        "a mistake told is half mended",
    ),
    "adventure": (
        ("adventure", "an adventure", "treasure", "a treasure", "a mystery", "magic", "a secret"),
        "Every night a strange light came from {behind the hill|the old well}. {\"I want to see "
        "it,\" said [name]|[Name] wanted to see it}, and [he] took a lantern and went there with a "
        "[friend]. What they found was {a hundred fireflies, dancing|a chest full of [food]}. They "
        "sat and {watched until sunrise|laughed all night}.",
        "those who look find wonders",
    ),
}  # fmt: skip
OPENINGS = (
    "Once upon a time, there was [hero] who lived in a [place]. ",
    "In a [place] far away, there lived [hero]. ",
    "Long ago, there was [hero]. ",
)
LIKES = ("", "", "[He] loved [food]. ")
SLEEPY = "\n\nThen [name] went back to the [home] and fell asleep. Good night!"
POEMS = (
    "A little [kind] went out to play,\nand met the wind along the way.\nIt danced beneath the "
    "golden sun,\nand said good night to everyone.",
    "O [kind], dear [kind], so small and bright,\nyou fill my morning with your light.\nI made for "
    "you this tiny rhyme:\nplease come and see me any time.",
)
RHYMES = (
    "Softly falls the evening rain,\nslowly comes the morning train.\nThe stars are near, the day "
    "is done,\ngood night, sleep well now, everyone.",
    "Some like the hill, some like the tree,\na quiet day is best for me.\nA word, a smile, a song "
    "or two,\nand all of it I share with you.",
)


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


def name_of(kind: str) -> str:
    """The one name that heroes of this kind have."""
    return HEROES[kind][0]


def tell_story(
    rng: random.Random, kind: str, theme: str | None = None, sleepy: bool = False
) -> str:
    """A short story about this kind of hero; chance chooses what is left open."""
    name, he, home, food = HEROES[kind]
    _, plot, moral = PLOTS[theme or rng.choice(tuple(PLOTS))]
    adjective = f"{rng.choice(ADJECTIVES)} " if rng.random() < 0.5 else ""
    slots = {
        "hero": with_article(adjective + kind) + f" named {name}", "name": name, "he": he,
        "him": PRONOUNS[he][0], "his": PRONOUNS[he][1], "home": home, "food": food,
        "friend": rng.choice([animal for animal in ANIMALS[:12] if animal != kind]),
        "place": rng.choice(PLACES), "object": rng.choice(OBJECTS),
    }  # fmt: skip
    closing = SLEEPY if sleepy else f"\n\nThe moral: {moral}."
    return cast(expand(rng, rng.choice(OPENINGS) + rng.choice(LIKES) + plot + closing), slots)


def cast(text: str, slots: dict[str, str]) -> str:
    """Put the cast into `[slots]`; a slot written with a capital starts with one."""

    def word(found: re.Match[str]) -> str:
        value = slots[found[1].lower()]
        return capital(value) if found[1][0].isupper() else value

    return re.sub(r"\b([Aa]) (?=[aeiou](?!ni))", r"\1n ", SLOT.sub(word, text))


def tell_poem(rng: random.Random, kind: str | None) -> str:
    """Four lines about a kind of hero, or one of the rhymes known by heart."""
    return cast(rng.choice(POEMS), {"kind": kind}) if kind else rng.choice(RHYMES)
