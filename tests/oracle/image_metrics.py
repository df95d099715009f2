"""PSNR and SSIM of small pictures made by a formula, measured by scikit-image.

Writes `image_metrics.json` beside this file; the tests in `src/metrics/image.rs` make the same pictures and compare.

    pip install "scikit-image==0.26.*" && python tests/oracle/image_metrics.py
"""

import json
import pathlib

import numpy as np
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

CASES = [
    # width, height, channels, noise, shift
    (40, 30, 3, 0.05, 0.0),
    (31, 77, 3, 0.4, 0.0),
    (64, 48, 1, 0.0, 0.1),
    (11, 11, 3, 0.2, -0.05),
    (12, 90, 4, 0.01, 0.0),
]


def pictures(width, height, channels, noise, shift):
    y, x, c = np.mgrid[:height, :width, :channels]
    wave = np.sin(0.23 * x + 0.011 * (y * y) + 1.7 * c)
    edge = np.where((x // 7 + y // 5) % 2 == 0, 0.15, -0.15)
    value = 0.5 + 0.3 * wave + edge
    hashed = (x * 7919 + y * 104_729 + c * 1_299_709) % 1009
    return value, np.clip(value + noise * (hashed / 504.0 - 1.0) + shift, 0.0, 1.0)


results = []
for width, height, channels, noise, shift in CASES:
    reference, measured = pictures(width, height, channels, noise, shift)
    results.append({
        "width": width, "height": height, "channels": channels, "noise": noise, "shift": shift,
        "mse": float(mean_squared_error(reference, measured)),
        "psnr": float(peak_signal_noise_ratio(reference, measured, data_range=1)),
        "ssim": float(structural_similarity(
            reference, measured, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1,
            channel_axis=-1)),
    })

path = pathlib.Path(__file__).with_name("image_metrics.json")
path.write_text("[\n" + ",\n".join("  " + json.dumps(r) for r in results) + "\n]\n")
