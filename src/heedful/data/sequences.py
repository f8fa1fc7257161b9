"""Readers of biological sequences: FASTA files and tables of DNA, RNA or proteins."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heedful.data.columns import read_columns
from heedful.data.files import read_lines
from heedful.errors import DataError

Kind = Literal["dna", "protein"]

# what each letter may stand for: Cornish-Bowden 1985, Nucleic Acids Research 13, table 1
DNA: Mapping[str, str] = {
    **{letter: letter for letter in "ACGT"},
    **{"R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC"},
    **{"B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT"},
}
# IUPAC-IUB 1984, Pure and Applied Chemistry 56, section 3AA-20; O is pyrrolysine, U selenocysteine
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWYUO"
PROTEIN: Mapping[str, str] = {
    **{letter: letter for letter in AMINO_ACIDS},
    **{"B": "DN", "Z": "EQ", "J": "IL", "X": AMINO_ACIDS},
}
CODES: Mapping[Kind, Mapping[str, str]] = {"dna": DNA, "protein": PROTEIN}
FASTA = (".fa", ".fasta", ".fna", ".ffn", ".faa", ".fas")


@dataclass(frozen=True)
class Sequence:
    """A sequence and its label, which is empty where nobody knows it.

    Args:
        letters: In capitals; DNA has T where RNA has U.
        label: Of the whole.
        start: Where what makes the label begins, -1 where nobody knows.
        end: Where it ends.
    """

    letters: str
    label: str = ""
    start: int = -1
    end: int = -1


def is_fasta(path: Path | str) -> bool:
    """Say whether a file is named as FASTA files are; `.gz` may follow."""
    return str(path).lower().removesuffix(".gz").endswith(FASTA)


def read_sequences(
    path: Path | str,
    *,
    alphabet: Kind,
    longest: int,
    sequence: str = "sequence",
    label: str = "label",
    labelled: bool = True,
) -> Iterator[tuple[int, Sequence]]:
    """Read a file of sequences, one after the other.

    The label of a FASTA record is what stands behind the last space or `|` of its header. All
    other files are tables, as `read_columns` takes them.

    Args:
        path: A UTF-8 file; `.gz` is unpacked.
        alphabet: Of the letters.
        longest: Letters that a sequence may have.
        sequence: A column of a table, by its name or its number from 1.
        label: Another one.
        labelled: Must a FASTA header end with a label?

    Returns:
        The line of a FASTA header, or in which a row ends, and what stands there.

    Raises:
        DataError: The file cannot be used, or holds a letter of no alphabet, a sequence without
            letters or with too many, or a header without a label. Nothing is ever skipped.
    """
    settings: tuple[Kind, int] = (alphabet, longest)
    if is_fasta(path):
        yield from _fasta(Path(path), *settings, labelled=labelled)
        return
    for number, (letters, text) in read_columns(path, (sequence, label)):
        clean = checked(letters, f"{path}:{number}", alphabet=alphabet, longest=longest)
        yield number, Sequence(clean, text.strip())


def checked(letters: str, place: str, *, alphabet: Kind, longest: int) -> str:
    """Return letters in capitals, of RNA those of DNA.

    Args:
        letters: With any spaces between them.
        place: Where they stand, for messages.
        alphabet: Of them.
        longest: How many there may be.

    Raises:
        DataError: One is in no alphabet, or there is none, or there are too many.
    """
    clean = _capitals(letters, place, alphabet)
    if not clean:
        raise DataError(f"{place} must have a sequence, got no letters")
    if len(clean) > longest:
        raise DataError(
            f"{place} must have at most {longest:,} letters, got {len(clean):,}. "
            "Raise data.max_length."
        )
    return clean


def _capitals(letters: str, place: str, alphabet: Kind) -> str:
    clean = "".join(letters.split()).upper()
    if alphabet == "dna":
        clean = clean.replace("U", "T")
    codes = CODES[alphabet]
    strange = next((letter for letter in clean if letter not in codes), None)
    if strange is not None:
        name = "DNA" if alphabet == "dna" else alphabet
        known = "".join(codes)
        raise DataError(f"{place} must have letters of {name} ({known}), got {strange!r}")
    return clean


def _fasta(
    path: Path, alphabet: Kind, longest: int, *, labelled: bool
) -> Iterator[tuple[int, Sequence]]:
    header: tuple[int, str] | None = None
    parts: list[str] = []

    def record(begun: tuple[int, str]) -> tuple[int, Sequence]:
        place = f"{path}:{begun[0]}"
        letters = checked("".join(parts), place, alphabet=alphabet, longest=longest)
        return begun[0], Sequence(letters, begun[1])

    for number, line in read_lines(path):
        if line.startswith(">"):
            if header is not None:
                yield record(header)
            header, parts = (number, _label(line, f"{path}:{number}", labelled=labelled)), []
        elif header is None and line.strip():
            raise DataError(f"{path}:{number} must be a header that begins with >, got {line:.40}")
        else:
            parts.append(_capitals(line, f"{path}:{number}", alphabet))
    if header is None:
        raise DataError(f"{path} must have a sequence, got none")
    yield record(header)


def _label(line: str, place: str, *, labelled: bool) -> str:
    words = line[1:].replace("|", " ").split()
    if not labelled:
        return ""
    if len(words) < 2:
        raise DataError(
            f"{place} must end with a label behind a space or |, as in >name label, got {line:.60}"
        )
    return words[-1]
