"""`ie push`: upload a model to the Hub."""

from __future__ import annotations

from pathlib import Path

from ie_cli.commands.console import say
from ie_cli.system.streams import open_output


def run_push(
    model: str,
    repo: str,
    *,
    private: bool,
    revision: str | None,
    message: str | None,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Check the files and upload them, or list them in a dry run."""
    from ie_cli.inference.model_paths import existing_directory, no_such_directory
    from ie_cli.inference.publishing import model_files, publish, require_repository

    directory = existing_directory(model)
    if directory is None:
        raise no_such_directory(Path(model))
    files = model_files(directory)
    require_repository(repo)
    where = f"{repo}, branch {revision}" if revision is not None else repo
    what = f"{len(files)} files, {sum(files.values()) / 1e6:,.1f} MB"
    if dry_run:
        with open_output("-") as out:
            out.writelines(f"{size}\t{name}\n" for name, size in files.items())
        if not quiet:
            say(f"{what}; without --dry-run, they would be uploaded to {where}{' (private)' if private else ''}")
        return
    if not quiet:
        say(f"uploading {what} to {where}")
    address = publish(directory, repo, files, private=private or None, revision=revision, message=message)
    with open_output("-") as out:
        out.write(f"{address}\n")
