"""What every page shares: one file that loads nothing from another host."""

import html
from collections.abc import Mapping
from typing import Any

from heedful.errors import MissingExtraError
from heedful.texts import json_of

FONT = "Noto Sans, Noto Sans CJK SC, PingFang SC, Microsoft YaHei, WenQuanYi Micro Hei, sans-serif"
# ast: expressions run without code generation, which strict pages forbid; no links to the outside
EMBED = {"ast": True, "actions": False, "renderer": "svg"}

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
body {{ font-family: {font}; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #222 }}
pre {{ background: #f3f3f3; padding: .6rem .8rem; white-space: pre-wrap; word-break: break-word }}
.chart, .wide {{ overflow-x: auto }}
table {{ border-collapse: collapse }}
th, td {{ padding: .1rem .45rem; text-align: right }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}<p>Made by</p>
<pre>{command}</pre>
<script>{runtime}</script>
<script>
{charts}
</script>
</body>
</html>
"""


def page(title: str, body: str, charts: Mapping[str, dict[str, Any]], *, command: str) -> bytes:
    """Put a page together.

    Args:
        title: Plain text.
        body: HTML, with an element for each chart.
        charts: Id of its element -> Vega-Lite specification.
        command: What made the page, plain text.

    Raises:
        MissingExtraError: The extra `report` is not installed.
    """
    _, converter = libraries()
    calls = [
        f"vegaEmbed({script('#' + name)}, {script(chart)}, {script(EMBED)});"
        for name, chart in charts.items()
    ]
    text = _PAGE.format(
        title=html.escape(title),
        font=FONT,
        body=body,
        command=html.escape(command),
        runtime=converter.javascript_bundle(),
        charts="\n".join(calls),
    )
    return text.encode()


def script(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json_of(value).replace("<", "\\u003c")


def libraries() -> tuple[Any, Any]:
    """Altair and its converter.

    Raises:
        MissingExtraError: The extra `report` is not installed.
    """
    try:
        import altair
        import vl_convert
    except ImportError:
        raise MissingExtraError(
            "a picture needs altair and vl-convert-python, got an installation without them. "
            "Install them with: pip install 'heedful[report]'"
        ) from None
    return altair, vl_convert
