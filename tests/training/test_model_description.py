from pathlib import Path

import keras
from keras import layers

from pipeline.training.model_description import model_description
from pipeline.training.report import write_report


def branched_model() -> keras.Model:
    """A model as a layer, one layer that is called twice, and two outputs."""
    pixels = layers.Input((8, 8, 3), name="image")
    backbone = keras.Model(pixels, layers.Conv2D(4, 3, name="conv")(pixels), name="backbone")
    image = layers.Input((8, 8, 3), name="image")
    features = layers.Flatten(name="flatten")(backbone(image))
    shared = layers.Dense(144, name="shared")
    summed = layers.Add(name="add")([shared(features), shared(shared(features))])
    outputs = {"bbox": layers.Dense(4, name="bbox")(summed), "label": layers.Dense(2, name="label")(features)}
    return keras.Model(image, outputs, name="example")


def test_table_and_diagram_have_every_call_of_a_layer() -> None:
    assert (
        model_description(branched_model())
        == """\
# example

21,862 parameters

| layer    | type       | output        |   parameters | inputs         |
|----------|------------|---------------|--------------|----------------|
| image    | InputLayer | B x 8 x 8 x 3 |            0 |                |
| backbone | Functional | B x 6 x 6 x 4 |          112 | image          |
| flatten  | Flatten    | B x 144       |            0 | backbone       |
| shared   | Dense      | B x 144       |       20,880 | flatten        |
| shared   | Dense      | B x 144       |       20,880 | flatten        |
| shared   | Dense      | B x 144       |       20,880 | shared         |
| add      | Add        | B x 144       |            0 | shared, shared |
| bbox     | Dense      | B x 4         |          580 | add            |
| label    | Dense      | B x 2         |          290 | flatten        |

```mermaid
flowchart TD
    n0["<b>image</b><br>InputLayer<br>B x 8 x 8 x 3"]
    n1["<b>backbone</b><br>Functional<br>B x 6 x 6 x 4"]
    n0 --> n1
    n2["<b>flatten</b><br>Flatten<br>B x 144"]
    n1 --> n2
    n3["<b>shared</b><br>Dense<br>B x 144"]
    n2 --> n3
    n4["<b>shared</b><br>Dense<br>B x 144"]
    n2 --> n4
    n5["<b>shared</b><br>Dense<br>B x 144"]
    n4 --> n5
    n6["<b>add</b><br>Add<br>B x 144"]
    n3 --> n6
    n5 --> n6
    n7["<b>bbox</b><br>Dense<br>B x 4"]
    n6 --> n7
    n8["<b>label</b><br>Dense<br>B x 2"]
    n2 --> n8
```
"""
    )


def test_description_of_a_part_ends_at_its_inputs() -> None:
    whole = branched_model()
    part = keras.Model(whole.get_layer("flatten").output, whole.output, name="heads")
    rows = [line.split("|")[1].strip() for line in model_description(part).splitlines() if line.startswith("| ")]
    assert rows == ["layer", rows[1], "shared", "shared", "shared", "add", "bbox", "label"]
    assert "backbone" not in model_description(part)


def test_curves_have_a_column_for_every_quantity_of_any_phase(tmp_path: Path) -> None:
    history = [
        {"epoch": 1, "phase": "first", "loss": 2.0, "val_loss": 3.0, "learning_rate": 0.1},
        {"epoch": 2, "phase": "second", "loss": 1.0, "val_loss": 2.0, "box_loss": 0.5, "learning_rate": 0.1},
    ]
    summary = {"images": 12, "epochs": 2, "seconds": 1.5}
    write_report(tmp_path, history, summary, branched_model())
    assert (tmp_path / "curves.csv").read_text() == (
        "epoch,phase,loss,val_loss,learning_rate,box_loss\n1,first,2.0,3.0,0.1,\n2,second,1.0,2.0,0.1,0.5\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"curves.csv", "train.json", "model.md"}
