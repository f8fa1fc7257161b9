"""Sequences are read from FASTA and tables, and what is none is refused with its line."""

import gzip
import re

import pytest

from heedful.data.sequences import (
    AMINO_ACIDS,
    CODES,
    DNA,
    PROTEIN,
    Sequence,
    checked,
    is_fasta,
    read_sequences,
)
from heedful.errors import DataError

FASTA = ">one donor\nACGT\nacg u\n\n>two|chr1:5-9|none\nRYN\n"


def write(tmp_path, text, name="some.fa"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path, **settings):
    return list(read_sequences(path, **{"alphabet": "dna", "longest": 50} | settings))


def test_fasta_has_labels_in_its_headers(tmp_path):
    found = [(1, Sequence("ACGTACGT", "donor")), (5, Sequence("RYN", "none"))]
    assert read(write(tmp_path, FASTA)) == found
    packed = tmp_path / "some.fasta.gz"
    packed.write_bytes(gzip.compress(FASTA.encode()))
    assert read(packed) == found
    bare = [each.label for _, each in read(write(tmp_path, FASTA), labelled=False)]
    assert bare == ["", ""]


def test_tables_have_columns(tmp_path):
    path = write(tmp_path, "id,sequence,label\n1,acgt,yes\n2,NNA,no\n", name="some.csv")
    assert read(path) == [(2, Sequence("ACGT", "yes")), (3, Sequence("NNA", "no"))]
    path = write(tmp_path, "yes\tMKV\nno\tXBZ\n", name="some.tsv")
    found = read(path, alphabet="protein", sequence="2", label="1")
    assert [each.letters for _, each in found] == ["MKV", "XBZ"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("ACGT\n", "some.fa:1 must be a header that begins with >, got ACGT"),
        (">one\nACGT\n", "some.fa:1 must end with a label behind a space or |"),
        (">one a\nACGT\nACGJ\n", "some.fa:3 must have letters of DNA (ACGTRYSWKMBDHVN), got 'J'"),
        (">one a\nAC-GT\n", "some.fa:2 must have letters of DNA (ACGTRYSWKMBDHVN), got '-'"),
        (">one a\n>two b\nACGT\n", "some.fa:1 must have a sequence, got no letters"),
        (f">one a\nAC\n>two b\n{'A' * 51}\n", "some.fa:3 must have at most 50 letters, got 51"),
        ("\n \n", "some.fa must have a sequence, got none"),
    ],
)
def test_fasta_that_is_none_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(DataError, match=re.escape(words)):
        read(write(tmp_path, text))


def test_a_row_with_a_strange_letter_is_refused_with_its_line(tmp_path):
    path = write(tmp_path, "sequence,label\nMKV,a\nMK1,b\n", name="some.csv")
    words = "some.csv:3 must have letters of protein (ACDEFGHIKLMNPQRSTVWYUOBZJX), got '1'"
    with pytest.raises(DataError, match=re.escape(words)):
        read(path, alphabet="protein")
    with pytest.raises(DataError, match="must have one column 'label', got sequence, kind"):
        read(write(tmp_path, "sequence,kind\nMKV,a\n", name="some.csv"), alphabet="protein")


def test_codes_stand_for_letters():
    assert CODES == {"dna": DNA, "protein": PROTEIN}
    assert len(DNA) == 15
    assert len(set(DNA.values())) == 15  # every set of letters but the empty one
    assert set("".join(DNA.values())) == set("ACGT")
    assert set("".join(PROTEIN.values())) == set(AMINO_ACIDS)
    assert len(AMINO_ACIDS) == 22


def test_rna_is_read_as_dna_and_proteins_keep_their_selenocysteine():
    assert checked("acu g", "here", alphabet="dna", longest=9) == "ACTG"
    assert checked("mu", "here", alphabet="protein", longest=9) == "MU"


@pytest.mark.parametrize("name", ["a.fa", "a.FASTA", "b.fna.gz", "b.faa"])
def test_fasta_is_known_by_its_name(name):
    assert is_fasta(name)
    assert not is_fasta(f"{name}.csv")
