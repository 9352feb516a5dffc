"""`make comment`: a Markdown file as the comment on the branch's pull request, one that is renewed.

Where and as whom is what a workflow of GitHub has in its environment: GITHUB_API_URL,
GITHUB_REPOSITORY, GITHUB_REF_NAME, and GITHUB_TOKEN, which may write to pull requests. Needs Python
alone: the job that holds that token installs nothing.
"""

import argparse
import json
import os
import sys
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

MARK = "<!-- what this branch changes -->"  # tells our comment from others'
NAMES = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_REF_NAME", "GITHUB_TOKEN")
PAGE = 100  # comments in an answer: GitHub's most
SECONDS = 60  # to wait for an answer


class Repository:
    """A repository on GitHub, as its REST API has it. Raises OSError if that does not answer."""

    def __init__(self, api: str, name: str, token: str) -> None:
        self.url, self.owner = f"{api}/repos/{name}", name.partition("/")[0]
        self.headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
        }

    def ask(self, method: str, path: str, content: dict[str, str] | None = None) -> Any:
        """The answer to a request."""
        data = None if content is None else json.dumps(content).encode()
        # S310: the runner names the URL
        request = Request(f"{self.url}/{path}", data, self.headers, method=method)  # noqa: S310
        with urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            return json.load(answer)

    def pull_requests(self, branch: str) -> list[int]:
        """The numbers of the open ones from a branch of this repository, not of a fork."""
        words = urlencode({"head": f"{self.owner}:{branch}", "state": "open"})
        return [each["number"] for each in self.ask("GET", f"pulls?{words}")]

    def own_comment(self, number: int) -> int | None:
        """The id of the comment with our mark on a pull request."""
        for page in count(1):
            path = f"issues/{number}/comments?per_page={PAGE}&page={page}"
            comments = self.ask("GET", path)
            for comment in comments:
                if comment["body"].startswith(MARK):
                    return int(comment["id"])
            if len(comments) < PAGE:
                break
        return None

    def comment(self, number: int, text: str) -> None:
        """Say `text` on a pull request, in the place of what we said before."""
        body = {"body": f"{MARK}\n{text}"}
        if (known := self.own_comment(number)) is not None:
            self.ask("PATCH", f"issues/comments/{known}", body)
        else:
            self.ask("POST", f"issues/{number}/comments", body)
        print(f"commented on pull request {number}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("text", type=Path, help="a Markdown file")
    given = parser.parse_args()
    missing = [name for name in NAMES if not os.environ.get(name)]
    if missing:
        sys.exit(f"comment: not in the environment: {', '.join(missing)}")
    api, name, branch, token = (os.environ[name] for name in NAMES)
    text = given.text.read_text(encoding="utf-8")
    repository = Repository(api, name, token)
    numbers = repository.pull_requests(branch)
    if not numbers:
        print(f"no open pull request from {branch}: nothing to comment on")
    for number in numbers:
        repository.comment(number, text)


if __name__ == "__main__":
    try:
        main()
    except (OSError, HTTPException, ValueError) as problem:
        sys.exit(f"comment: {problem}")
