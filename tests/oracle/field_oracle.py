"""Values and gradients of small fields in float64, by reverse-mode differentiation (nested for the gradients of ∇f and ∇S).

An implementation apart from the crate's: it knows only the formulas in `src/spec/field_spec.rs` and the parameter layout.
Writes `field_oracle.safetensors` beside this file; `src/backend/suite.rs` compares the judge with it.

    pip install numpy autograd safetensors && python tests/oracle/field_oracle.py
"""

import json
import pathlib

import autograd.numpy as np
import numpy
from autograd import elementwise_grad, grad
from autograd.tracer import getval
from safetensors.numpy import save_file

PRIMES = (1, 2654435761, 805459861)


def plain(value):
    while hasattr(value, "_value"):
        value = getval(value)
    return numpy.asarray(value)


def activation(name, a):
    if name == "relu":
        return np.where(plain(a) > 0, a, 0.0)
    if name == "silu":
        return a / (1.0 + np.exp(-a))
    return np.sin(a)


class Field:
    def __init__(self, spec):
        self.spec = spec
        self.dim, self.basis = spec["dim"], spec["basis"]
        modulation = spec["modulation"]
        self.channels = {"product": None, "sum": 1}.get(modulation) if isinstance(modulation, str) else modulation["channels"]
        self.spectrum_width = self.basis * (self.channels or 1)
        latent = spec["latent"]
        self.latent_width = len(latent["levels"]) * latent["features"]
        self.entries = [lv["table"] or (lv["cells"] + 1) ** self.dim for lv in latent["levels"]]
        self.grid_len = sum(self.entries) * latent["features"]
        self.layers, at = {}, self.dim * self.basis + self.basis
        inputs = {
            "spectrum": self.latent_width + (self.dim if spec["spectrum_input"] else 0),
            "decoder": (self.channels or self.basis) + (self.latent_width if spec["skip"] else 0),
            "transport": self.dim + self.spectrum_width,
        }
        outputs = {"spectrum": self.spectrum_width, "decoder": spec["outputs"], "transport": self.spectrum_width * self.dim}
        for name in ("spectrum", "decoder", "transport"):
            sizes = [inputs[name]] + [spec[name]["width"]] * spec[name]["layers"] + [outputs[name]]
            self.layers[name] = []
            for a, b in zip(sizes, sizes[1:]):
                self.layers[name].append((at, a, b))
                at += a * b + b
        self.net_len = at

    def mlp(self, name, net, x):
        layers = self.layers[name]
        for l, (at, a, b) in enumerate(layers):
            x = np.dot(x, np.reshape(net[at : at + a * b], (a, b))) + net[at + a * b : at + a * b + b]
            if l + 1 < len(layers):
                x = activation(self.spec[name]["activation"], x)
        return x

    def latent(self, grid, x):
        latent, first, columns = self.spec["latent"], 0, []
        features = latent["features"]
        for level, entries in zip(latent["levels"], self.entries):
            cells = level["cells"]
            inside = (plain(x) >= 0) & (plain(x) <= 1)
            g = np.where(inside, x, numpy.clip(plain(x), 0, 1)) * cells
            cell = numpy.minimum(numpy.floor(plain(g)), cells - 1).astype(numpy.int64)
            t = g - cell
            if latent["interpolation"] == "smoothstep":
                t = t * t * (3.0 - 2.0 * t)
            table = np.reshape(grid[first * features : (first + entries) * features], (entries, features))
            z = 0.0
            for corner in range(2**self.dim):
                bits = [(corner >> j) & 1 for j in range(self.dim)]
                index = numpy.zeros(len(cell), dtype=numpy.int64)
                weight = 1.0
                for j, bit in enumerate(bits):
                    vertex = cell[:, j] + bit
                    if level["table"]:
                        index ^= (vertex * PRIMES[j]) & 0xFFFFFFFF
                    else:
                        index += vertex * (cells + 1) ** j
                    weight = weight * (t[:, j] if bit else 1.0 - t[:, j])
                if level["table"]:
                    index %= level["table"]
                z = z + np.reshape(weight, (-1, 1)) * table[index]
            columns.append(z)
            first += entries
        return np.concatenate(columns, axis=1)

    def both(self, grid, net, x):
        z = self.latent(grid, x)
        s = self.mlp("spectrum", net, np.concatenate([z, x], axis=1) if self.spec["spectrum_input"] else z)
        d, k = self.dim, self.basis
        wave = np.sin(np.dot(x, np.reshape(net[: d * k], (d, k))) + net[d * k : d * k + k])
        if self.channels is None:
            m = s * wave
        else:
            m = np.sum(np.reshape(s, (-1, k, self.channels)) * np.reshape(wave, (-1, k, 1)), axis=1)
        return self.mlp("decoder", net, np.concatenate([m, z], axis=1) if self.spec["skip"] else m), s

    def forward(self, grid, net, x):
        return self.both(grid, net, x)[0]

    def full(self, grid, net, x):
        f, s = self.both(grid, net, x)

        def gradients(which, count):
            slopes = [elementwise_grad(lambda y, c=c: self.both(grid, net, y)[which][:, c])(x) for c in range(count)]
            return np.concatenate(slopes, axis=1)

        transport = self.mlp("transport", net, np.concatenate([x, s], axis=1))
        return np.concatenate([f, gradients(0, self.spec["outputs"]), s, gradients(1, self.spectrum_width), transport], axis=1)


