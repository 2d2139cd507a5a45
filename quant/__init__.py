"""What the bytes of a model file mean: the container, the formats of its tensors, their weights.

| file | subject |
|---|---|
| `gguf.py` | the GGUF container |
| `format.py` | the table of all formats; from a tensor's bytes to its weights and back |
| `floats.py` `legacy.py` `kquants.py` `iquants.py` `microscaling.py` `ternary.py` | the formats: |
| | one family a file, the layout drawn and its meaning said in NumPy |
| `bits.py` | bit fields of bytes, half floats |
| `errors.py` | what a user can cause |
"""
