"""The built-in running text: Python's language reference, which comes with every Python."""

from pydoc_data.topics import topics


def python_reference() -> str:
    """Return the topics of `help()`, each paragraph once.

    Topics quote each other: of a paragraph that stands in several the first one stays, and the
    longest topics come first, so that what is held out at the end was not read before.

    Returns:
        About 370,000 characters in Python 3.11; another Python has another edition.

    Source:
        The Python Language Reference, as the running Python carries it for `help("assert")`.
    """
    seen: set[str] = set()
    kept: list[str] = []
    for topic in sorted(topics, key=lambda topic: (-len(topics[topic]), topic)):
        for paragraph in topics[topic].split("\n\n"):
            if paragraph.strip() and paragraph.strip() not in seen:
                seen.add(paragraph.strip())
                kept.append(paragraph.strip("\n"))
    return "\n\n".join(kept) + "\n"
