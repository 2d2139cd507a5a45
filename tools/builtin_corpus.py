"""Dialogues for the built-in model, made by chance from `builtin_phrases`.

`conversation(rng)` gives one. Questions are spoiled on purpose (case, punctuation, typos),
answers never are.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from builtin_phrases import (
    ADJECTIVES,
    ANIMALS,
    ASK_NOUN,
    ASK_VERB,
    BOYS,
    CLOSINGS,
    CODAS,
    COUNTRIES,
    DEEDS,
    FEELINGS,
    FIELDS,
    FOLK,
    FOLLOW_UPS,
    GIRLS,
    LANGUAGES,
    LIKES,
    MORE,
    MORE_ABOUT,
    NAME_ANSWERS,
    NAME_ASKED,
    NAME_GIVEN,
    NAMES,
    OBJECTS,
    ONSETS,
    OPENINGS,
    OUTSIDE,
    PEOPLE,
    PLACES,
    PLOTS,
    POEM_ASKS,
    POEM_PLAIN,
    POEMS,
    POLITE,
    PROGRAMS,
    PRONOUNS,
    RECALL_FIRST,
    RECALL_LAST,
    REPEAT,
    SELF,
    SENTENCES,
    SETTINGS,
    SHORT,
    SLEEPY,
    SONGS,
    STORY_ASKS,
    STORY_WORDS,
    SYSTEMS,
    TALK,
    THINGS,
    TOPICS,
    VOWELS,
    WHO_AM_I,
)

CHOICE = re.compile(r"\{([^{}]*)\}")
SLOT = re.compile(r"\[(\w+)\]")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message; `role` is system, user or assistant."""

    role: str
    content: str


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


@dataclass(slots=True)
class State:
    """What a dialogue remembers so far."""

    turns: list[Turn] = field(default_factory=list)
    name: str | None = None
    story: Story | None = None

    def say(self, question: str, answer: str) -> None:
        """Append one exchange."""
        self.turns += [Turn("user", question), Turn("assistant", answer)]


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


def facts_of(kind: str, rng: random.Random) -> tuple[str, str, str]:
    """Home, food and skill; what is no animal lives in a house."""
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
    home, food, skill = facts_of(kind, rng)
    hero = with_article(f"{rng.choice(ADJECTIVES)} {kind}") + f" named {name}"
    slots = {
        "hero": hero, "hero1": hero, "name": name, "kind": kind, "he": he, "him": PRONOUNS[he][0],
        "his": PRONOUNS[he][1], "friend": friend, "other": other, "he2": he2,
        "him2": PRONOUNS[he2][0], "his2": PRONOUNS[he2][1], "home": home, "food": food,
        "skill": skill, "place": place, "object": rng.choice(OBJECTS), "moral": moral,
        "setting": rng.choice(SETTINGS).format(place),
    }  # fmt: skip
    if wish.short:
        template = rng.choice(SHORT)
    else:
        closing = rng.choice(SLEEPY if wish.sleepy else CLOSINGS)
        template = rng.choice(OPENINGS) + rng.choice(LIKES) + plot + closing
    text = cast(expand(rng, template), slots)
    return Story(text, kind, name, other, friend, place, moral)


def cast(text: str, slots: dict[str, str]) -> str:
    """Put the cast into `[slots]`; a slot written with a capital starts with one."""

    def word(found: re.Match[str]) -> str:
        value = slots[found[1].lower()]
        return capital(value) if found[1][0].isupper() else value

    return re.sub(r"\b([Aa]) (?=[aeiou](?!ni))", r"\1n ", SLOT.sub(word, text))


def tell_poem(rng: random.Random, kind: str, abstract: bool = False) -> str:
    """Four lines about one thing; what is abstract takes no article."""
    return cast(expand(rng, rng.choice(SONGS if abstract else POEMS)), {"kind": kind})


def fill(template: str, **slots: str) -> str:
    """Replace `[x]` by the slot `x`."""
    for slot, value in slots.items():
        template = template.replace(f"[{slot}]", value)
    return template


