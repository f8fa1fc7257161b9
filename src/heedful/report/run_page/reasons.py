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
    r"(\w+) looks like attention, with the part (\w+), and no adapter knows it": (
        r"\1 有部件 \2，像是注意力，但没有适配器认识它"
    ),
    r"(\w+) looks like attention, with the parts (\w+) and (\w+), and no adapter knows it": (
        r"\1 有部件 \2 和 \3，像是注意力，但没有适配器认识它"
    ),
    (
        r"(\w+) looks like attention, with heads and the part (\w+), which makes three vectors of "
        r"one, and no adapter knows it"
    ): r"\1 有多个头，其部件 \2 由一个向量生成三个，像是注意力，但没有适配器认识它",
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
    (
        r"the task must say what its inputs are made of to be explained, got (\S+), which does not"
    ): r"任务 \1 没有说明其输入由什么组成，无法解释",
    r"a question must have pieces, got none": "输入没有可以移除的部分，无可解释",
    r"a question must have targets, got none": "没有作答，无可解释",
    (
        r"scores must be finite to tell what removing a piece does, got others of (.+)"
    ): r"\1 的分数不是有限的数，无法判断移除一部分的作用",
    (
        r"the map of (\S+) must be the one that the model used, got an error of (\S+) of what "
        r"attention adds there"
    ): r"\1 的图与模型所用的不符，误差为注意力在该处所加之量的 \2 倍",
    (
        r"targets must be read at places from 0 to (\S+) of (\S+), got (.+)"
    ): r"各目标应在 \2 的位置 0 至 \1 处读取，实为 \3",
    r"(\S+) must have (\S+) places, got (\S+) keys": r"\1 应有 \2 个位置，实有 \3 个键",
    (
        r"(\S+) must look from (\S+) places of (\S+), got (\S+) rows"
    ): r"\1 应从 \3 的 \2 个位置出发，实有 \4 行",
    (
        r"(\S+) must look once from each place of (\S+) at these places, got (\S+) rows and "
        r"(\S+) keys"
    ): r"\1 应从 \2 的每个位置看这些位置各一次，实有 \3 行、\4 个键",
    r"a route must have a step at its answer, got none at (\S+)": r"没有注意力通向 \1 处的答案",
    r"(\S+) must be called for each step, got no call (\S+)": r"\1 应在每一步被调用，缺第 \2 次",
}


def in_chinese(reason: str) -> str | None:
    """Return a reason in Chinese; `None` where the package does not give it."""
    site, within, inner = reason.partition(" must be observable, got: ")
    if within:
        return f"无法观察 {site}：{in_chinese(inner) or inner}"
    for pattern, words in REASONS.items():
        found = re.fullmatch(pattern, reason, re.DOTALL)
        if found is not None:
            return found.expand(words)
    return None
