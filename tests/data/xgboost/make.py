"""Write a small model and its scores with the version of xgboost that is installed.

Run once for each version, each in an environment of its own: ``python make.py``. The floats of the scores are
written in hexadecimal, so that none is rounded.
"""

import json
from pathlib import Path

import numpy as np
import xgboost

FEATURES = ["alpha", "beta", "gamma", "delta"]
FOLDER = Path(__file__).parent


def sample(n_rows: int, seed: int) -> np.ndarray:
    """Draw rows of features, a tenth of them missing."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n_rows, len(FEATURES))).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


def main() -> None:
    """Write ``VERSION.json``, ``VERSION.ubj`` and ``VERSION.scores.json`` beside this script."""
    rows = sample(3000, 1)
    labels = np.nan_to_num(rows[:, 0]) * np.nan_to_num(rows[:, 1]) + np.isnan(rows[:, 2]) > 0.5
    parameters = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": 4, "nthread": 1}
    booster = xgboost.train(parameters, xgboost.DMatrix(rows, labels, feature_names=FEATURES), 6)
    name = FOLDER / xgboost.__version__
    booster.save_model(f"{name}.json")
    booster.save_model(f"{name}.ubj")

    rows = sample(50, 2)
    matrix = xgboost.DMatrix(rows, feature_names=FEATURES)
    values = {
        "rows": rows,
        "margins": booster.predict(matrix, output_margin=True),
        "probabilities": booster.predict(matrix),
    }
    scores = {key: [float(value).hex() for value in array.ravel()] for key, array in values.items()}
    Path(f"{name}.scores.json").write_text(json.dumps(scores, indent=0) + "\n")


if __name__ == "__main__":
    main()
