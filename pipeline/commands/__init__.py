"""The verbs of the command `boxline`, one module each: its words, and what it does with them."""
