"""How weight formats are read and multiplied: one file per format, in the folder of its family.

A file with a format's name in lower case holds its `KERNELS`; nothing else lists the formats.
"""
