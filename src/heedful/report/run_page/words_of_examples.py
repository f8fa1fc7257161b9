"""Words about examples and their explanations, in English and in Chinese."""

# name -> English, Chinese; what stands in braces is filled in
EXAMPLES: dict[str, tuple[str, str]] = {
    "examples": ("Examples, and why", "样本与解释"),
    "examples note": (
        "Held-out examples, evenly chosen. Each explanation stands beside what a test said of it.",
        "均匀选取的留出样本。每个解释都附有检验的结论。",
    ),
    "explained title": ("Why the model answers this", "模型为何这样回答"),
    "made by": ("Made by", "生成命令"),
    "shades text": (
        "Blue counts for the answer, orange with a dashed line against it.",
        "蓝色支持答案，带虚线的橙色反对答案。",
    ),
    "shades table": (
        "Blue counts for what stands before the row, orange with a dashed line against it; numbers "
        "are per cent of the row.",
        "蓝色支持行首所写，带虚线的橙色反对它；数字为占该行的百分比。",
    ),
    "shades images": (
        "Dark is what counts little for what stands below, orange what counts against it.",
        "暗处对图下所写的结果不重要，橙色处反对它。",
    ),
    "answer": ("model's answer", "模型回答"),
    "map": ("map", "图"),
    "canvas": ("the whole picture", "整幅图"),
    "whole sound": (
        "the whole sound; its stretches begin at {first} to {last}",
        "整段声音；各片段始于 {first} 至 {last}",
    ),
    "strongest": ("most at {piece}", "{piece} 处最重要"),
    "veil": ("shade what does not count", "遮暗不重要处"),
    "place": ("from row {row}, column {column}", "从第 {row} 行第 {column} 列看"),
    "left out": ("{count} further rows or columns are left out.", "另有 {count} 行或列未显示。"),
    "images left out": ("{count} further maps are left out.", "另有 {count} 张图未显示。"),
    "nothing answered": ("nothing", "（空）"),
    "verdict verified": ("verified", "通过检验"),
    "verdict no better than random": ("no better than random", "不优于随机"),
    "verdict misleading sign": ("misleading sign", "正负号误导"),
    "verdict ignores the model": ("ignores the model", "与模型无关"),
    "verdict inconclusive": ("inconclusive", "不能确定"),
    "verdict not tested": ("not tested", "未经检验"),
    "verdict not explainable": ("not explainable", "无法解释"),
    "method": (
        "Method: {method}. Score: {score}. Removed pieces: {removal}.",
        "方法：{method}。分数：{score}。被移除的部分：{removal}。",
    ),
    # ---- why a verdict came out so
    "reason falls": (
        "Without its first pieces the score falls by {fall}, with random maps by {fall_random} "
        "(p {fall_p}); with them alone by {kept}, with random maps by {kept_random} (p {kept_p}).",
        "移除前列部分后分数下降 {fall}，随机图为 {fall_random}（p {fall_p}）；只留这些部分时下降 "
        "{kept}，随机图为 {kept_random}（p {kept_p}）。",
    ),
    "reason few pieces": (
        "{pieces} pieces allow too few different maps to tell a good one from {draws} random ones.",
        "只有 {pieces} 个部分，可能的图太少，无法把好图与 {draws} 张随机图区分开。",
    ),
    "reason random models": (
        "Models with random weights give a map like it: their rank correlation is {resemblance}.",
        "随机权重的模型给出的图与它相似：秩相关为 {resemblance}。",
    ),
    "reason wrong sign": (
        "Removing one of its first pieces raises the score in {wrong} of cases.",
        "移除其前列部分之一，有 {wrong} 的情况分数反而上升。",
    ),
    "reason worse than random": (
        "That is less than random maps would have it but for chance.",
        "这低于随机图，且不能归于偶然。",
    ),
    "reason passed": (
        "Of these pieces {wrong} have the wrong sign.",
        "这些部分中符号相反的占 {wrong}。",
    ),
    "reason occlusion failed": (
        "But occlusion's own order does no better than random, so the map may not be to blame.",
        "但遮挡法自身的顺序也不优于随机，因此未必是图的问题。",
    ),
    "reason few draws": (
        "{draws} random maps are too few to be sure.",
        "{draws} 张随机图太少，不能确定。",
    ),
    "reason stretches": (
        "The input was tested in {stretches} stretches of neighbouring pieces.",
        "输入按 {stretches} 段相邻部分检验。",
    ),
    "evidence": ("The evidence", "证据"),
    "against random": ("at random {random} [{interval}]", "随机 {random} [{interval}]"),
    "comprehensiveness": ("falls without its first pieces", "移除前列部分后的下降"),
    "sufficiency": ("falls with these alone", "只留前列部分时的下降"),
    "reference": ("by occlusion", "遮挡法的结果"),
    "wrong sign": ("of the wrong sign", "符号相反的份额"),
    "resemblance": ("likeness to that of random weights", "与随机权重模型之图的相似度"),
    "draws": ("random maps", "随机图数量"),
    "stretches": (
        "stretches of neighbours, removed whole",
        "整段移除的相邻片段数",
    ),
    "paths": (
        "Strongest paths through heads, and what cutting them costs",
        "穿过注意力头的最强路径，以及切断它们的代价",
    ),
    "path drop": ("{drop}; random paths {random}", "{drop}；随机路径 {random}"),
}
