"""Everything except the screen: models on disk, text, sampling, answers, chats, batches.

Its rooms, the lower ones first; none imports from one below it in this list:

library      models and files on this disk, by name
text         templates, tokenizers, text as it streams out
sampling     choosing the next token
constraints  answers of a required form
loading      a model file: what it holds, opening it, memory, placement
prefixes     the prompt cache on disk
decoding     generating answers
chat         conversations, saving and resuming
jobs         batches, also on a cluster
measure      benchmarks, and the findings of doctor
"""
