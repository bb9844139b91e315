"""One folder per dataset, the interfaces and the registry of datasets, and the tables that every reader returns.

File formats that several datasets share belong in `formats`. Checks of the tables' content belong in
`pipeline.validation`, and packing for training in `pipeline.packing`.
"""
