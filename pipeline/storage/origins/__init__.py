"""Where files come from: folders, http(s) servers and S3 buckets, alike to those who fetch from them."""
