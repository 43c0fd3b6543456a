#!/usr/bin/env python3
"""Cuts every fenced example of a specification into a file of its own.

    tests/golden/cut.py SPECIFICATION FOLDER

The names are number, heading and language of the example: 03-execute-code.json. What is not an
example (a diagram: a fence without a language) is left out. The folder is emptied first.
"""
import pathlib
import re
import sys


def examples(text):
    heading, language, lines = "", None, []
    for line in text.splitlines():
        fence = re.match(r"\s*```(\w*)\s*$", line)
        if fence and language is None:
            language, lines = fence[1], []
        elif fence:
            yield heading, language, "\n".join(lines) + "\n"
            language = None
        elif language is not None:
            lines.append(line.rstrip())
        elif line.startswith("#"):
            heading = line.lstrip("# ").strip()


def slug(heading):
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def main(specification, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    cut = examples(pathlib.Path(specification).read_text())
    for number, (heading, language, text) in enumerate((it for it in cut if it[1]), 1):
        (folder / f"{number:02}-{slug(heading)}.{language}").write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
