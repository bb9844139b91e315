"""The layers of a model in Markdown: a table, and a Mermaid diagram, which GitHub, GitLab and most editors draw."""

from typing import Any

import keras
from tabulate import tabulate


def model_description(model: keras.Model) -> str:
    """Describe the layers of a functional model, with the shape of each output for a batch of B images.

    A model that is used as a layer, such as a backbone, is one row and one node.

    Returns:
        Markdown with the table and the diagram.

    """
    nodes = _nodes(model)
    rows, lines, names = [], ["```mermaid", "flowchart TD"], {}
    for number, node in enumerate(nodes):
        layer, names[node] = node.operation, f"n{number}"
        kind, shapes = type(layer).__name__, ", ".join(_shape(tensor) for tensor in node.outputs)
        inputs = list(dict.fromkeys(_node(tensor) for tensor in node.input_tensors if _node(tensor) in names))
        parameters = layer.count_params() if isinstance(layer, keras.Layer) else 0
        rows.append([layer.name, kind, shapes, parameters, ", ".join(source.operation.name for source in inputs)])
        lines.append(f'    {names[node]}["<b>{layer.name}</b><br>{kind}<br>{shapes}"]')
        lines += [f"    {names[source]} --> {names[node]}" for source in inputs]
    table = tabulate(rows, ["layer", "type", "output", "parameters", "inputs"], "github", intfmt=",")
    total = f"{model.count_params():,} parameters"
    return "\n".join([f"# {model.name}", "", total, "", table, "", *lines, "```", ""])


def _node(tensor: Any) -> Any:
    """The call of a layer that returned the tensor."""
    layer, index, _ = tensor._keras_history
    return layer._inbound_nodes[index]


def _nodes(model: keras.Model) -> list[Any]:
    """The calls of layers from inputs to outputs, each behind those whose outputs it takes."""
    inputs, ordered = {_node(tensor) for tensor in model.inputs}, dict[Any, None]()
    pending = [(_node(tensor), False) for tensor in reversed(model.outputs)]
    while pending:
        node, sources_done = pending.pop()
        if sources_done or node in inputs:
            ordered[node] = None
        elif node not in ordered:
            pending.append((node, True))
            pending += [(_node(tensor), False) for tensor in reversed(node.input_tensors)]
    return list(ordered)


def _shape(tensor: Any) -> str:
    return " x ".join("B" if side is None else str(side) for side in tensor.shape)
