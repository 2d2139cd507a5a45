"""Model files read and written: the GGUF container, tensor formats, conversion to and from f32.

| file | subject |
|---|---|
| `gguf.py` `gguf_writer.py` | the GGUF container |
| `format.py` | the table of all formats; dequantizing and quantizing a tensor's bytes |
| `floats.py` `legacy.py` `kquants.py` `iquants.py` `microscaling.py` `codebooks.py` `few_bits.py` |
| | the formats: one family per file, with its block layout and its NumPy conversions |
| `bits.py` | bit fields of bytes, half floats |
| `errors.py` | exceptions for failures that a user can cause |
"""
