"""The TOML file of a training as frozen pydantic models; every default stands here, only here."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from heedful.config_problems import describe
from heedful.errors import ConfigError


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


Fraction = Annotated[float, Field(ge=0, lt=1)]
# Bounds beyond all that is ever meant, and within what can be computed with.
Count = Annotated[int, Field(gt=0, le=1_000_000_000_000)]
Length = Annotated[int, Field(gt=0, le=1_000_000)]
Width = Annotated[int, Field(gt=0, le=100_000)]
Layers = Annotated[int, Field(gt=0, le=1_000)]
Positive = Annotated[float, Field(ge=1e-9, le=1e9)]
# TOML cannot write None: where None is not the default, an empty text stands for it.
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_none)]


class _Explained(type(BaseModel)):
    """Lets a call such as `Train(minuts=1)` fail in our words; pydantic makes parts without one."""

    def __call__(cls, *args: Any, **settings: Any) -> Any:
        try:
            return super().__call__(*args, **settings)
        except ValidationError as error:
            problems = describe(error, cls)  # type: ignore[arg-type]
        head = f"{cls.__name__}: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise ConfigError("\n  ".join([head, *problems]))


class _Section(BaseModel, metaclass=_Explained):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CldrData(_Section):
    """The built-in corpus: the same Unicode CLDR phrase written in two locales."""

    name: Literal["cldr"] = "cldr"
    source_locale: str = "en"
    target_locale: str = "zh_Hans"
    examples: Count = 156_000  # distinct source phrases over all three splits
    dev: Count = 1_000
    test: Count = 8_000  # so many that a loss of half a chrF can be told from chance
    max_length: Length = 256  # tokens on either side; longer pairs are left out and counted


class TsvData(_Section):
    """One file a split: source, target and anything else separated by tabs; `.gz` is unpacked."""

    name: Literal["tsv"] = "tsv"
    train: str
    dev: str
    test: str | None = None  # None: `heedful evaluate` then needs --split dev
    max_length: Length = 256


class AlignedData(_Section):
    """Two files a split, line n of one translates line n of the other; `.gz` is unpacked."""

    name: Literal["aligned"] = "aligned"
    train_source: str
    train_target: str
    dev_source: str
    dev_target: str
    test_source: str | None = None
    test_target: str | None = None
    max_length: Length = 256


class HubData(_Section):
    """A Hugging Face dataset, by name or local folder; needs the extra `hf`."""

    name: Literal["hub"] = "hub"
    path: str
    subset: str | None = None
    source: str  # a column, or "column.key" into a dictionary column, e.g. "translation.en"
    target: str
    train: str = "train"
    dev: str = "validation"
    test: OptionalText = "test"  # "": `heedful evaluate` then needs --split dev
    max_length: Length = 256


Data = Annotated[CldrData | TsvData | AlignedData | HubData, Field(discriminator="name")]


class Tokens(_Section):
    """How text becomes tokens, on each side."""

    source: Literal["words", "characters", "bpe"] = "words"
    target: Literal["words", "characters", "bpe"] = "characters"
    vocabulary: Annotated[int, Field(gt=0, le=10_000_000)] = 8_000  # upper limit on each side
    min_count: Count = 1  # rarer pieces become <unk>; in bpe, rarer pairs stay apart


class TransformerModel(_Section):
    """`heedful.models.Transformer`."""

    name: Literal["transformer"] = "transformer"
    width: Width = 128
    heads: Width = 4
    kv_heads: Width | None = None  # None: as many as heads
    encoder_layers: Layers = 2
    decoder_layers: Layers = 2
    feedforward: Length = 256
    dropout: Fraction = 0.0
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "learned", "rotary", "relative", "rotary+sinusoidal"] = (
        "rotary+sinusoidal"
    )
    tie_embeddings: bool = True  # decoder input and output embedding share one matrix


class RnnModel(_Section):
    """`heedful.models.RnnSeq2Seq`."""

    name: Literal["rnn"] = "rnn"
    width: Width = 128  # of embeddings
    hidden: Width = 192  # of each encoder direction and of the decoder
    cell: Literal["gru", "lstm"] = "gru"
    encoder_layers: Layers = 1
    attention: Literal[
        "additive", "dot", "scaled_dot", "general", "location", "coverage", "none"
    ] = "additive"
    dropout: Fraction = 0.0
    teacher_forcing: Annotated[float, Field(ge=0, le=1)] = 1.0
    input_feeding: bool = True


Model = Annotated[TransformerModel | RnnModel, Field(discriminator="name")]


class Train(_Section):
    """How long, how fast, how often. The first limit reached ends the training."""

    steps: Count | None = None
    epochs: Positive | None = None
    minutes: Positive | None = None
    tokens_per_batch: Count = 1_024
    learning_rate: Annotated[float, Field(ge=1e-12, le=1_000)] = 3e-3
    warmup: Fraction = 0.05  # share of the training
    weight_decay: Annotated[float, Field(ge=0, le=1_000)] = 0.01
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    label_smoothing: Fraction = 0.02
    clip: Positive = 1.0  # largest gradient norm
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    evaluate_every: Positive = 0.1  # share of the training
    checkpoint_seconds: Annotated[float, Field(ge=0, le=1e9)] = 30.0  # at least, between two
    patience: Count | None = None  # evaluations without a better dev loss; None: never stop
    tensorboard: bool = False


class Decode(_Section):
    """How translations are searched."""

    beam: Annotated[int, Field(gt=0, le=1_000)] = 1
    length_penalty: Annotated[float, Field(ge=0, le=10)] = 0.6
    max_length: Length = 256
    batch: Annotated[int, Field(gt=0, le=100_000)] = 64


class Config(_Section):
    """One training, whole."""

    task: Literal["translation"] = "translation"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    output: str | None = None  # run folder; None: runs/<task>-<next free number>
    data: Data = CldrData()
    tokens: Tokens = Tokens()
    model: Model = TransformerModel()
    train: Train = Train(minutes=3.75)
    decode: Decode = Decode()


def dump(config: Config) -> dict[str, Any]:
    """Plain data that `Config.model_validate` turns back into the same config."""
    return _plain(config)


def _plain(section: BaseModel) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if isinstance(value, BaseModel):
            plain[key] = _plain(value)
        elif value is not None:
            plain[key] = value
        elif field.default is not None:  # leaving it out would bring the default back
            plain[key] = ""
    return plain
