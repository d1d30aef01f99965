"""Another model goes on where the first one broke off, and the reader sees one text. Pure.

prompt.py    what the next model is asked
seam.py      where its text joins on, or whether it starts over; holds text back until that is clear
overlap.py   words it says again            preface.py   "Sure, continuing:"
fences.py    code fences it opens again     restart.py   an answer that begins from the beginning
"""

from core.continuation.prompt import anchor_of, continuation_request
from core.continuation.seam import Join, NoSafeSeam, Seam

__all__ = ["Join", "NoSafeSeam", "Seam", "anchor_of", "continuation_request"]
