"""Upload of a model directory to the Hub."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ie_cli.errors import HubError, IEError, ModelError, RecipeError
from ie_cli.inference.integrity import require_consistent, require_undamaged
from ie_cli.inference.model_directory import (
    CARD,
    EXPORT,
    METRICS,
    NEEDED,
    ONNX,
    QUERIES,
    RECIPE,
    TOKENIZER_CONFIG,
    Form,
    choose_form,
    read_facts,
)
from ie_cli.recipe.loader import PATHS, load_recipe
from ie_cli.recipe.schema import Recipe
from ie_cli.system.urls import has_password

_MORE: dict[Form, tuple[str, ...]] = {
    "torch": (TOKENIZER_CONFIG, METRICS, CARD),
    "onnx": (TOKENIZER_CONFIG, METRICS, CARD, EXPORT, f"{ONNX}.data", QUERIES),
}
"""Optional files of a model."""
_KNOWN = frozenset(name for table in (NEEDED, _MORE) for names in table.values() for name in names)


def model_files(directory: Path) -> dict[str, int]:
    """Return the files of a trained or exported model with their sizes in bytes; other files in the directory are ignored.

    Raises:
        ModelError: the directory is not a model directory, a file is damaged or a link to another place, or the recipe
            contains a password.
    """
    form = choose_form(directory, "auto")
    facts = read_facts(directory, form)
    try:
        recipe = load_recipe(directory / RECIPE, stored=True)
    except RecipeError as error:
        raise ModelError(error.message, hint="restore the recipe of the model from a backup.") from error
    _require_no_password(directory / RECIPE, recipe)
    require_undamaged(directory, form)
    require_consistent(directory, recipe, facts.fingerprints, facts.version)
    names = [name for name in (*NEEDED[form], *_MORE[form]) if (directory / name).is_file()]
    inside = directory.resolve()
    for name in names:
        target = (directory / name).resolve()
        # The cache of huggingface_hub stores the files of a snapshot in ../../blobs.
        if target.parent not in (inside, inside.parent.parent / "blobs"):
            raise ModelError(
                f"{directory / name}: is a link to {target}, outside the model directory",
                hint="replace the link by the file if it belongs to the model.",
            )
    return {name: (directory / name).stat().st_size for name in sorted(names)}


def _require_no_password(path: Path, recipe: Recipe) -> None:
    for name, section in recipe.instances().items():
        for field in PATHS:
            value = getattr(section.data, field)
            if any(
                isinstance(url, str) and has_password(url) for url in (value if isinstance(value, list) else [value])
            ):
                task = f"tasks.{name}." if recipe.tasks else ""
                raise ModelError(
                    f"{path}: {task}data.{field} is a URL with a password, which must not be published",
                    hint="remove the password from this file; the model does not need it.",
                )


def require_repository(repo: str) -> None:
    """Check the name of a repository without a request.

    Raises:
        HubError: the name is not valid.
    """
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    with _hub_errors(repo):
        validate_repo_id(repo)


def publish(
    directory: Path,
    repo: str,
    files: Collection[str],
    *,
    private: bool | None = None,
    revision: str | None = None,
    message: str | None = None,
    token: str | None = None,
) -> str:
    """Upload files of a model directory in one commit, and return the address of the repository.

    Model files in the repository that this model does not have are deleted in the same commit, because a directory with the
    weights of one model and the graph of another would be ambiguous.

    Args:
        directory: the model directory.
        repo: the repository, ``USER/NAME``.
        files: the names of the files to upload.
        private: the visibility of a new repository; None: the default of the Hub.
        revision: the branch, created if it does not exist; None: the main branch.
        message: the commit message.
        token: an access token; None: the one from the user's login.

    Raises:
        HubError: the Hub cannot be reached or rejects the request; or `private` is set and the repository is public.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with _hub_errors(repo):
        created = api.create_repo(repo, private=private, exist_ok=True)
        address, repo = str(created), created.repo_id  # a name alone becomes USER/NAME
        if private and not api.repo_info(repo).private:
            raise HubError(
                f"{repo}: exists already and is public; nothing was uploaded",
                hint="make it private in its settings, name another repository, or upload without `private`.",
            )
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            folder_path=directory,
            allow_patterns=sorted(files),
            delete_patterns=sorted(_KNOWN - set(files)),
            revision=revision,
            commit_message=message or "Upload a model of ie",
        )
    return address


@contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    """Turn exceptions of the library into errors that name the repository."""
    try:
        yield
    except IEError:
        raise
    except Exception as error:  # the library and its HTTP client raise errors of many kinds
        first = next(iter(str(error).splitlines()), "").strip() or type(error).__name__
        raise HubError(f"{repo}: {first}", hint=_hint(error)) from error


def _hint(error: Exception) -> str:
    from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

    if isinstance(error, HFValidationError):
        return "name the repository as USER/NAME, e.g. me/quickstart."
    if isinstance(error, OfflineModeIsEnabled):
        return "unset the variable HF_HUB_OFFLINE."
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, LocalTokenNotFoundError) or status in (401, 403):
        return "log in with `hf auth login`, or set HF_TOKEN to a token with write access to the repository."
    return "check the network, and run the command again."
