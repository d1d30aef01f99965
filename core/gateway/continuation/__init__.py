"""Another model goes on where the first one broke off, and the reader sees one text. Pure but for stream.py.

prompt.py    what the next model is asked       seam.py      where its text joins on; holds it back until that is clear
overlap.py   words it says again                preface.py   "Sure, continuing:"
fences.py    code fences it opens again         restart.py   an answer that begins from the beginning
glue.py      whitespace it left out             stream.py    the `send` that each model's attempt gets
"""

from core.gateway.continuation.prompt import anchor_of, continuation_request
from core.gateway.continuation.seam import Join, NoSafeSeam, Seam
from core.gateway.continuation.stream import AttemptStream, Visible

__all__ = ["AttemptStream", "Join", "NoSafeSeam", "Seam", "Visible", "anchor_of", "continuation_request"]
