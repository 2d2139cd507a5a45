"""The architectures, a folder for each line of models: a short file each says what differs."""
