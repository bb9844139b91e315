"""Boxline: from images and boxes to trained, evaluated object localizers and detectors."""
