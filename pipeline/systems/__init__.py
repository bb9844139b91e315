"""One folder per system: its parameters, its targets and how to decode them, its model and losses."""
