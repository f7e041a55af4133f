"""What the checks share: the tracked C files, and a view of their text without comments and strings."""
import re
import subprocess
import sys

PLANES = ("common", "control-plane", "data-plane")


def tracked(*suffixes, under=None):
    """Tracked files with one of the suffixes, below one of the folders (or anywhere)."""
    names = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
    return [n for n in names.split("\0") if n.endswith(suffixes) and (not under or n.startswith(tuple(f"{u}/" for u in under)))]


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def code(text):
    """The text with comments, strings and character constants blanked; places stay the same."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text, flags=re.S)


def declared_name(head):
    """The word before the parenthesis that the last one of head closes; "?" when there is none."""
    head = head.rstrip()
    depth = 0
    for at in range(len(head) - 1, -1, -1):
        depth += (head[at] == ")") - (head[at] == "(")
        if depth <= 0:
            break
    name = re.search(r"([A-Za-z_]\w*)\s*$", head[:at]) if head.endswith(")") else None
    return name.group(1) if name else "?"


def functions(text):
    """(name, first line, last line) of each function; the house puts its braces into column 1."""
    lines = code(text).split("\n")
    found, start, name = [], None, None
    for i, line in enumerate(lines):
        if line.startswith("{") and i > 0:
            head = " ".join(lines[max(0, i - 8):i])
            name, start = declared_name(head), i
        elif line.startswith("}") and start is not None:
            found.append((name, start + 1, i + 1))
            start = None
    return found


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def finish(problems, summary):
    """One line when all is well; else a line per problem and exit 1."""
    for p in problems:
        print(p)
    print(f"{'FAIL' if problems else 'ok  '} {summary}" + (f" ({len(problems)} problems)" if problems else ""))
    sys.exit(1 if problems else 0)
