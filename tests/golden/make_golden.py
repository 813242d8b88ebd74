"""Writes the files of this folder and expect.tsv. Standard library only, same bytes every time.

    python3 make_golden.py [DIRECTORY]     DIRECTORY: where to, default this folder

Every expectation is stated here from the format's description; `at` finds the byte where it must show.
"""

import pathlib
import sys

from golden_cases import csv_cases, directory_cases, mtx_cases, npy_cases, npz_cases, onnx_cases, safetensors_cases, torch_cases


def rows(cases):
    for case in cases:
        yield "\t".join([case.path, case.status, str(case.offset), case.text, case.warning])


def write(root, case):
    for name, content in case.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.unlink(missing_ok=True)
            path.symlink_to(content)
        else:
            path.write_bytes(content)


def main(root):
    cases = [*safetensors_cases.cases(), *npy_cases.cases(), *npz_cases.cases(), *csv_cases.cases(), *mtx_cases.cases(),
             *directory_cases.cases(), *onnx_cases.cases(), *torch_cases.cases()]
    paths = [case.path for case in cases]
    assert len(set(paths)) == len(paths), sorted(p for p in paths if paths.count(p) > 1)
    for case in cases:
        for name, content in case.files.items():
            assert len(content) < 4400, name
        write(root, case)
    (root / "expect.tsv").write_text("path\tstatus\toffset\ttext\twarning\n" + "\n".join(rows(cases)) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent))
