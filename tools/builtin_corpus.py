"""Dialogues for the built-in model, made by chance from the tables of its other files.

`conversation(rng)` gives one. Questions are spoiled on purpose (case, punctuation, typos),
answers never are. No answer asks for words to be copied from a question, except the kind of a
story's hero: so small a model cannot, and says so.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from builtin_frames import ASK_NOUN, ASK_VERB, BARE, SMALL_WORDS, SYNONYMS
from builtin_outside import (
    CODAS,
    COUNTRIES,
    FIELDS,
    LANGUAGES,
    NAMES,
    ONSETS,
    OUTSIDE,
    PEOPLE,
    PROGRAMS,
    SENTENCES,
    THINGS,
    VOWELS,
)
from builtin_phrases import (
    FEELINGS,
    MORE,
    MORE_ABOUT,
    POEM_ASKS,
    POEM_PLAIN,
    POLITE,
    SELF,
    STORY_ASKS,
    SYSTEMS,
    TALK,
)
from builtin_stories import (
    ANIMALS,
    HEROES,
    PLOTS,
    capital,
    expand,
    name_of,
    tell_poem,
    tell_story,
    with_article,
)
from builtin_topics import TOPICS


@dataclass(frozen=True, slots=True)
class Turn:
    """One message; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(slots=True)
class State:
    """What a dialogue remembers so far: its turns, and whether the last one was a story."""

    turns: list[Turn] = field(default_factory=list)
    after_story: bool = False

    def say(self, question: str, answer: str, is_story: bool = False) -> None:
        """Append one exchange."""
        self.turns += [Turn("user", question), Turn("assistant", answer)]
        self.after_story = is_story


def made_up_word(rng: random.Random) -> str:
    """A word that means nothing, for what the model does not know."""
    syllables = rng.choice((1, 2, 2, 3))
    return "".join(
        rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(syllables)
    )


def fill(template: str, **slots: str) -> str:
    """Replace `[x]` by the slot `x`."""
    for slot, value in slots.items():
        template = template.replace(f"[{slot}]", value)
    return template


def choose(rng: random.Random, templates: Sequence[str], **slots: str) -> str:
    """One template, its alternatives taken and its slots filled; NUL stands for a literal bar."""
    return fill(expand(rng, rng.choice(templates)), **slots).replace("\x00", "|")


# questions as people type them -------------------------------------------------------------------
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


def reword(rng: random.Random, text: str) -> str:
    """Other words for the same, and now and then none of the small ones."""
    words = text.split(" ")
    if rng.random() < 0.4:
        words = [
            rng.choice(SYNONYMS[word]) if word in SYNONYMS and rng.random() < 0.5 else word
            for word in words
        ]
    if len(words) > 3 and rng.random() < 0.1:
        words = [word for word in words if word not in SMALL_WORDS] or words
    return " ".join(words)


def as_typed(rng: random.Random, text: str, typos: bool = True) -> str:
    """A question as a person types it: politeness, case, punctuation and typos vary."""
    if rng.random() < 0.15:
        text = fill(rng.choice(POLITE), q=text)
    if typos and rng.random() < 0.18:
        text = misspell(rng, text)
    if text[0].isalnum() and rng.random() < 0.4:
        text = text.rstrip("?!.") or text
    elif text[-1].isalnum() and rng.random() < 0.3:
        text += rng.choice((".", "!", "?", "..", "??", "!!"))
    if rng.random() < 0.25:
        text = text.replace("'", "")
    draw = rng.random()
    if draw < 0.45:
        return text.lower()
    if draw < 0.5:
        return text.upper()
    return capital(text) if draw < 0.85 else text


def field_of_study(rng: random.Random) -> str:
    """Something that a question can be about, mostly nonsense."""
    first = rng.choice((made_up_word(rng), rng.choice(THINGS), rng.choice(ANIMALS)))
    return first + rng.choice(("s", " theory", " science", " history", "", "ism", "ology", "ing"))


def with_subjects(rng: random.Random, question: str) -> str:
    """Fill the slots of a question about the world; a part of the subjects is made up."""
    pools: dict[str, Callable[[], str]] = {
        "country": lambda: rng.choice((*COUNTRIES, capital(made_up_word(rng)))),
        "person": lambda: rng.choice((*PEOPLE, *PEOPLE, *NAMES, capital(made_up_word(rng)))),
        "name": lambda: capital(rng.choice((rng.choice(NAMES), made_up_word(rng)))),
        "field": lambda: rng.choice((rng.choice(FIELDS), rng.choice(FIELDS), field_of_study(rng))),
        "language": lambda: rng.choice(LANGUAGES),
        "program": lambda: rng.choice(PROGRAMS), "sentence": lambda: rng.choice(SENTENCES),
        "animal": lambda: rng.choice(ANIMALS), "thing": lambda: rng.choice(THINGS),
        "a_animal": lambda: with_article(rng.choice(ANIMALS)),
        "word": lambda: made_up_word(rng),
        "a_thing": lambda: with_article(rng.choice(THINGS)),
        "n": lambda: str(rng.randrange(10 ** rng.choice((1, 2, 3)))),
    }  # fmt: skip
    for slot, draw in pools.items():
        while f"[{slot}]" in question:
            question = question.replace(f"[{slot}]", draw(), 1)
    return question


@dataclass(frozen=True, slots=True)
class Wanted:
    """The hero and the plot that a story shall have, and what is said before it."""

    kind: str | None = None
    theme: str | None = None
    apology: str = ""

    def hero(self, rng: random.Random) -> str:
        """The kind, or any."""
        return self.kind or rng.choice(tuple(HEROES))


