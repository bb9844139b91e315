"""Snack localizer: one class and one box per photograph, from a MobileNet trained in two phases."""
