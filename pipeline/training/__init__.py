"""Input, fitting and callbacks. Knows no system: model and losses are handed in."""
