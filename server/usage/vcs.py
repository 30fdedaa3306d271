"""What operations of git and of GitHub's command line do. Pure."""

from __future__ import annotations

_GIT = {
    "read_only": "branch describe diff log remote rev-parse show status blame shortlog ls-files "
    "ls-tree cat-file grep reflog rev-list merge-base name-rev for-each-ref check-ignore help "
    "version show-ref count-objects diff-tree diff-index symbolic-ref var whatchanged fsck",
    "remote_ref": "clone fetch pull push submodule ls-remote",
    "local_mutation": "add checkout cherry-pick clean commit merge mv rebase reset restore rm "
    "stash switch tag apply am init config worktree revert notes gc bisect update-index "
    "filter-branch sparse-checkout lfs",
}
GIT_KINDS = {word: kind for kind, words in _GIT.items() for word in words.split()}
GH_KINDS = {
    "api": "api", "auth": "auth_config", "config": "auth_config", "issue": "issue",
    "pr": "pull_request", "release": "release", "repo": "repository", "run": "workflow",
    "workflow": "workflow",
}  # fmt: skip


def kinds(root: str, operation: str) -> tuple[str, str]:
    """(category, mutability) of a git or gh operation."""
    if root == "gh":
        return GH_KINDS.get(operation, "other"), "github_remote"
    kind = GIT_KINDS.get(operation)
    return kind or "other", kind or "unknown"
