"""Checks of the tables, and the report about them."""
