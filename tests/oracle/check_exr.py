"""Reads a multi-layer EXR with the reference OpenEXR library and checks what a compositor would rely on.

Run by tests/python.rs, or by hand:

    pip install OpenEXR numpy && python3 tests/oracle/check_exr.py PICTURE.exr

The picture must hold the layers colour, depth, normal, curvature, steps, gradS, residual and S (`--layers all`).
"""

import sys

import numpy as np
import OpenEXR

with OpenEXR.File(sys.argv[1], separate_channels=True) as file:
    channels = {name: channel.pixels for name, channel in file.channels().items()}

print(sorted(channels))
expected = {"R", "G", "B", "A", "depth.ray", "depth.z", "normal.X", "normal.Y", "normal.Z", "S.000"}
expected |= {"curvature", "steps", "gradS", "residual"}
missing = expected - channels.keys()
assert not missing, f"missing {missing}"
shapes = {pixels.shape for pixels in channels.values()}
assert len(shapes) == 1, shapes
assert all(pixels.dtype == np.float32 for pixels in channels.values())

hit = np.isfinite(channels["depth.ray"])
normal = np.stack([channels[f"normal.{axis}"] for axis in "XYZ"], -1)
assert hit.any() and (~hit).any(), "expected an object and a background"
assert np.allclose(np.linalg.norm(normal[hit], axis=-1), 1, atol=1e-4)
assert (normal[~hit] == 0).all()
assert (channels["curvature"][~hit] == 0).all() and (channels["residual"] >= 0).all()
assert (channels["depth.z"][hit] <= channels["depth.ray"][hit]).all()
assert np.isfinite(np.stack([channels[c] for c in "RGBA"])).all()
print(f"{hit.mean():.1%} hit, depth {channels['depth.ray'][hit].min():.4f} to {channels['depth.ray'][hit].max():.4f}: ok")
