"""The page that shows a training: images, true and predicted boxes, epoch after epoch."""
