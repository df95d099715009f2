"""Measures of small sounds made by a formula, computed with NumPy and librosa's STFT.

Writes `sound_metrics.json` beside this file; the tests in `src/metrics/sound.rs` make the same sounds and compare.

    pip install "librosa==0.11.*" && python tests/oracle/sound_metrics.py
"""

import json
import pathlib

import librosa
import numpy as np

CASES = [
    # frames, channels, noise, gain
    (4000, 1, 0.05, 1.0),
    (3001, 2, 0.3, 0.9),
    (1025, 1, 1e-4, 0.5),
    (2048, 3, 1e-3, 1.0),
    (600, 1, 0.1, -0.7),
    (20_000, 1, 0.01, 1.1),
]


def sounds(frames, channels, noise, gain):
    t, c = np.mgrid[:frames, :channels].astype(float)
    value = 0.5 * np.sin(0.05 * t + 1e-5 * t * t + c) + 0.2 * np.sin((1.1 + 0.3 * c) * t)
    hashed = (np.arange(frames * channels).reshape(frames, channels) * 7919 + 13) % 1009
    return value, gain * value + noise * (hashed / 504.0 - 1.0)


def magnitudes(x):
    return np.abs(librosa.stft(x.T, n_fft=1024, hop_length=256, window="hann", center=True, pad_mode="reflect"))


results = []
for frames, channels, noise, gain in CASES:
    r, e = sounds(frames, channels, noise, gain)
    target = np.sum(r * e) / np.sum(r * r) * r
    a, b = magnitudes(r), magnitudes(e)
    results.append({
        "frames": frames, "channels": channels, "noise": noise, "gain": gain,
        "snr": float(10 * np.log10(np.sum(r * r) / np.sum((r - e) ** 2))),
        "si_sdr": float(10 * np.log10(np.sum(target**2) / np.sum((target - e) ** 2))),
        "spectral_convergence": float(np.linalg.norm(a - b) / np.linalg.norm(a)),
        "spectral_leakage": float(10 * np.log10(np.sum(b[a < 1e-3 * a.max()] ** 2) / np.sum(b**2))),
    })

path = pathlib.Path(__file__).with_name("sound_metrics.json")
path.write_text("[\n" + ",\n".join("  " + json.dumps(r) for r in results) + "\n]\n")
