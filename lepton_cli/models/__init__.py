"""The models: what all decoders share, the parts that blocks are composed of, the architectures."""
