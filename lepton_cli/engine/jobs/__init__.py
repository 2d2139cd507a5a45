"""Batch processing: from an input file to results that survive a crash.

rows (reading the file) -> wording, openai (the request of a row, an `Ask`) -> planning (keys,
seeds) -> running (generating answers) -> records (JSON of each result) -> ledger (the results
file). Answers come from a model in this process, or from the workers (serving) of a cluster.
"""
