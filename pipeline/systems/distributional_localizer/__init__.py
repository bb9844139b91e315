"""Edge localizer: one class and one box per image, from where each edge of the box is most probable."""
