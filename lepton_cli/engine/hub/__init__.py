"""Downloading models: from the hub (Hugging Face) by name, and from any address.

The transport is Python's own HTTP client. huggingface_hub would not do: its plain downloads compare
no hash, use one connection, begin again after a process that was killed, and it knows no other
addresses than the hub's. Its folders are used, so that what is downloaded here is found there.
"""
