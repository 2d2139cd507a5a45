"""Reading model files: the GGUF container, tensor formats, and conversion to and from float32.

| file | subject |
|---|---|
| `gguf.py` | the GGUF container |
| `format.py` | the table of all formats; dequantizing and quantizing a tensor's bytes |
| `floats.py` `legacy.py` `kquants.py` `iquants.py` `microscaling.py` `ternary.py` | the formats: |
| | one family per file, with its block layout and its NumPy conversions |
| `bits.py` | bit fields of bytes, half floats |
| `errors.py` | exceptions for failures that a user can cause |
"""
