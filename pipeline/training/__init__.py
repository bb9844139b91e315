"""Input, fitting and callbacks. Knows systems only through their verbs."""
