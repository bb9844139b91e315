"""HTML pages that need no server: the base template with its styles and scripts, and the code that renders a page.

The template of a single page belongs in the package that has its content: validation, diff, training.
"""
