"""Which site of a model what a probe hears belongs to."""

from collections.abc import Iterable, Sequence

from heedful.probing.unsupported import contains


def site_names(heard: Iterable[str], sites: Sequence[str]) -> dict[str, str]:
    """Return the site of each name that a probe hears: of the same name, or the one around it.

    What shares a site with another one that is heard belongs to none: it would count twice.
    """
    around = {
        name: [site for site in sites if site == name or contains(site, name)] for name in heard
    }
    found = {name: outer[0] for name, outer in around.items() if outer}
    known = list(found.values())
    return {name: site for name, site in found.items() if known.count(site) == 1}
