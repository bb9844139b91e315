"""Files: fetched, read in place, written whole or not at all."""
