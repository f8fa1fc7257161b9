"""What a checkpoint is for, as the end of its class's name says it, and how good it is at that."""

from heedful.checkpoints.folder import Checkpoint
from heedful.checkpoints.heads.base import Head
from heedful.checkpoints.heads.causal import CausalHead
from heedful.checkpoints.heads.ctc import CtcHead
from heedful.checkpoints.heads.encoder import EncoderHead
from heedful.checkpoints.heads.labels import LabelsHead
from heedful.checkpoints.heads.masked import MaskedHead
from heedful.checkpoints.heads.seq2seq import Seq2SeqHead
from heedful.checkpoints.inputs import inputs_of
from heedful.errors import UnsupportedError

# by the end of a class's name
HEADS: dict[str, type[Head]] = {
    "ForMaskedLM": MaskedHead,
    "ForCausalLM": CausalHead,
    "LMHeadModel": CausalHead,
    "ForCTC": CtcHead,
    "ForConditionalGeneration": Seq2SeqHead,
    "MTModel": Seq2SeqHead,
    "ForSequenceClassification": LabelsHead,
    "ForImageClassification": LabelsHead,
    "ForAudioClassification": LabelsHead,
    "Model": EncoderHead,
}


def head_of(checkpoint: Checkpoint, *, longest: int | None = None) -> Head:
    """Return what a checkpoint is for.

    Args:
        checkpoint: Opened.
        longest: Tokens that are read of a text; `None` means as many as usual.

    Raises:
        UnsupportedError: No head is known for its class, or it reads what nobody here can make.
        RunError: The tokeniser or another processor is missing or damaged.
    """
    name = checkpoint.architecture
    known = [end for end in HEADS if name.endswith(end)]
    if not known:
        raise UnsupportedError(
            f"the class of a checkpoint must end in {', '.join(HEADS)}, got {name}. "
            "heedful.optimize takes the model of any class, with a quality of yours"
        )
    head = HEADS[max(known, key=len)]
    return head(checkpoint, inputs_of(checkpoint, longest=longest))
