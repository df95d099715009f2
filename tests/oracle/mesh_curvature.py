"""Discrete curvatures of a rough little mesh by libigl, for src/geometry/curvature.rs.

Run with numpy, scipy and libigl: python3 mesh_curvature.py > mesh_curvature.json
"""

import json

import igl
import numpy as np

rng = np.random.default_rng(3)
n, m = 14, 9
u, v = np.meshgrid(np.arange(n) / n * 2 * np.pi, np.arange(m) / m * 2 * np.pi, indexing="ij")
r = 0.4 + 0.1 * rng.random(u.shape)
reach = 1.0 + r * np.cos(v)
positions = np.stack([reach * np.cos(u), reach * np.sin(u), r * np.sin(v)], -1).reshape(-1, 3)
positions = np.round(positions + 0.03 * rng.normal(size=positions.shape), 6)
faces = []
for i in range(n):
    for j in range(m):
        a, b, c, d = (((i + p) % n) * m + (j + q) % m for p, q in [(0, 0), (1, 0), (1, 1), (0, 1)])
        faces += [[a, b, c], [a, c, d]]
faces = np.array(faces, dtype=np.int64)

area = igl.massmatrix(positions, faces, igl.MASSMATRIX_TYPE_VORONOI).diagonal()
normal = -(igl.cotmatrix(positions, faces) @ positions) / area[:, None]
print(
    json.dumps(
        {
            "positions": positions.tolist(),
            "faces": faces.tolist(),
            "mean": (0.5 * np.linalg.norm(normal, axis=1)).tolist(),
            "gaussian": (igl.gaussian_curvature(positions, faces) / area).tolist(),
            "area": area.tolist(),
        }
    )
)
