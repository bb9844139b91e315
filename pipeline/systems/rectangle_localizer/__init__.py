"""Rectangle localizer: one box per image, from a frozen ImageNet network and a single dense layer."""
