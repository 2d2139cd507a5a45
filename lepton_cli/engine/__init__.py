"""Everything except the screen: models on disk, text, sampling, answers, chats, batches, tools.

Its rooms, the lower ones first; none imports from one below it in this list:

events       what an answer tells while it is generated
library      models and files on this disk, by name
text         templates, tokenizers, text as it streams out
sampling     choosing the next token
constraints  answers of a required form
loading      a model file: what it holds, opening it, memory, placement
hub          downloading models
files        model files whole: checking, comparing, writing, splitting, merging
converting   models of transformers as GGUF files
decoding     generating answers
embedding    vectors of texts
prefixes     the prompt cache on disk
model        an open model
chat         conversations, saving and resuming
jobs         batches, also on a cluster
vectors      files of texts to vectors, and the nearest ones
loss         how well a model predicts a text, and how far another is from it
imatrix      which columns of its weights a model uses
measure      benchmarks, and the findings of doctor
pruning      leaving parts out of a model
shrinking    fewer bits for a model's weights
drafting     which draft makes a model answer fastest
"""
