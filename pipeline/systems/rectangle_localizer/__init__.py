"""Rectangle localizer: one box per image, from a frozen network of photographs and a single dense layer."""
