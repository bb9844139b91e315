"""One folder per dataset: where its archives come from, how a sample of them is made, how they are read."""