def mlp(layers, width, name="relu"):
    return {"layers": layers, "width": width, "activation": name}


def spec(dim, levels, features, **changes):
    latent = {
        "levels": [{"cells": c, "table": t} for c, t in levels],
        "features": features,
        "interpolation": changes.pop("interpolation", "linear"),
    }
    base = dict(dim=dim, outputs=1, latent=latent, basis=4, modulation="product", spectrum=mlp(1, 6), spectrum_input=False)
    base.update(decoder=mlp(2, 5), skip=True, transport=mlp(2, 4))
    base.update(changes)
    return base


CASES = {
    "dense3": spec(3, [(3, None)], 2),
    "pyramid2": spec(2, [(2, None), (5, None)], 2, outputs=2, spectrum=mlp(2, 5, "silu"), decoder=mlp(1, 7, "sine")),
    "hash3": spec(3, [(2, None), (9, 32), (700, 64)], 1, modulation={"channels": 3}, interpolation="smoothstep"),
    "sum1": spec(1, [(6, None)], 3, modulation="sum", skip=False, spectrum_input=True, spectrum=mlp(0, 1), decoder=mlp(1, 6, "silu")),
    "smooth3": spec(3, [(3, None)], 2, interpolation="smoothstep", decoder=mlp(2, 6, "silu"), spectrum_input=True),
}


def main():
    random = numpy.random.default_rng(7)
    tensors, metadata = {}, {}
    f32 = lambda a: numpy.float32(a).astype(numpy.float64)
    for name, case in CASES.items():
        field, n = Field(case), 7
        grid, net = f32(random.normal(size=field.grid_len)), f32(random.normal(size=field.net_len) * 0.6)
        net[: field.dim * field.basis] *= 8
        x = f32(random.uniform(-0.05, 1.05, size=(n, field.dim)))
        value, full = field.forward(grid, net, x), field.full(grid, net, x)
        weight, weight_full = f32(random.normal(size=value.shape)), f32(random.normal(size=full.shape))
        loss = lambda g, p, y: np.sum(field.forward(g, p, y) * weight)
        loss_full = lambda g, p: np.sum(field.full(g, p, x) * weight_full)
        parts = {"grid": grid, "net": net, "x": x, "value": value, "full": full, "weight": weight, "weight_full": weight_full}
        for i, of in enumerate(("d_grid", "d_net", "d_x")):
            parts[of] = grad(loss, i)(grid, net, x)
        for i, of in enumerate(("d_grid_full", "d_net_full")):
            parts[of] = grad(loss_full, i)(grid, net)
        tensors.update({f"{name}.{part}": numpy.ascontiguousarray(array) for part, array in parts.items()})
        metadata[name] = json.dumps(case)
    path = pathlib.Path(__file__).with_name("field_oracle.safetensors")
    save_file(tensors, path, metadata)
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
