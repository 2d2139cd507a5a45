"""The screen and the command line; nothing here sees an array.

Its rooms, the lower ones first:

terminal     text, colours, widths, notes
reports      the output of commands
arguments    options: command line, variables, config file
repl         the chat
commands     what each command does, one file per command

`cli.py` declares the commands; `open_model.py` opens a model as the options say.
"""
