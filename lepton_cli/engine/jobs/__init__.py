"""Many rows answered by one model: from the bytes of a file to results that outlive a crash.

rows (what a file holds) -> wording, openai (what a row asks, an `Ask`) -> planning (keys and seeds)
-> running (answers as they end) -> records (what is written of each) -> ledger (where it is kept).
A model here answers, or those on the workers (serving) of a cluster.
"""
