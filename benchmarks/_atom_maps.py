"""Does a changed reaction mapper still say which atom came from which? Its attention is the answer.

rxnmapper reads the map of a reaction off one head of one pass through its one layer: each atom of
the product came from the atom of its element among the reactants that it looks at most, and that
looks at it. The bonus for neighbours, which rxnmapper gives behind that, needs RDKit and is left
out: so more must agree here. As a metric: `--quality _atom_maps:kept`.
"""

import functools
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import heedful
from heedful.allocation.adapters.structure.outside import HeadsOfMask
from heedful.allocation.sites import find_sites
from heedful.checkpoints.folder import open_checkpoint

HEAD, PASS = 5, 10  # of rxnmapper 0.4.3
FOLDER = "ATOM_MAPS_OF"  # says where the original is
NO_LABEL = -100
ATOM = re.compile(r"\[|[BCNOSPFIbcnosp]")
ELEMENT = re.compile(r"[A-Z][a-z]?|[bcnops]")

Batch = Mapping[str, Tensor]


def kept(model: nn.Module, batches: Sequence[Batch]) -> list[float]:
    """How many of the atoms of each product come from the same atom as the original says, in %."""
    return [
        100 * float((says == said).float().mean())
        for batch in batches
        for says, said in zip(maps(model, batch), _of_original(batch), strict=True)
    ]


def maps(model: nn.Module, batch: Batch) -> list[Tensor]:
    """For each reaction the token that each atom of its product comes from.

    Where the head is no more, no atom is said to come from anywhere.
    """
    ids = _whole(batch)
    site = find_sites(model)[0][0]
    place = _place(site.of(model))
    pairs = [_atoms(row) for row in ids.tolist()]
    if place is None:
        return [torch.full((len(product),), -1) for product, _, _ in pairs]
    with torch.inference_mode(), heedful.probe(model, sites=site.name) as heard:
        model(input_ids=ids, attention_mask=batch["attention_mask"])
    weights = heard.maps(site.name, call=PASS)[:, place]
    found: list[Tensor] = []
    for (product, reactants, alike), of in zip(pairs, weights, strict=True):
        both = of[product][:, reactants] + of[reactants][:, product].T
        found.append(reactants[both.masked_fill(~alike, -1.0).argmax(1)])
    return found


def _of_original(batch: Batch) -> list[Tensor]:
    """The same of the original, which is asked once for each batch."""
    ids = _whole(batch).numpy().tobytes()
    if ids not in _SAID:
        _SAID[ids] = maps(_original(), batch)
    return _SAID[ids]


_SAID: dict[bytes, list[Tensor]] = {}


def _whole(batch: Batch) -> Tensor:
    """The tokens, also those that were hidden for the loss: they are there to be mapped."""
    ids, hidden = batch["input_ids"], batch.get("labels")
    return ids if hidden is None else ids.where(hidden == NO_LABEL, hidden)


def _place(attention: nn.Module) -> int | None:
    """Where the head stands that maps; `None` where it was left out."""
    hooks = attention._forward_pre_hooks.values()
    cut = next((hook for hook in hooks if isinstance(hook, HeadsOfMask)), None)
    if cut is None:
        return HEAD
    return cut.origin.index(HEAD) if HEAD in cut.origin else None


def _atoms(ids: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens of the product, those of the reactants, and which are of one element."""
    tokens = _reader().convert_ids_to_tokens(ids)
    arrow = tokens.index(">>")
    places = [i for i, token in enumerate(tokens) if ATOM.match(token) and token[1:4] not in NAMES]
    elements = {i: ELEMENT.search(tokens[i]).group().lower() for i in places}
    product, reactants = ([i for i in places if (i > arrow) == later] for later in (True, False))
    alike = [[elements[one] == elements[other] for other in reactants] for one in product]
    return torch.tensor(product), torch.tensor(reactants), torch.tensor(alike)


NAMES = ("CLS", "SEP", "PAD", "UNK", "MAS")  # of tokens in brackets that are no atoms


@functools.cache
def _original() -> nn.Module:
    return open_checkpoint(Path(os.environ[FOLDER])).model.eval()


@functools.cache
def _reader() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(os.environ[FOLDER])
