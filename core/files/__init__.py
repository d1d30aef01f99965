"""Reads what people attach: pictures, sound, text, PDF, DOCX.

`kinds.py` judges by content, never by name. `pictures.py`, `sound.py` and `documents.py` are plain functions over bytes
and run in a worker process only (`sandbox.py` is the parent's side, `sandbox_worker.py` the child's), because the
libraries beneath them read hostile files.
"""
