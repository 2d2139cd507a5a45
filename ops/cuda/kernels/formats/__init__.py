"""The weight formats: layout on the card, packing and unpacking."""