def choose(rng: random.Random, templates: Sequence[str], **slots: str) -> str:
    """One template, its alternatives taken and its slots filled; NUL stands for a literal bar."""
    return fill(expand(rng, rng.choice(templates)), **slots).replace("\x00", "|")


def misspell(rng: random.Random, text: str) -> str:
    """Swap, drop, double or replace one letter of a word of at least four letters."""
    words = text.split(" ")
    long_words = [index for index, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    if not long_words:
        return text
    index = rng.choice(long_words)
    word = words[index]
    at = rng.randrange(1, len(word) - 1)
    words[index] = rng.choice(
        (
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + rng.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :],
        )
    )
    return " ".join(words)


def as_typed(rng: random.Random, text: str, typos: bool = True) -> str:
    """A question as a person types it: politeness, case, punctuation and typos vary."""
    if rng.random() < 0.15:
        text = fill(rng.choice(POLITE), q=text)
    if typos and rng.random() < 0.18:
        text = misspell(rng, text)
    if text[0].isalnum() and rng.random() < 0.4:
        text = text.rstrip("?!.")
    elif text[-1].isalnum() and rng.random() < 0.3:
        text += rng.choice((".", "!", "?", "..", "??"))
    if rng.random() < 0.25:
        text = text.replace("'", "")
    draw = rng.random()
    if draw < 0.45:
        return text.lower()
    if draw < 0.5:
        return text.upper()
    return capital(text) if draw < 0.85 else text


# intents: each adds one exchange -----------------------------------------------------------------
def how_to(rng: random.Random, state: State) -> None:
    """A question about Lepton's commands."""
    topic = rng.choice(TOPICS)
    frames, phrases = (ASK_VERB, topic.verbs) if rng.random() < 0.5 else (ASK_NOUN, topic.nouns)
    question = choose(rng, frames, x=choose(rng, phrases))
    state.say(as_typed(rng, question), choose(rng, topic.answers))


def about_itself(rng: random.Random, state: State) -> None:
    """A question about the model."""
    questions, answers = rng.choice(SELF)
    state.say(as_typed(rng, choose(rng, questions)), choose(rng, answers))


def small_talk(rng: random.Random, state: State) -> None:
    """Greetings, moods, thanks, jokes; the greeting is the commonest first word."""
    pair = TALK[0] if not state.turns and rng.random() < 0.3 else rng.choice(TALK)
    question = with_subjects(rng, choose(rng, pair[0]))
    state.say(as_typed(rng, question), choose(rng, pair[1]))


def full_name(rng: random.Random) -> str:
    """A person nobody knows."""
    return f"{rng.choice((*NAMES, capital(made_up_word(rng))))} {capital(made_up_word(rng))}"


def field_of_study(rng: random.Random) -> str:
    """Something that a question can be about, mostly nonsense."""
    first = rng.choice((made_up_word(rng), rng.choice(THINGS), rng.choice(tuple(ANIMALS))))
    return first + rng.choice(("s", " theory", " science", " history", "", "ism", "ology", "ing"))


def outside(rng: random.Random, state: State) -> None:
    """A question that such a small model cannot answer, and a plain refusal."""
    questions, answers, _ = rng.choices(OUTSIDE, weights=[entry[2] for entry in OUTSIDE])[0]
    state.say(as_typed(rng, with_subjects(rng, choose(rng, questions))), choose(rng, answers))


def with_subjects(rng: random.Random, question: str) -> str:
    """Fill the slots of a question about the world; a part of the subjects is made up."""
    pools: dict[str, Callable[[], str]] = {
        "country": lambda: rng.choice((*COUNTRIES, capital(made_up_word(rng)))),
        "person": lambda: rng.choice((*PEOPLE, *NAMES, *(full_name(rng) for _ in range(20)))),
        "field": lambda: rng.choice((*FIELDS, *(field_of_study(rng) for _ in range(20)))),
        "language": lambda: rng.choice(LANGUAGES),
        "program": lambda: rng.choice(PROGRAMS), "sentence": lambda: rng.choice(SENTENCES),
        "animal": lambda: rng.choice(tuple(ANIMALS)), "thing": lambda: rng.choice(THINGS),
        "a_animal": lambda: with_article(rng.choice(tuple(ANIMALS))),
        "word": lambda: made_up_word(rng),
        "a_thing": lambda: with_article(rng.choice(THINGS)),
        "n": lambda: str(rng.randrange(10 ** rng.choice((1, 2, 3)))),
    }  # fmt: skip
    for slot, draw in pools.items():
        while f"[{slot}]" in question:
            question = question.replace(f"[{slot}]", draw(), 1)
    return question


