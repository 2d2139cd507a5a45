"""The screen and the command line; nothing here sees an array.

Its rooms, the lower ones first:

terminal     text, colours, widths, notes
reports      what commands print
arguments    what is typed on the command line, in variables, in the config file
repl         the chat
commands     what each command does, a file a command

`cli.py` declares the commands; `open_model.py` opens a model as the options say.
"""
