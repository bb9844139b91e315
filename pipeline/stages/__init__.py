"""The ten stages that dvc.yaml calls, one module each: load, call the library, write."""
