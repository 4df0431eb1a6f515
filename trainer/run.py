"""The run folder: what was trained, from what, with what result."""

from __future__ import annotations

import json
import platform
import shutil
import statistics
import subprocess
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainer import encoder as encoders
from trainer.recipe import Recipe
from trainer.sources import describe
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.data import Dataset
    from trainer.sources import Corpus

RECORD: Final = "run.json"
_PACKAGES: Final = (
    "emotion-stream",
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "numpy",
    "datasets",
)


@dataclass(frozen=True, slots=True)
class SeedResult:
    """One trained model.

    Attributes:
        seed: Its seed.
        minutes: Wall-clock minutes of training.
        val: Figures on validation, before any temperature.
        others: The same on the validation posts of the sources beside the first, by source.
    """

    seed: int
    minutes: float
    val: dict[str, float]
    others: dict[str, dict[str, float]] = field(default_factory=dict)


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
        base_source: The encoder's folder.
        sources: As `dataset`, of each data set beside the first.
        places: Where those came from, by name.
        teachers: Name, version, identity and place of each teacher.
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
    base_source: str = ""
    sources: tuple[dict[str, Any], ...] = ()
    places: dict[str, str] = field(default_factory=dict)
    teachers: tuple[dict[str, str], ...] = ()

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
        data = [self.dataset["name"], *(one["name"] for one in self.sources)]
        meant = [self.recipe.dataset, *(source.name for source in self.recipe.sources)]
        own = all(
            one["terms"] == source.terms
            for one, source in zip(self.sources, self.recipe.sources, strict=True)
        )
        return self.base == self.recipe.base and data == meant and own

    @property
    def remaining(self) -> tuple[int, ...]:
        """The seeds that are still to be trained."""
        done = {result.seed for result in self.seeds}
        return tuple(seed for seed in self.seeds_asked if seed not in done)

    def spread(self) -> dict[str, tuple[float, float]]:
        """Mean and sample standard deviation over the seeds of each figure on validation.

        Empty with fewer than two seeds.
        """
        if len(self.seeds) < 2:
            return {}
        return {
            name: (
                statistics.mean(result.val[name] for result in self.seeds),
                statistics.stdev(result.val[name] for result in self.seeds),
            )
            for name in self.chosen.val
        }

    def model_folder(self, seed: int) -> Path:
        """Where a seed's model lies."""
        return self.folder / f"seed-{seed}"

    def with_seed(
        self, result: SeedResult, *, save: Callable[[Path], None], write: bool = True
    ) -> Run:
        """Adds a trained model, written beside and renamed, then recorded."""
        run = replace(self, seeds=(*self.seeds, result))
        if not write:
            return run
        target = self.model_folder(result.seed)
        partial = target.with_name(f".{target.name}.partial")
        try:
            save(partial)
            partial.rename(target)
            run.write()
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return run

    def write(self) -> None:
        """Writes the record and the recipe, each beside and then renamed."""
        record = asdict(self)
        for key in ("folder", "recipe"):
            del record[key]
        if self.seeds:
            record["chosen_seed"] = self.chosen.seed
        if spread := self.spread():
            record["spread"] = {
                name: {"mean": round(mean, 5), "std": round(std, 5)}
                for name, (mean, std) in spread.items()
            }
        _write(self.folder / "recipe.json", self.recipe.model_dump(mode="json"))
        _write(self.folder / RECORD, record)


def create(
    folder: Path,
    *,
    recipe: Recipe,
    corpus: Corpus,
    encoder: Path,
    seeds: tuple[int, ...],
    teachers: tuple[dict[str, str], ...] = (),
    write: bool = True,
) -> Run:
    """Makes a run folder.

    Args:
        folder: Must not exist, or be empty.
        recipe: The resolved recipe.
        corpus: The data.
        encoder: The encoder's folder.
        seeds: Those that are to be trained.
        teachers: As `Run.teachers`.
        write: Whether this process writes it; of several that train together, one does.

    Raises:
        SettingsError: The folder exists and is not empty, or cannot be written.
    """
    if write and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(
            f"--output {folder}: is not empty; give a new folder, or --resume {folder} to go on "
            "with the run that is there"
        )
    data = corpus.first
    dataset = describe(
        data,
        name=recipe.dataset,
        terms=recipe.dataset_terms,
        known=data.source == recipe.dataset,
        fingerprint=recipe.dataset_fingerprint,
    )
    weights = encoders.sha256(encoder)
    known_base = weights == recipe.base_sha256 or str(encoder) == recipe.base
    run = Run(
        folder=folder,
        recipe=recipe,
        base=recipe.base if known_base else encoder.name,
        base_sha256=weights,
        data_source=_place(data),
        dataset=dataset,
        git_revision=git_revision(),
        versions=_versions(),
        seeds_asked=seeds,
        base_source=str(encoder.resolve()),
        sources=tuple(
            describe(
                other := corpus.others[source.name],
                name=source.name,
                terms=source.terms,
                known=other.source == source.name,
                fingerprint=source.fingerprint,
            )
            for source in recipe.sources
        ),
        places={name: _place(other) for name, other in corpus.others.items()},
        teachers=teachers,
    )
    if not write:
        return run
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run.write()
    except OSError as error:
        raise SettingsError(f"--output {folder}: cannot be written: {error.strerror}") from error
    return run


def check_data(run: Run, corpus: Corpus) -> None:
    """Refuses data that is not the run's.

    Raises:
        SettingsError: A fingerprint differs.
    """
    pairs = [(corpus.first, run.dataset, "")]
    pairs += [
        (corpus.others[source.name], one, f"{source.name}=")
        for source, one in zip(run.recipe.sources, run.sources, strict=True)
    ]
    for dataset, known, option in pairs:
        if dataset.fingerprint() != known["fingerprint"]:
            raise SettingsError(
                f"{dataset.source}: is not the data that {run.folder} was trained on (its "
                f"fingerprint differs); give that with --data {option}SOURCE"
            )


def _place(dataset: Dataset) -> str:
    path = Path(dataset.source)
    return str(path.resolve()) if path.exists() else dataset.source


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
        record.pop("spread", None)
        for name in ("seeds_asked", "sources", "teachers"):
            record[name] = tuple(record.get(name, ()))
        return Run(folder=folder, recipe=recipe, seeds=seeds, **record)
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
