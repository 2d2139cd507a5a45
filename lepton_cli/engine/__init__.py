"""Everything but the screen: models on disk, text, sampling, answers, chats, batches.

Its rooms, the lower ones first; none imports from one below it in this list:

library      what is on this disk, by name
text         templates, tokenizers, text as it streams out
sampling     choosing the next token
constraints  answers of a given form
loading      from a file to a program that runs
prefixes     beginnings of prompts that are kept on disk
decoding     making answers
chat         conversations, saved and resumed
jobs         batches, also on a cluster
measure      what bench and doctor tell
"""
