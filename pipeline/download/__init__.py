"""Downloads that resume: sources of files (HTTP, S3, folders), partial files, retries, checksums, and the manifest.

Code belongs here if it moves a file from a source to this machine and proves that it is the right one. What a file
contains is none of its business: archives are read in `archives`, datasets in `datasets`.
"""
