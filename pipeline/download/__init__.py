"""Downloads that resume: sources of files (HTTP, S3, folders), partial files, retries, checksums, and the manifest.

Code belongs here if it moves a file from a source to this machine and proves that it is the right one. This
package does not interpret the content of files: archives are read in `archives`, datasets in `datasets`.
"""
