"""Prefect flows that decide when stages run, how often they are retried and for how long they may run.

DVC alone decides what has to run. Flows start `dvc` and `boxline` as processes and import nothing of `pipeline` but
`pipeline.core`; nothing in `pipeline` imports flows.
"""
