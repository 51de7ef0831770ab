"""Markdown, for a comment on a pull request or the summary of a CI job: verdict first, details folded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pytest_modelbudget.gate.verdict import Verdict
from pytest_modelbudget.profile.changes import change_of, change_text, columns_of, names_text
from pytest_modelbudget.profile.diff import Diff
from pytest_modelbudget.profile.metrics import METRICS
from pytest_modelbudget.profile.units import format_apart, format_quantity
from pytest_modelbudget.report.run import Run, Unmeasured
from pytest_modelbudget.report.verdict_text import (
    beside_limit,
    change_of_metric,
    largest_change,
    name_of,
    notes_of,
    status_of,
    to_accept,
    use_of,
)
from pytest_modelbudget.text.shares import percent

MARKER = "<!-- pytest-modelbudget -->"
"""The first line, by which a job finds its own comment again, to update it."""

COMMENT_LIMIT = 65_000
"""Characters of a comment that GitHub takes (65,536), less some for what a job adds."""

SUMMARY_LIMIT = 1_000_000
"""Bytes of a job's summary that GitHub takes (1 MiB), less some."""

_MOST_ROWS = 30
_PLAIN = re.compile(r"[A-Za-z0-9 .,%→×…/()=+≤≥·—-]")
_BACKTICKS = re.compile(r"`+")
_PIPE = "\\|"
_COSTS = ("params", "size", "macs", "peak_memory")


def to_markdown(run: Run, limit: int = COMMENT_LIMIT) -> str:
    """A run as GitHub-flavoured Markdown of at most ``limit`` bytes; what does not fit is named."""
    head = "\n".join(_head(run))
    details = [_why(each) for each in run.unmeasured if "\n" in each.message.strip()]
    details += [_details(verdict) for verdict in run.verdicts if verdict.diff]
    same = _unchanged([verdict for verdict in run.verdicts if not verdict.diff and not verdict.breaches])
    sections = [*details, *([same] if same else [])]
    while True:
        left_out = len(details) + bool(same) - len(sections)
        cut = f"\n{left_out} more sections do not fit here; `pytest -v` shows them.\n" if left_out else ""
        text = "\n".join([head, *sections]) + cut
        if len(text.encode()) <= limit or not sections:
            return text if len(text.encode()) <= limit else _cut(text, limit)
        sections.pop()


def _cut(text: str, limit: int) -> str:
    pointer = "\n\n… cut: it does not fit here; `pytest` shows all.\n"
    kept = text.encode()[: limit - len(pointer.encode())].decode("utf-8", "ignore")
    lines = kept.split("\n")[:-1]
    fences = [at for at, line in enumerate(lines) if line.startswith("```")]
    # What is cut within a block of code is left out whole, so that the pointer is no code.
    return "\n".join(lines[: fences[-1]] if len(fences) % 2 else lines) + pointer


def _head(run: Run) -> Iterator[str]:
    yield MARKER
    yield f"### {_sign(run)} Model budgets: {escaped(run.headline)}"
    yield ""
    for verdict in run.over:
        for check in verdict.breaches:
            layer = f"{code(check.layer)} " if check.layer else ""
            where = f" ({code(str(check.place))})" if check.place is not None else ""
            yield f"- **{escaped(name_of(verdict))}** {layer}{escaped(f'{check.metric} {beside_limit(check)}')}{where}"
    for each in run.unmeasured:
        yield f"- **{escaped(each.test)}** {escaped(each.message.partition(chr(10))[0])}"
    if not run.is_ok:
        yield ""
    changed = [verdict for verdict in run.verdicts if verdict.diff or verdict.breaches]
    if changed:
        yield from _limits(changed)
    yield from _accepting(run.over)
    notes = [note for verdict in run.verdicts for note in notes_of(verdict)]
    notes += [f"compared with {run.base}"] if run.base else []
    for note in (*notes, *run.notes):
        yield f"- {escaped(note)}"


def _sign(run: Run) -> str:
    if not run.is_ok:
        return "❌"
    return "✅" if run.verdicts else "⚪"


