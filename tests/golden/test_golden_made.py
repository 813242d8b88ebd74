"""The committed golden files and their table are what make_golden.py writes."""

import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent
CODE = {".py", ".md", ".pyc"}


def tree(root):
    """Every file by its path: its bytes, or where a link leads."""
    found = {}
    for path in root.rglob("*"):
        if path.suffix in CODE or (path.is_dir() and not path.is_symlink()):
            continue
        name = str(path.relative_to(root))
        found[name] = str(path.readlink()) if path.is_symlink() else path.read_bytes()
    return found


def test_golden_files_are_as_made(tmp_path):
    subprocess.run([sys.executable, "-B", str(FOLDER / "make_golden.py"), str(tmp_path)], check=True)
    made, committed = tree(tmp_path), tree(FOLDER)
    assert sorted(made) == sorted(committed)
    assert [name for name in made if made[name] != committed[name]] == []