def random_wish(rng: random.Random) -> tuple[str, Wish]:
    """What a story shall be about, in words and as a wish."""
    draw = rng.random()
    if draw < 0.5:
        return wish_for_hero(rng)
    place = rng.choice(PLACES)
    if draw < 0.6:
        theme = rng.choice(tuple(PLOTS))
        return f" about {rng.choice(PLOTS[theme][0])}", Wish(theme=theme)
    if draw < 0.65:
        return f" {rng.choice(('in', 'set in', 'about'))} a {place}", Wish(place=place)
    if draw < 0.75:
        kind = any_kind(rng)
        return f" about {with_article(kind)} in a {place}", Wish(kind=kind, place=place)
    if draw < 0.82:
        kind, other = rng.sample(tuple(ANIMALS), 2)
        link = rng.choice(("about", "with"))
        both = f"{with_article(kind)} and {with_article(other)}"
        return f" {link} {both}", Wish(kind=kind, friend=other)
    return "", Wish()


def wish_for_hero(rng: random.Random) -> tuple[str, Wish]:
    """The hero that a story shall have, in words and as a wish."""
    kind, name = any_kind(rng), rng.choice((*NAMES, capital(made_up_word(rng))))
    if kind in FOLK:
        fitting = [known for known in NAMES if pronoun(known, rng) == FOLK[kind]]
        name = rng.choice(fitting) if fitting else name
    draw = rng.random()
    if draw < 0.5:
        return f" about {with_article(kind)}", Wish(kind=kind)
    if draw < 0.6:
        return f" about {with_article(f'{rng.choice(ADJECTIVES)} {kind}')}", Wish(kind=kind)
    if draw < 0.64:
        deed = choose(rng, DEEDS)
        return f" about {with_article(kind)} {rng.choice(('who', 'that'))} {deed}", Wish(kind=kind)
    if draw < 0.67:
        kind = rng.choice(tuple(ANIMALS))
        return f" about my {kind} {name}", Wish(kind=kind, name=name)
    if draw < 0.7:
        return f" about {rng.choice(('the', ''))} {kind}".replace("  ", " "), Wish(kind=kind)
    if draw < 0.75 and kind[-1] not in "sxyh":
        return f" about {kind}s", Wish(kind=kind)
    if draw < 0.9:
        called = rng.choice(("named", "called", "whose name is"))
        return f" about {with_article(kind)} {called} {name}", Wish(kind=kind, name=name)
    return f" about {name}{rng.choice((' the ', ', the '))}{kind}", Wish(kind=kind, name=name)


def story(rng: random.Random, state: State) -> None:
    """A request for a story, and the story."""
    about, wish = random_wish(rng)
    size = rng.choices(("", "short ", "bedtime ", "little "), weights=(8, 3, 2, 1))[0]
    about1 = about if " about " in about else f" about {with_article(any_kind(rng))}"
    question = choose(rng, STORY_ASKS)
    if "[about1]" in question and about1 != about:
        wish = replace(wish, kind=about1.split(" ", 3)[-1], place=None)
    question = fill(question, size=size, about=about, about1=about1, story=choose(rng, STORY_WORDS))
    wish = replace(wish, short="short" in question, sleepy="bedtime" in question)
    state.story = tell_story(rng, wish)
    state.say(as_typed(rng, question, typos=wish == Wish()), state.story.text)


def follow_up(rng: random.Random, state: State, last: Story) -> None:
    """After a story: another one, one about something else, or a question about it."""
    draw = rng.random()
    if draw >= 0.55:
        question_about(rng, state, last)
        return
    if draw < 0.3:
        question, wish = choose(rng, MORE), Wish(avoid=last.kind)
    else:
        kind = any_kind(rng)
        question, wish = choose(rng, MORE_ABOUT, x=with_article(kind)), Wish(kind=kind)
    state.story = tell_story(rng, wish)
    state.say(as_typed(rng, question, typos=False), state.story.text)


