"""Pictures: tiles of square images, whole photographs, curves. Nothing here knows a model or a dataset."""
