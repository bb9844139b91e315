"""The seven stages that dvc.yaml calls, one module each: load, call one function of the library, write."""
