"""Sources of files: one module per protocol behind the interface of `base`, and `resolve`, which picks one.

A source reports the version of a file and streams its bytes. Retries, partial files and checksums belong in `download`.
"""
