"""Which eckart the tests try: that of ECKART_BUILD (default: build/), told to all tests by these variables."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
build = pathlib.Path(os.environ.setdefault("ECKART_BUILD", str(ROOT / "build")))
os.environ.setdefault("ECKART_LIBRARY", str(build / "libeckart.so"))
os.environ.setdefault("ECKART_COMMAND", str(build / "eckart"))
# No test reaches out: models and data are made, or lie in .eckart/ already.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
sys.path.insert(0, str(ROOT / "python"))
