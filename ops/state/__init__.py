"""What a sequence keeps between steps: blocks of keys and values, and slots of recurrent layers."""
