"""Centre detector: a box and classes from every cell of a feature pyramid, without anchors."""
