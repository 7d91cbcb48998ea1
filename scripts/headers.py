# SPDX-License-Identifier: BSD-3-Clause
"""What the public headers declare; shared by the checks beside this file."""

import pathlib
import re
import subprocess

TOP = pathlib.Path(__file__).resolve().parent.parent


def sources(*patterns):
    """Files of the project by pattern: tracked, and new but not ignored."""
    listed = subprocess.run(
        ["git", "-C", str(TOP), "ls-files", "-co", "--exclude-standard"]
        + ["--"] + list(patterns),
        capture_output=True, text=True)
    if listed.returncode == 0:
        names = [TOP / name for name in listed.stdout.split("\n") if name]
    else:
        names = [path for pattern in patterns
                 for path in TOP.glob("**/" + pattern)
                 if not path.relative_to(TOP).parts[0].startswith("build")]
    return sorted({path for path in names if path.is_file()})


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: re.sub(r"[^\n]", " ", m[0]),
                  text, flags=re.S)


class Function:
    def __init__(self, header, name, line, doc, exported, inline, parameters,
                 returns_void):
        self.header = header
        self.name = name
        self.line = line
        self.doc = doc
        self.exported = exported
        self.inline = inline
        self.parameters = parameters
        self.returns_void = returns_void

    @property
    def where(self):
        return "%s:%d: %s()" % (self.header.relative_to(TOP), self.line,
                                self.name)


DECLARATION = re.compile(
    r"^(?P<head>[A-Za-z_][\w \t\n*]*?[\s*])(?P<name>hf_\w+)\(", re.M)


def closing(text, at):
    """Index of the parenthesis that closes the one before @at."""
    depth = 1
    while at < len(text) and depth:
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return at - 1


def split_arguments(text):
    parts, depth, current = [], 0, ""
    for letter in text:
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        if letter == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += letter
    parts.append(current)
    return [part.strip() for part in parts if part.strip()]


def parameter_name(text):
    pointer = re.search(r"\(\s*\*\s*(\w+)\s*\)", text)
    if pointer:
        return pointer[1]
    plain = re.search(r"(\w+)\s*(?:\[[^\]]*\])*$", text)
    return plain[1] if plain else text


def functions(header):
    """Each function that a public header declares or defines inline."""
    text = header.read_text()
    bare = without_comments(text)
    # A preprocessor line is no part of a declaration.
    bare = re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda m: re.sub(
        r"[^\n]", " ", m[0]), bare, flags=re.M)
    # Nor is the mark that the headers wear for C++.
    bare = bare.replace('extern "C" {', " " * 12)
    found = []
    # A body, or a structure, has no declarations of ours in it.
    depth, flat = 0, []
    for letter in bare:
        if letter == "{":
            depth += 1
            flat.append("{" if depth == 1 else " ")
        elif letter == "}":
            depth -= 1
            flat.append("}" if depth == 0 else " ")
        else:
            flat.append(letter if depth <= 0 or letter == "\n" else " ")
    flat = "".join(flat)
    for match in DECLARATION.finditer(flat):
        head = match["head"]
        if re.match(r"\s*(typedef|return|struct\s+\w+\s*$)", head):
            continue
        start = match.start()
        before = text[:start].rstrip()
        doc = None
        if before.endswith("*/"):
            opening = before.rfind("/*")
            if before[opening:].startswith("/**"):
                doc = before[opening:]
        arguments = split_arguments(
            flat[match.end():closing(flat, match.end())])
        names = [] if arguments == ["void"] else [
            "..." if a == "..." else parameter_name(a) for a in arguments]
        kind = re.sub(r"\b(HF_API|HF_MUST_CHECK|static|inline|const)\b", "",
                      head).split()
        found.append(Function(
            header, match["name"], text[:match.start("name")].count("\n") + 1,
            doc, "HF_API" in head, "inline" in head, names,
            kind == ["void"]))
    return found


def public_headers():
    return sorted((TOP / "include" / "holdfast").glob("*.h"))


def public_functions():
    return [f for header in public_headers() for f in functions(header)]
