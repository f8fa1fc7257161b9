"""Work of a translator that is the same for every model: to write what the original wrote."""

from typing import cast

import torch
from torch import Tensor, nn

from heedful.data.ragged import Ragged
from heedful.data.tokens import BOS, PAD
from heedful.models.seq2seq import Seq2Seq
from heedful.tasks.translation.translator import Translator


class ForcedDecoding:
    """Let a model write again, step by step, what the original wrote: the same work for all.

    Args:
        translator: With the original.
        source: Texts that are read.
    """

    def __init__(self, translator: Translator, source: Ragged) -> None:
        source = source.cut(translator.model.longest)
        texts = translator.write(source, beam=1)
        order = sorted(range(len(texts)), key=lambda row: int(source.lengths[row]))
        device = next(translator.model.parameters()).device
        size = translator.decode.batch
        self.batches: list[tuple[Tensor, Tensor, Tensor, list[int]]] = []
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            # finished texts leave the batch: those that end first stand last
            rows.sort(key=lambda row: -len(texts[row]))
            tokens, lengths = (
                torch.from_numpy(array).to(device) for array in source.padded(rows, pad=PAD)
            )
            written = nn.utils.rnn.pad_sequence(
                [torch.tensor([BOS, *texts[row]]) for row in rows], batch_first=True
            ).to(device)
            self.batches.append((tokens, lengths, written, [len(texts[row]) for row in rows]))

    @torch.inference_mode()
    def __call__(self, model: nn.Module) -> None:
        """Write everything once."""
        network = cast(Seq2Seq, model)
        for tokens, lengths, written, ends in self.batches:
            state = network.start(tokens, lengths)
            active = len(ends)
            for place in range(max(ends) + 1):
                network.step(written[:active, place], state).argmax(-1)
                still = sum(end > place for end in ends)
                if not still:
                    break
                if still < active:
                    state.select(torch.arange(still, device=tokens.device))
                    active = still
