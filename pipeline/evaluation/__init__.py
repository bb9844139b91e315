"""Detections, scores, baselines and pictures."""
