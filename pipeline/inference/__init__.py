"""Trained models at work: the predictor, the table of detections, and `boxline predict` for images of the user.

Everything that runs a model for its predictions calls this package. Scores, errors and plots belong in `evaluation`,
and how a system decodes its outputs in `systems`.
"""
