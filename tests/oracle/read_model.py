"""Loads a model with the stock `safetensors` package and checks names, shapes and metadata against its own header.

Run by tests/python.rs, or by hand:

    pip install numpy safetensors && python3 tests/oracle/read_model.py MODEL.safetensors
"""

import json
import sys

import numpy
from safetensors import safe_open

with safe_open(sys.argv[1], framework="numpy") as file:
    header = json.loads(file.metadata()["nstr"])
    tensors = {name: file.get_tensor(name) for name in file.keys()}

spec = header["spec"]
assert header["version"] == 1, header["version"]
for l, level in enumerate(spec["latent"]["levels"]):
    entries = level["table"] or (level["cells"] + 1) ** spec["dim"]
    shape = tensors.pop(f"latent.{l}.features").shape
    assert shape == (entries, spec["latent"]["features"]), (l, shape)
assert tensors.pop("basis.omega").shape == (spec["dim"], spec["basis"])
assert tensors.pop("basis.phase").shape == (spec["basis"],)
for name in ("spectrum", "decoder", "transport"):
    for l in range(spec[name]["layers"] + 1):
        weight, bias = tensors.pop(f"{name}.{l}.weight"), tensors.pop(f"{name}.{l}.bias")
        assert weight.shape[1] == bias.shape[0] and numpy.isfinite(weight).all()
assert all(name.startswith("adam.") for name in tensors), sorted(tensors)
print("ok:", header["domain"], header["provenance"], header["metrics"])
