"""The centre detector starts from random weights. dvc.yaml names this file for every system."""
