"""Growing Markdown is cut into blocks that can be printed for good."""

from __future__ import annotations

import pytest

from adapters.terminal.blocks import blocks

DOCUMENT = """# Title

First paragraph
on two lines.

- one
- two

  still two

```python
def f():

    return 1
```

| a | b |
| - | - |
| 1 | 2 |

Last"""


def test_blocks_are_the_documents_parts() -> None:
    """Heading, paragraph, list, fence and table are one block each, blank lines inside them kept."""
    found = blocks(DOCUMENT)

    assert [block.split("\n")[0] for block in found] == [
        "# Title",
        "First paragraph",
        "- one",
        "```python",
        "| a | b |",
        "Last",
    ]
    assert "\n\n    return 1" in found[3]


def test_together_they_are_the_document() -> None:
    """Nothing is lost or doubled."""
    assert "\n\n".join(blocks(DOCUMENT)) == DOCUMENT


@pytest.mark.parametrize("length", range(0, len(DOCUMENT), 7))
def test_finished_blocks_stay_as_they_are(length: int) -> None:
    """While a text grows, all blocks but the last keep their form."""
    before, after = blocks(DOCUMENT[:length]), blocks(DOCUMENT[: length + 7])

    settled = before[:-1]
    assert after[: len(settled)] == settled


def test_unclosed_fence_is_one_block() -> None:
    """A code block that is still being written does not fall apart at its blank lines."""
    assert blocks("```\na\n\nb") == ["```\na\n\nb"]
