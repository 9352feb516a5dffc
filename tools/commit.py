"""`make commit`: the lock, the metrics and the params of a run, committed and pushed to its branch.

Push the data first: a lock in git names objects that others then ask the remote for.
"""

import os
import subprocess
import sys

from handwriting.core.errors import InputError

PATHS = ("dvc.lock", "metrics", "params.yaml")
# Its lock is of the machine that the README names; runs of other machines are on branches.
PROTECTED = "main"


def git(*words: str) -> str:
    """What git says; raises InputError with its error."""
    done = subprocess.run(["git", *words], capture_output=True, text=True)  # noqa: S603, S607
    if done.returncode != 0:
        raise InputError(f"git {words[0]}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def main() -> None:
    branch = os.environ.get("GITHUB_REF_NAME") or git("rev-parse", "--abbrev-ref", "HEAD")
    if branch == "HEAD":
        raise InputError("no branch is checked out: git switch to the one that ran")
    if branch == PROTECTED:
        raise InputError(f"{PROTECTED} keeps its own lock: run on another branch")
    git("add", "--", *PATHS)
    if not git("diff", "--cached", "--name-only", "--", *PATHS):
        print("nothing to commit: the run is the committed one")
        return
    message = "The lock and the metrics of a run [skip ci]"
    git("commit", "--quiet", "--message", message, "--", *PATHS)
    # A branch that has moved on meanwhile refuses this: the run of its newer commit is the one.
    git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    print(f"pushed to {branch}: {git('log', '-1', '--format=%h %s')}")


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        sys.exit(f"commit: {problem}")
