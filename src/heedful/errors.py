"""Everything heedful raises on purpose.

```text
HeedfulError
├── ConfigError (ValueError)          a setting has a value that cannot be used
├── ShapeError (ValueError)           tensors do not fit together
├── UnsupportedError (NotImplementedError)  a combination that this path cannot honour
├── DataError (ValueError)            an input file or text cannot be used
├── RunError (RuntimeError)           a run folder is missing something or is damaged
├── TrainingError (RuntimeError)      training cannot go on, e.g. the loss is not a number
├── VerificationError (RuntimeError)  a function that breaks a rule of attention
├── BudgetError (RuntimeError)        no candidate keeps the quality that was asked for
├── KernelError (RuntimeError)        a kernel that was asked for by name and cannot run
└── MissingExtraError (ImportError)   an optional package is not installed
```

Apart from them stand `KernelWarning` (UserWarning): the native kernel cannot be had, and what runs
in its place is slower; `RunWarning` (UserWarning): a run opens, but not as its best model; and
`DataWarning` (UserWarning): rows of a file were put in order or left out, and how many.

Messages say what must hold, then, after a comma, what was got. Each error is also the builtin that
a caller without heedful in mind would catch. Only `heedful.cli` turns errors into exit codes.
"""


class HeedfulError(Exception):
    """The root: catch this to catch everything heedful raises on purpose."""


class ConfigError(HeedfulError, ValueError):
    """A setting has a value that cannot be used."""


class ShapeError(HeedfulError, ValueError):
    """Tensors do not fit together."""


class UnsupportedError(HeedfulError, NotImplementedError):
    """This path cannot honour the combination asked for."""


class DataError(HeedfulError, ValueError):
    """An input file or text cannot be used."""


class RunError(HeedfulError, RuntimeError):
    """A run folder is missing something or is damaged."""


class TrainingError(HeedfulError, RuntimeError):
    """Training cannot go on."""


class VerificationError(HeedfulError, RuntimeError):
    """A function breaks a rule of attention."""


class BudgetError(HeedfulError, RuntimeError):
    """No candidate keeps the quality that was asked for."""


class KernelError(HeedfulError, RuntimeError):
    """A kernel was asked for by name and cannot run."""


class KernelWarning(UserWarning):
    """The native kernel cannot be had here; something slower runs in its place."""


class RunWarning(UserWarning):
    """A run was stopped before anything was evaluated, so that no model of it is its best."""


class DataWarning(UserWarning):
    """Rows of a file were put in order or left out, as the message says and counts."""


class MissingExtraError(HeedfulError, ImportError):
    """An optional package is not installed."""
