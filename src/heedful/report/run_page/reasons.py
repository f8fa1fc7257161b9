"""Why something has no map or no explanation: the English reasons of the package, in Chinese.

Those of other packages' attention, and of a user's own task, stay as they are.
"""

import re

# pattern of a whole reason -> Chinese, with what the pattern's groups found
REASONS: dict[str, str] = {
    r"it was not called while the probe was open": "作答时没有被调用",
    r"it was dropped, and gives one vector for every position": (
        "已被删去，对每个位置给出同一个向量"
    ),
    r"it ran, and went around the attention interface": "运行时绕过了注意力接口",
    r"(\w+) returns its weights itself": r"\1 自己返回权重",
    r"(\w+) weighs channels, and looks at no position; weights\(\) returns by what": (
        r"\1 为通道加权，不看位置；weights() 返回其权重"
    ),
    r"(\w+) weighs places without queries and keys; weights\(\) returns by what": (
        r"\1 不用查询和键为位置加权；weights() 返回其权重"
    ),
    r"(\w+) weighs channels and pixels without queries and keys; weights\(\) returns by what": (
        r"\1 不用查询和键为通道和像素加权；weights() 返回其权重"
    ),
    r"(\w+) is attention that no adapter knows; its weights\(\) returns what it weighs by": (
        r"\1 是没有适配器认识的注意力；其 weights() 返回权重"
    ),
    r"(\w+) is attention that no adapter knows": r"\1 是没有适配器认识的注意力",
    r"(\w+) does not go through the attention interface of transformers": (
        r"\1 不经过 transformers 的注意力接口"
    ),
    r"an? (?:answer|summary|sentence|text) must hold a (?:token|word) to be explained, got .*": (
        "没有写出任何内容，无可解释"
    ),
    (
        r"the model must have attention that leads to its input for this method, got none; "
        r"occlusion asks for no attention"
    ): "模型没有通向输入的注意力，此方法无法使用；遮挡法不需要注意力",
    r"an answer must hold an item to be explained, got none": "没有推荐任何项目，无可解释",
    r"an image must have a box found in it to be explained, got none": (
        "图像中没有找到任何框，无可解释"
    ),
}


def in_chinese(reason: str) -> str | None:
    """Return a reason in Chinese; `None` where the package does not give it."""
    for pattern, words in REASONS.items():
        found = re.fullmatch(pattern, reason, re.DOTALL)
        if found is not None:
            return found.expand(words)
    return None
