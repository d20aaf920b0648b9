"""Rendering and page state: the only part of the library that knows Streamlit.

A folder is a page, with `draw` in its module `page`. Of what pages share, `format`, `text`, `payload` and `charts` are pure
(values in, text or plain records out); `components` mounts the elements; `session` finds the store; `state` reads and writes
the address.
"""
