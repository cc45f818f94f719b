"""The Hub, as far as an upload needs it, without a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from huggingface_hub import RepoUrl
from huggingface_hub.utils import filter_repo_objects


@dataclass
class FakeHub:
    """Repositories with their files by branch. It replaces the class `HfApi` and its instances.

    Attributes:
        error: raised by every request.
        calls: the requests by name, with their options.
    """

    error: Exception | None = None
    public: set[str] = field(default_factory=set)
    files: dict[tuple[str, str | None], set[str]] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, token: str | None = None) -> FakeHub:
        self.calls.append(("HfApi", {"token": token}))
        return self

    def _record(self, name: str, **options: Any) -> None:
        self.calls.append((name, options))
        if self.error is not None:
            raise self.error

    def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> RepoUrl:
        self._record("create_repo", repo_id=repo_id, private=private, exist_ok=exist_ok)
        name = repo_id if "/" in repo_id else f"me/{repo_id}"  # the user who has logged in
        return RepoUrl(f"https://hub/{name}", endpoint="https://hub")

    def repo_info(self, repo_id: str) -> SimpleNamespace:
        self._record("repo_info", repo_id=repo_id)
        return SimpleNamespace(private=repo_id not in self.public)

    def create_branch(self, repo_id: str, *, branch: str, exist_ok: bool) -> None:
        self._record("create_branch", repo_id=repo_id, branch=branch, exist_ok=exist_ok)

    def upload_folder(
        self,
        *,
        repo_id: str,
        folder_path: Path,
        allow_patterns: list[str],
        delete_patterns: list[str],
        revision: str | None,
        commit_message: str,
    ) -> None:
        self._record("upload_folder", repo_id=repo_id, revision=revision, commit_message=commit_message)
        there = self.files.setdefault((repo_id, revision), set())
        there -= set(filter_repo_objects(there, allow_patterns=delete_patterns))
        local = [path.relative_to(folder_path).as_posix() for path in folder_path.rglob("*") if path.is_file()]
        there |= set(filter_repo_objects(local, allow_patterns=allow_patterns))
