"""Correlations, their intervals, ranks and ROC areas by scipy, for src/diagnostics/stats.rs.

Run with numpy and scipy: python3 correlation.py > correlation.json
"""

import json

import numpy as np
from scipy import stats


def case(x, y):
    pearson = stats.pearsonr(x, y)
    low, high = pearson.confidence_interval(0.95)
    above, below = x[y > 0], x[y <= 0]
    area = stats.mannwhitneyu(above, below).statistic / (len(above) * len(below))
    return {
        "x": x.tolist(),
        "y": y.tolist(),
        "pearson": pearson.statistic,
        "pearson_low": low,
        "pearson_high": high,
        "spearman": stats.spearmanr(x, y).statistic,
        "ranks": stats.rankdata(x).tolist(),
        "auc": area,
    }


rng = np.random.default_rng(5)
a, b = rng.normal(size=(2, 40))
cases = [
    case(a, b),
    case(a, 0.8 * a + 0.3 * b),
    case(np.round(a, 1), np.round(np.exp(b) - a**3, 0)),
    case(np.arange(12.0), -np.arange(12.0) ** 3 + 300),
]
print(json.dumps(cases, indent=1))
