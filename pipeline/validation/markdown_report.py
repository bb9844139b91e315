"""The report for pull requests: short, in GitHub's Markdown."""

import html
import re

import jinja2

from pipeline.core.formatting import format_percent, pluralize
from pipeline.validation.json_report import boxes_per_image_summary, passed_over_texts
from pipeline.validation.run_checks import ValidationResult

COLLAPSED_STATUSES = ("passed", "off", "not run")
"""The results of these statuses are collapsed."""

# Markdown recognizes tables and lists only after an empty line.
TEMPLATE = """\
## {{ dataset }}: {{ "fails" if failures else "passes" }}

{% for failure in failures %}
- **{{ failure }}**
{% endfor %}

{{ counts }}; {{ quarantined_rows }} in quarantine ({{ quarantined }}, the limit is {{ limit }}).

{% if passed_over %}
Passed over:

{% for text in passed_over %}
- {{ text }}
{% endfor %}

{% endif %}
| split | images | boxes | boxes per image: min | mean | median | max |
| --- | --- | --- | --- | --- | --- | --- |
{% for split in splits %}
| {{ split[0] }} | {{ split[1] }} | {{ split[2] }} | {{ split[3] }} | {{ split[4] }} | {{ split[5] }} | {{ split[6] }} |
{% endfor %}

{% if findings %}
| check | severity | status | found | first |
| --- | --- | --- | --- | --- |
{% for result in findings %}
| {{ result.name }} | {{ result.severity }} | {{ result.status }} | {{ "{:,}".format(result.count) }} |\
 {{ result.examples[0] }} |
{% endfor %}

{% endif %}
<details><summary>{{ collapsed_counts }}</summary>

| check | severity | status | thresholds | measured |
| --- | --- | --- | --- | --- |
{% for result in collapsed %}
| {{ result.name }} | {{ result.severity }} | {{ result.status }} | {{ result.thresholds | thresholds }} |\
 {{ result.measured }} |
{% endfor %}

</details>
"""


def as_markdown(dataset: str, validation: ValidationResult) -> str:
    """The verdict, the counts and the findings; the other checks are collapsed."""
    collapsed = [result for result in validation.results if result.status in COLLAPSED_STATUSES]
    numbers = {status: sum(result.status == status for result in collapsed) for status in COLLAPSED_STATUSES}
    return _template().render(
        dataset=dataset,
        failures=validation.failures(),
        counts=validation.statistics.format_counts(),
        splits=_split_rows(validation),
        quarantined_rows=pluralize(validation.quarantine.num_rows, "row", "rows"),
        quarantined=format_percent(validation.quarantined_fraction),
        passed_over=passed_over_texts(validation),
        limit=format_percent(validation.max_quarantined_fraction),
        findings=[result for result in validation.results if result.status not in COLLAPSED_STATUSES],
        collapsed=collapsed,
        collapsed_counts=", ".join(f"{number} {status}" for status, number in numbers.items() if number),
    )


def escape_markdown(text: object) -> str:
    r"""Text on one line without any markup, in tables too, whatever the name of a file is.

    >>> escape_markdown("a|b\n<c> *d*")
    'a\\|b &lt;c&gt; \\*d\\*'
    """
    line = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"[\\`*\[\]|~]|\b_|_\b", r"\\\g<0>", line)


def _split_rows(validation: ValidationResult) -> list[list[str]]:
    """Per split its counts and the statistics of boxes per image."""
    statistics = validation.statistics
    counts = zip(statistics.splits, statistics.images, statistics.boxes, statistics.boxes_per_image, strict=True)
    return [
        [split, f"{images:,}", f"{boxes:,}"]
        + ["" if value is None else f"{value:,.4g}" for value in boxes_per_image_summary(per_image).values()]
        for split, images, boxes, per_image in counts
    ]


def _template() -> jinja2.Template:
    """The template; every value in it is escaped."""
    environment = jinja2.Environment(
        finalize=escape_markdown, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["thresholds"] = _format_thresholds
    return environment.from_string(TEMPLATE)


def _format_thresholds(thresholds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in thresholds.items())
