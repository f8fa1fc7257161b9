"""What tasks say in English of answers and of pieces of inputs, in Chinese.

It goes by task: a word that a model wrote, or the name of a label, is nobody's to translate.
"""

import re

# task -> pattern of all that it says, or of parts with commas between them -> Chinese
SAID: dict[str, dict[str, str]] = {
    "control": {
        r"return (\S+) in (\d+) steps?": r"\2 步，回报 \1",
        r"action (\d+)": r"动作 \1",
        r"now": "现在",
        r"last of (\d+) steps, seed (\d+)": r"共 \1 步的最后一步，随机种子 \2",
    },
    "classify-node": {
        r"(.+) → (.+): itself and its neighbours": r"\1 → \2：自身及其邻居",
    },
    "detect": {
        r"nothing": "未找到目标",
        r"nothing; the surest box: (.+)": r"未找到目标；最有把握的框：\1",
        r"(.+) at (\S+ \S+) (\S+) (\S+) \((\d+%)\)": r"\1，位于 \2，大小 \3×\4（\5）",
    },
    "forecast": {
        r"rows before (.+), by their first one": r"\1 之前各段，以其首行命名",
    },
    "fuse": {
        r"image (\d+,\d+)": r"图像 \1",
        r"sound (\S+) s": r"声音 \1 秒",
    },
    "generate-image": {
        r"(.+), predicted (.+), nearest training image at (\S+)": (
            r"\1，被判为 \2，与最近的训练图像相距 \3"
        ),
    },
    "segment": {
        r"nothing": "无标签",
        r"label (\d+): (\S+%) in (\d+) parts": r"标签 \1：\2，共 \3 处",
        r"label (\d+)": r"标签 \1",
    },
}


def said_in_chinese(text: str, task: str) -> str:
    """Return what a task says in Chinese; as it is where the task says nothing in English."""
    patterns = SAID.get(task, {})
    for parts in (text.split(", "), [text]):
        said = [_expanded(part, patterns) for part in parts]
        if None not in said:
            return "；".join(part for part in said if part is not None)
    return text


def _expanded(text: str, patterns: dict[str, str]) -> str | None:
    for pattern, words in patterns.items():
        found = re.fullmatch(pattern, text)
        if found is not None:
            return found.expand(words)
    return None
