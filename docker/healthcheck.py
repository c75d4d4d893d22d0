"""Container health check: ask a URL as the admin originator of the compose stack; 0 for 200 and the wanted text."""

import argparse
import sys
import urllib.request

ORIGINATOR = {"X-M2M-Origin": "CAdmin", "X-M2M-RI": "health", "X-M2M-RVI": "3", "Accept": "application/json"}


def main() -> int:
    """Return 0 when the answer is 200 and has the wanted text in it, else 1 with the reason on one line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("url")
    options.add_argument("--contains", default="", help="text that must be in the answer")
    chosen = options.parse_args()
    try:
        request = urllib.request.Request(chosen.url, headers=ORIGINATOR)
        with urllib.request.urlopen(request, timeout=4) as answer:
            text = answer.read().decode("utf-8", "replace")
    except (OSError, ValueError) as fault:
        print(f"{chosen.url}: {fault}")
        return 1
    if chosen.contains not in text:
        print(f"{chosen.url}: answered without {chosen.contains!r}: {text[:200]}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