def _accepting(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """What accepts each breach; once for the models that the same command records."""
    ways: dict[tuple[str, str], list[str]] = {}
    for verdict in verdicts:
        ways.setdefault(to_accept(verdict), []).append(f"**{escaped(name_of(verdict))}**")
    for (first, command), names in ways.items():
        told = f"To accept {', '.join(names)}{', ' if first else ''}{escaped(first)}"
        if command:
            yield from (f"{told}{', then' if first else ''}:", "", code_block(command), "")
        elif first:
            yield from (f"{told}.", "")


def _limits(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """A row a limit of the whole model, and each one of a layer that is broken."""
    yield "| | model | metric | measured | limit | used | change |"
    yield "|---|---|---|---:|---:|---:|---:|"
    for verdict in verdicts:
        name = escaped(name_of(verdict))
        checks = [check for check in verdict.checks if check.layer is None or check.excess]
        for check in checks:
            metric = METRICS[check.metric]
            layer = check.layer and code(check.layer, in_table=True)
            what = " ".join(filter(None, (layer, check.metric.replace("_", " "))))
            measured, most = format_apart((check.measured, check.limit), metric)
            growth = " growth" if check.bound == "growth" else ""
            sign = "≥ " if check.bound == "min" else ""
            cells = (
                "❌" if check.excess else "✅",
                name,
                what + growth,
                measured,
                sign + most,
                "" if check.bound == "min" else percent(use_of(check)),
                change_of_metric(verdict, check.metric) if check.layer is None else "",
            )
            yield f"| {' | '.join(cells)} |"
        if not checks:
            yield f"| | {name} | no limits | | | | {escaped(largest_change(verdict))} |"
    yield ""


def _why(each: Unmeasured) -> str:
    """The whole message of what could not be measured, of which the head has the first line."""
    summary = f"<details><summary>{escaped(each.test)}: why it could not be measured</summary>"
    return "\n".join([summary, "", code_block(*each.message.strip().splitlines()), "", "</details>", ""])


def _details(verdict: Verdict) -> str:
    diff = verdict.diff
    assert diff is not None
    summary = f"{escaped(name_of(verdict))}: what changed since {escaped(verdict.since or 'the baseline')}"
    opened = " open" if verdict.breaches else ""
    return "\n".join([f"<details{opened}><summary>{summary}</summary>", "", *_changes(diff), "</details>", ""])


def _changes(diff: Diff) -> Iterator[str]:
    metrics = columns_of(diff, ())
    yield f"| layer | {' | '.join(metric.replace('_', ' ') for metric in metrics)} | change |"
    yield f"|---|{'---:|' * len(metrics)}---|"
    for row in diff.rows[:_MOST_ROWS]:
        deltas = " | ".join(f"{row.delta(metric):+,}" if row.delta(metric) else "0" for metric in metrics)
        names = code(names_text(row), in_table=True)
        yield f"| {names} |{f' {deltas} |' if metrics else ''} {escaped(change_text(row).plain)} |"
    rest = diff.rows[_MOST_ROWS:]
    if rest:
        sums = " | ".join(f"{sum(row.delta(metric) for row in rest):+,}" for metric in metrics)
        yield f"| {len(rest)} more | {sums} | `pytest -vv` shows them |"
    yield f"| {diff.unchanged:,} unchanged |{' |' * len(metrics)} |"
    yield ""
    told = [change_of(diff, key) for key in METRICS if key != "flops" and diff.delta(key)]
    yield f"In all: {escaped(', '.join(told))}." if told else "In all it costs what it did."
    yield ""


def _unchanged(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return ""
    lines = [f"<details><summary>{len(verdicts)} unchanged or new</summary>", ""]
    lines += [f"| model | {' | '.join(key.replace('_', ' ') for key in _COSTS)} | budget |"]
    lines += [f"|---|{'---:|' * len(_COSTS)}---|"]
    for verdict in verdicts:
        costs = (format_quantity(getattr(verdict.profile, key), METRICS[key]) for key in _COSTS)
        lines.append(f"| {escaped(name_of(verdict))} | {' | '.join(costs)} | {_STATUS[status_of(verdict)]} |")
    return "\n".join([*lines, "", "</details>", ""])


_STATUS = {"over": "over", "within": "within", "new": "new", "unlimited": "no limits"}


def escaped(text: str) -> str:
    """Text that shows as it is: without Markdown, HTML, mentions, references or links of its own."""
    line = " ".join(text.split())
    shown = "".join(
        letter if _PLAIN.match(letter) or (ord(letter) > 127 and letter.isprintable()) else f"&#{ord(letter)};"
        for letter in line
    )
    # GitHub makes a link of it.
    return re.sub(r"(?i)www\.", lambda found: f"{found[0][:-1]}&#46;", shown)


def code(text: str, *, in_table: bool = False) -> str:
    """Text as a code span that nothing in it can end; as an escaped text where there is no way to write it as code."""
    line = " ".join(text.split())
    if not line or not line.isprintable() or (in_table and "|" in line and "\\" in line):
        return escaped(line)
    fence = "`" * (max(map(len, _BACKTICKS.findall(line)), default=0) + 1)
    # One space at each end is not shown.
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line.replace('|', _PIPE) if in_table else line}{space}{fence}"


def code_block(*lines: str) -> str:
    """Lines as a block of code that nothing in them can end."""
    shown = ["".join(letter if letter.isprintable() else " " for letter in line).rstrip() for line in lines]
    fence = "`" * max(3, *(len(run) + 1 for line in shown for run in _BACKTICKS.findall(line)), 3)
    return "\n".join((f"{fence}console", *shown, fence))
