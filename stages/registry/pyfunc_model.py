"""The registered generator as MLflow opens it: MLflow runs this file where the model is loaded, without this project.

The model's artifact folder holds weights, card.json and, under code/, the files of `gan` that open this generator. They are
imported under a name made from their content, so that versions with different code live in one process.
"""

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel


def import_code(folder: Path) -> ModuleType:
    """The package of a folder, as ganline_<hash of its files>."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    name = f"ganline_{digest.hexdigest()[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder} holds no code that Python can import")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return importlib.import_module(f"{name}.generator")


class GeneratorModel(PythonModel):
    """Seeds, and labels if wanted, to images."""

    def load_context(self, context) -> None:
        """Open the generator; its weights must have the SHA-256 that its card gives."""
        folder = Path(context.artifacts["generator"])
        self.generator = import_code(folder / "code").load(folder)

    def predict(self, context, model_input: pd.DataFrame, params=None) -> np.ndarray:
        """Columns `seed` (>= 0) and, if wanted, `label` -> images (N, H, W, C) uint8; a row is always the same image."""
        rows = pd.DataFrame(model_input)
        labels = rows["label"].to_numpy(np.int64) if "label" in rows and rows["label"].notna().any() else None
        return self.generator.sample(rows["seed"].to_numpy(np.int64), labels).transpose(0, 2, 3, 1)


mlflow.models.set_model(GeneratorModel())
