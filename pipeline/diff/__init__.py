"""What changed in a dataset between two versions: images, boxes, classes, and the page that shows it."""
