"""HTML report of a diff: one file with counts, bars per class, and previews of changed images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pipeline.diff.difference import Difference
from pipeline.diff.previews import Preview, image_change_kinds
from pipeline.diff.text_summary import BOX_KINDS, IMAGE_KINDS, notes, totals
from pipeline.html.page_template import write_html_page

TEMPLATE = Path(__file__).with_suffix(".html")

KINDS = {
    **{f"image {kind}": text for kind, text in {"added": "added", "removed": "removed", **IMAGE_KINDS}.items()},
    **{f"box {kind}": text for kind, text in {"added": "added", "removed": "removed", **BOX_KINDS}.items()},
}
"""Display names of the kinds of change."""


def write_diff_page(
    path: Path, before: str, after: str, sections: Sequence[Mapping[str, Any]], remarks: Sequence[str]
) -> None:
    """Write the page atomically.

    Args:
        path: the file to write.
        before: name of the first version.
        after: name of the second version.
        sections: one `section` per dataset.
        remarks: sentences about the comparison as a whole.

    """
    data = {"before": before, "after": after, "remarks": remarks, "datasets": sections}
    write_html_page(path, TEMPLATE, f"Data diff: {before} → {after}", data)


def section(name: str, difference: Difference, previews: Sequence[Preview]) -> dict[str, Any]:
    """Return the page's data about one dataset."""
    kinds = image_change_kinds(difference)
    reasons = sorted({*difference.before.quarantined, *difference.after.quarantined})
    return {
        "name": name,
        "is_empty": difference.is_empty,
        "totals": [asdict(total) for total in totals(difference)],
        "notes": notes(difference),
        "reasons": [
            [reason, difference.before.quarantined.get(reason, 0), difference.after.quarantined.get(reason, 0)]
            for reason in reasons
        ],
        "splits": difference.counts.splits,
        "classes": difference.counts.classes,
        "counts_before": difference.counts.before.tolist(),
        "counts_after": difference.counts.after.tolist(),
        "kinds": [
            {"key": key, "name": text, "images": int(kinds[key].sum())}
            for key, text in KINDS.items()
            if kinds[key].any()
        ],
        "images_changed": int(np.any(list(kinds.values()), axis=0).sum()),
        "previews": msgspec.to_builtins(previews),
    }
