"""What a run made, kept so that it can be found and had again: objects in the remote, commits on the branch `runs`."""
