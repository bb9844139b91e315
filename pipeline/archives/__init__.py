"""Archives and image files: members of zip archives read in place, and images decoded with limits.

Code belongs here if it guards against corrupt or malicious files of any dataset. What the files mean is read in
`datasets`.
"""
