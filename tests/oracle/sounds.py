"""Small sounds of every format that is read, written by libsndfile, and their samples as it reads them.

Writes the folder `sounds` and `sounds.json` beside this file; the tests in `src/signal/sound.rs` read both and compare.

    pip install "soundfile==0.14.*" numpy && python tests/oracle/sounds.py
"""

import json
import pathlib

import numpy as np
import soundfile

FILES = [
    # name, rate, channels, frames, container, subtype
    ("u8.wav", 8000, 1, 25, "WAV", "PCM_U8"),
    ("s16.wav", 44100, 2, 24, "WAV", "PCM_16"),
    ("s24.wav", 48000, 1, 25, "WAV", "PCM_24"),
    ("s24x.wav", 96000, 3, 12, "WAVEX", "PCM_24"),
    ("s32.wav", 22050, 1, 24, "WAV", "PCM_32"),
    ("f32.wav", 16000, 2, 24, "WAV", "FLOAT"),
    ("f64.wav", 44100, 1, 24, "WAV", "DOUBLE"),
    ("f32x.wav", 44100, 2, 12, "WAVEX", "FLOAT"),
    ("ulaw.wav", 8000, 1, 24, "WAV", "ULAW"),
    ("s16.flac", 16000, 2, 40, "FLAC", "PCM_16"),
    ("s24.flac", 44100, 1, 40, "FLAC", "PCM_24"),
    ("s8.flac", 8000, 1, 40, "FLAC", "PCM_S8"),
]

here = pathlib.Path(__file__).parent
(here / "sounds").mkdir(exist_ok=True)
results = []
for name, rate, channels, frames, container, subtype in FILES:
    t, c = np.mgrid[:frames, :channels]
    samples = 0.9 * np.sin(0.7 * t + 1.3 * c) + 0.1 * np.cos(2.9 * t)
    # Full scale at both ends: integers clip there.
    samples[0], samples[1] = -1.0, 1.0
    path = here / "sounds" / name
    soundfile.write(path, samples, rate, format=container, subtype=subtype)
    back, back_rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert back.shape == samples.shape and back_rate == rate
    results.append({
        "file": name, "rate": rate, "channels": channels, "subtype": subtype,
        "samples": [float(v) for v in back.ravel()],
    })

(here / "sounds.json").write_text("[\n" + ",\n".join("  " + json.dumps(r) for r in results) + "\n]\n")
