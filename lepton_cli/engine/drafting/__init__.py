"""Which draft guesses best for a model on a text, and the choice that `-md auto` uses."""
