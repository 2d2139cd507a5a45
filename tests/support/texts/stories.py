"""A text that models of children's stories predict well, the same in each run."""

import random

NAMES = ["Lily", "Tom", "Ben", "Mia", "Sam", "Sue", "Max", "Anna", "Tim", "Lucy"]
ANIMALS = ["dog", "cat", "bird", "frog", "bear", "fish", "duck", "mouse", "fox", "cow"]
THINGS = ["ball", "book", "cake", "hat", "car", "tree", "flower", "box", "toy", "stone"]
ADJECTIVES = ["big", "little", "red", "happy", "sad", "old", "new", "shiny", "soft", "brave"]
PLACES = ["park", "garden", "house", "forest", "river", "school"]
VERBS = ["saw", "found", "wanted", "liked", "lost", "took"]
SENTENCES = (
    "Once upon a time, there was a {a} {n} named {p}.",
    "{p} {v} a {a} {t} in the {l}.",
    "One day, {p} went to the {l} with a {n}.",
    '"Can I play with your {t}?" asked {p}.',
    '"Yes, you can," said the {n}. "But be careful."',
    "{p} was very {a} and ran to the {l}.",
    "The {n} {v} the {t} and smiled.",
    "They played together until it was time to go home.",
)


def story(sentences: int = 500) -> str:
    draw = random.Random(7)

    def sentence(form: str) -> str:
        return form.format(
            a=draw.choice(ADJECTIVES),
            n=draw.choice(ANIMALS),
            p=draw.choice(NAMES),
            t=draw.choice(THINGS),
            l=draw.choice(PLACES),
            v=draw.choice(VERBS),
        )

    return " ".join(sentence(draw.choice(SENTENCES)) for _ in range(sentences))
