"""The command `boxline`: one module per command, each with a function of the same name whose docstring is its help.

Commands parse arguments, call the library and print. Work that others could reuse belongs to the library packages.
"""