def question_about(rng: random.Random, state: State, last: Story) -> None:
    """A question about the story just told."""
    questions, answers = rng.choice(FOLLOW_UPS)
    slots = {"moral": last.moral, "name": last.name, "kind": last.kind, "other": last.other,
             "friend": last.friend, "place": last.place}  # fmt: skip
    if "[moral]" in answers[0] and last.moral not in last.text.lower():
        answers = ("It has no moral, it is just a story.",)
    question = as_typed(rng, choose(rng, questions, **slots), typos=False)
    state.say(question, choose(rng, answers, **slots))


def poem(rng: random.Random, state: State) -> None:
    """A request for a poem, and four lines."""
    if rng.random() < 0.3:
        feeling = rng.choice((*FEELINGS, *NAMES, field_of_study(rng)))
        question = as_typed(rng, choose(rng, POEM_ASKS, x=feeling), typos=False)
        state.say(question, tell_poem(rng, feeling, abstract=True))
        return
    kind, asked = any_kind(rng), rng.random() < 0.8
    form = rng.choice((with_article(kind), f"the {kind}", kind))
    question = choose(rng, POEM_ASKS, x=form) if asked else choose(rng, POEM_PLAIN)
    question = as_typed(rng, question, typos=False)
    state.say(question, tell_poem(rng, kind if asked else rng.choice(tuple(ANIMALS))))


def names(rng: random.Random, state: State) -> None:
    """The person tells a name, or asks for it."""
    if state.name is None and rng.random() < 0.25:
        question = as_typed(rng, choose(rng, WHO_AM_I))
        state.say(question, f"You have not told me your name{rng.choice(('', ' yet'))}.")
    elif state.name is None or rng.random() < 0.3:
        state.name = rng.choice((*NAMES, capital(made_up_word(rng))))
        question = as_typed(rng, choose(rng, NAME_GIVEN, x=state.name), typos=False)
        state.say(question, choose(rng, NAME_ANSWERS, x=state.name))
    else:
        state.say(as_typed(rng, choose(rng, NAME_ASKED)), f"Your name is {state.name}.")


def recall(rng: random.Random, state: State) -> None:
    """What was asked before; at the beginning, words to be said again."""
    asked = [turn.content for turn in state.turns if turn.role == "user"]
    if not asked:
        repeat(rng, state)
        return
    first = rng.random() < 0.2
    quote = asked[0] if first else asked[-1]
    question = as_typed(rng, choose(rng, RECALL_FIRST if first else RECALL_LAST))
    state.say(question, f'You wrote: "{quote}"')


def repeat(rng: random.Random, state: State) -> None:
    """Words to be said again, known or made up."""
    if rng.random() < 0.6:
        sentence = rng.choice(SENTENCES)
    else:
        sentence = " ".join(made_up_word(rng) for _ in range(rng.randrange(1, 4)))
    question = choose(rng, REPEAT, x=sentence)
    state.say(question if rng.random() < 0.6 else capital(question), f"{capital(sentence)}.")


INTENTS: tuple[tuple[Callable[[random.Random, State], None], float], ...] = (
    (how_to, 30), (story, 20), (small_talk, 15), (about_itself, 11), (outside, 16), (poem, 4),
    (names, 4), (recall, 4),
)  # fmt: skip


def conversation(rng: random.Random) -> list[Turn]:
    """One dialogue of one to eight exchanges, sometimes with a system prompt that does little."""
    state = State()
    if rng.random() < 0.12:
        state.turns.append(Turn("system", rng.choice(SYSTEMS)))
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 5, 8))):
        last = state.story if state.story and state.turns[-1].content == state.story.text else None
        if last and rng.random() < 0.55:
            follow_up(rng, state, last)
        else:
            rng.choices([i for i, _ in INTENTS], weights=[w for _, w in INTENTS])[0](rng, state)
    return state.turns


def plain_story(rng: random.Random) -> str:
    """A story without a question, for completion of raw text."""
    return tell_story(rng, Wish(short=rng.random() < 0.2)).text
