"""Rectangles: one white rectangle on black. Drawn here; published nowhere."""
