"""Many rows answered by one model: from the bytes of a file to results that outlive a crash.

rows (what a file holds) -> asking (what a row wants) -> planning (keys and seeds) -> running
(answers as they end) -> records (what is written of each) -> ledger (the file they are written to).
"""
