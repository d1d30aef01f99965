"""OCR: reads the printed words in a picture with Debian's tesseract, where it is installed. Runs in the worker.

Letters only: what a picture shows, nobody here can see without a vision model. Character error rate 0 to 8 % on clean
print (facts/local.md, 2026-11-22).
"""

from __future__ import annotations

import os
import shutil
import subprocess

from core.domain.errors import Unreadable
from core.files import confinement, pictures
from core.files.values import Document, PictureLimits

TESSERACT = "tesseract"
_WITHIN_S = 25.0
"""Below the sandbox's own deadline, so that no reader is left behind when the worker is replaced."""


def read(name: str, content: bytes, limits: PictureLimits) -> Document:
    """Return the words in a picture, which is opened and shrunk as for a vision model first.

    Raises:
        Unreadable: Not a picture, tesseract is not there, or it failed or took too long.
    """
    program = shutil.which(TESSERACT, path=os.defpath)
    if program is None:
        raise Unreadable(name, "nothing here can read the text in pictures")
    picture = pictures.prepare(name, content, limits)
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command; the picture comes in through the pipe
            [program, "stdin", "stdout"],
            input=picture.content,
            capture_output=True,
            timeout=_WITHIN_S,
            env={"OMP_THREAD_LIMIT": "1", "PATH": os.defpath},
            check=True,
            preexec_fn=confinement.die_with_parent,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unreadable(name, "the text in it could not be read") from error
    text = "\n".join(line.strip() for line in done.stdout.decode("utf-8", "replace").splitlines() if line.strip())
    return Document(text, "its text", complete=True)
