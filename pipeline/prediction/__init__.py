"""A trained model run over images of one's own."""