# intents: each adds one exchange -----------------------------------------------------------------
def how_to(rng: random.Random, state: State) -> None:
    """A question about Lepton's commands."""
    topic = rng.choice(TOPICS)
    ways = [(ASK_VERB, topic.verbs), (ASK_NOUN, topic.nouns), (BARE, topic.nouns)]
    frames, phrases = rng.choice([*ways, (BARE, topic.asks)] if topic.asks else ways)
    question = choose(rng, frames, x=choose(rng, phrases.split("; ")))
    state.say(as_typed(rng, reword(rng, question)), choose(rng, (topic.answer,)))


def about_itself(rng: random.Random, state: State) -> None:
    """A question about the model."""
    questions, answers = rng.choice(SELF)
    state.say(as_typed(rng, choose(rng, questions)), choose(rng, answers))


def small_talk(rng: random.Random, state: State) -> None:
    """Greetings, moods, thanks, jokes; the greeting is the commonest first word."""
    pair = TALK[0] if not state.turns and rng.random() < 0.3 else rng.choice(TALK)
    question = with_subjects(rng, choose(rng, pair[0]))
    state.say(as_typed(rng, question), choose(rng, pair[1]))


def outside(rng: random.Random, state: State) -> None:
    """A question that such a small model cannot answer, and a plain refusal."""
    questions, answers, _ = rng.choices(OUTSIDE, weights=[entry[2] for entry in OUTSIDE])[0]
    state.say(as_typed(rng, with_subjects(rng, choose(rng, questions))), choose(rng, answers))


def story(rng: random.Random, state: State) -> None:
    """A request for a story, and the story; after one, sometimes just for another."""
    about, wanted = (wish if rng.random() < 0.8 else strange_wish)(rng)
    size = rng.choices(("", "short ", "bedtime ", "little "), weights=(8, 2, 2, 1))[0]
    question = choose(rng, STORY_ASKS, size=size, about=about)
    if about and about not in question:
        wanted = Wanted()
    if rng.random() < (0.8 if state.after_story else 0.05):
        question, wanted = another(rng)
    told = tell_story(rng, wanted.hero(rng), wanted.theme, "bedtime" in question)
    state.say(as_typed(rng, question, typos=False), wanted.apology + told, is_story=True)


def another(rng: random.Random) -> tuple[str, Wanted]:
    """A request for one more story, of any kind or a named one."""
    if rng.random() < 0.5:
        return choose(rng, MORE), Wanted()
    kind = rng.choice(tuple(HEROES))
    return choose(rng, MORE_ABOUT, x=with_article(kind)), Wanted(kind)


def wish(rng: random.Random) -> tuple[str, Wanted]:
    """What a story shall be about, in words and as facts."""
    kind, draw = rng.choice(tuple(HEROES)), rng.random()
    if draw < 0.2:
        return "", Wanted()
    if draw < 0.35:
        theme = rng.choice(tuple(PLOTS))
        return f" about {rng.choice(PLOTS[theme][0])}", Wanted(theme=theme)
    form = rng.choice(("a {}", "a {}", "a {}", "a little {}", "the {}", "my {}", "{}", "a big {}"))
    words = form.format(kind).replace("a " + kind, with_article(kind))
    rest = "" if rng.random() < 0.8 else rng.choice(
        (" and a friend", " who is lost", " who cannot sleep", " in a forest", " who flies",
         " that learns to swim", " and a treasure", " in winter", " on the moon")
    )  # fmt: skip
    return f" about {words}{rest}", Wanted(kind)


def strange_wish(rng: random.Random) -> tuple[str, Wanted]:
    """A hero that the model has no story for, or a name: it says so and tells another."""
    kind = rng.choice(tuple(HEROES))
    if rng.random() < 0.5:
        name = capital(rng.choice((rng.choice(NAMES), made_up_word(rng))))
        called = rng.choice(("named", "called", "whose name is"))
        about = f" about {rng.choice((with_article(kind), f'my {kind}'))} {called} {name}"
        return about, Wanted(kind, apology=f"In my stories, every {kind} is {name_of(kind)}.\n\n")
    subject = rng.choice((rng.choice(THINGS), rng.choice(THINGS), made_up_word(rng)))
    about = f" about {rng.choice((with_article(subject), f'the {subject}'))}"
    return about, Wanted("fox", apology="I have no story about that, but one about a fox.\n\n")


def poem(rng: random.Random, state: State) -> None:
    """A request for a poem, and four lines; for most subjects, lines that are about none."""
    kind = rng.choice(ANIMALS) if rng.random() < 0.5 else None
    form = rng.choice(("a {}", "the {}", "{}")).format(kind) if kind else rng.choice(FEELINGS)
    asked = kind is not None or rng.random() < 0.5
    form = with_article(kind) if kind and form.startswith("a ") else form
    question = choose(rng, POEM_ASKS, x=form) if asked else choose(rng, POEM_PLAIN)
    state.say(as_typed(rng, question, typos=False), tell_poem(rng, kind))


INTENTS: tuple[tuple[Callable[[random.Random, State], None], float], ...] = (
    (how_to, 44), (small_talk, 20), (outside, 18), (about_itself, 12), (story, 13), (poem, 2),
)  # fmt: skip


def conversation(rng: random.Random) -> list[Turn]:
    """One dialogue of one to twelve exchanges, sometimes with a system prompt that does little."""
    state = State()
    if rng.random() < 0.1:
        state.turns.append(Turn("system", rng.choice(SYSTEMS)))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 12))):
        if state.after_story and rng.random() < 0.3:
            story(rng, state)
        else:
            rng.choices([i for i, _ in INTENTS], weights=[w for _, w in INTENTS])[0](rng, state)
    return state.turns


def plain_story(rng: random.Random) -> str:
    """A story without a question, for completion of raw text."""
    return tell_story(rng, rng.choice(tuple(HEROES)))
