"""The run folder: what was trained, from what, with what result."""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainer import encoder as encoders
from trainer.recipe import Recipe
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.data import Dataset

RECORD: Final = "run.json"
_PACKAGES: Final = ("emotion-stream", "torch", "transformers", "tokenizers", "accelerate", "numpy")


@dataclass(frozen=True, slots=True)
class SeedResult:
    """One trained model.

    Attributes:
        seed: Its seed.
        minutes: Wall-clock minutes of training.
        val: Figures on validation, before any temperature.
    """

    seed: int
    minutes: float
    val: dict[str, float]


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder's record.

    Attributes:
        folder: Where it lies.
        recipe: The resolved recipe.
        base: The encoder's name, as recorded in the bundle.
        base_sha256: Of the encoder's weights.
        data_source: Where the data came from, as given.
        dataset: Name, terms, fingerprint and rows by split.
        git_revision: Of the trainer's source tree; `-dirty` with uncommitted changes; None if it
            is no git checkout.
        versions: Of Python and the packages that matter.
        seeds_asked: The seeds that were to be trained.
        seeds: Those that are done.
    """

    folder: Path
    recipe: Recipe
    base: str
    base_sha256: str
    data_source: str
    dataset: dict[str, Any]
    git_revision: str | None
    versions: dict[str, str]
    seeds_asked: tuple[int, ...]
    seeds: tuple[SeedResult, ...] = ()

    @property
    def chosen(self) -> SeedResult:
        """The seed that validation chooses: highest accuracy, ties by lowest loss.

        Raises:
            SettingsError: No seed is done.
        """
        if not self.seeds:
            raise SettingsError(f"{self.folder}: no seed is trained to its end in this run")
        return min(self.seeds, key=lambda result: (-result.val["accuracy"], result.val["loss"]))

    @property
    def as_intended(self) -> bool:
        """Whether encoder and data are the recipe's own, so that what it says of them holds."""
        return (self.base, self.dataset["name"]) == (self.recipe.base, self.recipe.dataset)

    def model_folder(self, seed: int) -> Path:
        """Where a seed's model lies."""
        return self.folder / f"seed-{seed}"

    def with_seed(self, result: SeedResult, *, save: Callable[[Path], None]) -> Run:
        """Adds a trained model, written beside and renamed, then recorded."""
        target = self.model_folder(result.seed)
        partial = target.with_name(f".{target.name}.partial")
        save(partial)
        partial.rename(target)
        run = replace(self, seeds=(*self.seeds, result))
        run.write()
        return run

    def write(self) -> None:
        """Writes the record and the recipe, each beside and then renamed."""
        record = asdict(self)
        for key in ("folder", "recipe"):
            del record[key]
        if self.seeds:
            record["chosen_seed"] = self.chosen.seed
        _write(self.folder / "recipe.json", self.recipe.model_dump(mode="json"))
        _write(self.folder / RECORD, record)


def create(
    folder: Path, *, recipe: Recipe, data: Dataset, encoder: Path, seeds: tuple[int, ...]
) -> Run:
    """Makes a run folder.

    Raises:
        SettingsError: The folder exists and is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"--output {folder}: is not empty; give a new folder")
    fingerprint = data.fingerprint()
    known_data = fingerprint == recipe.dataset_fingerprint or data.source == recipe.dataset
    weights = encoders.sha256(encoder)
    known_base = weights == recipe.base_sha256 or str(encoder) == recipe.base
    run = Run(
        folder=folder,
        recipe=recipe,
        base=recipe.base if known_base else encoder.name,
        base_sha256=weights,
        data_source=str(Path(data.source).resolve()) if Path(data.source).exists() else data.source,
        dataset={
            "name": recipe.dataset if known_data else Path(data.source).name,
            "terms": recipe.dataset_terms if known_data else "unknown",
            "fingerprint": fingerprint,
            "rows": {name: len(split) for name, split in data.splits.items()},
        },
        git_revision=git_revision(),
        versions=_versions(),
        seeds_asked=seeds,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run.write()
    except OSError as error:
        raise SettingsError(f"--output {folder}: cannot be written: {error.strerror}") from error
    return run


def load(folder: Path) -> Run:
    """Reads a run folder.

    Raises:
        SettingsError: It is none, or its record is broken.
    """
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        recipe = Recipe.model_validate_json((folder / "recipe.json").read_text("utf-8"))
        record.pop("chosen_seed", None)
        seeds = tuple(SeedResult(**seed) for seed in record.pop("seeds"))
        asked = tuple(record.pop("seeds_asked"))
        return Run(folder=folder, recipe=recipe, seeds=seeds, seeds_asked=asked, **record)
    except FileNotFoundError as error:
        raise SettingsError(
            f"{folder}: no run folder ({RECORD} is missing); `emotion-trainer train` makes one"
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SettingsError(f"{folder}: its {RECORD} or recipe.json is broken: {error}") from error


def git_revision() -> str | None:
    """The commit that the trainer runs from, `-dirty` with changes or new files; else None."""
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return f"{commit}-dirty" if _git(here, "status", "--porcelain") else commit
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return answer.stdout.strip()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _write(path: Path, content: Any) -> None:  # noqa: ANN401
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
