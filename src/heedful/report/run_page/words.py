"""Every word of the page, in English and in Chinese."""

from collections.abc import Mapping

from heedful.errors import ConfigError
from heedful.report.run_page.names import CHINESE
from heedful.report.run_page.reasons import in_chinese
from heedful.report.run_page.said import said_in_chinese
from heedful.report.run_page.words_of_examples import EXAMPLES

LANGUAGES = ("en", "zh")

# name -> English, Chinese; what stands in braces is filled in
TABLE: dict[str, tuple[str, str]] = {
    **EXAMPLES,
    "lang": ("en", "zh-Hans"),
    "between sentences": (" ", ""),
    "skip": ("To the content", "跳到正文"),
    "summary": ("Summary", "概要"),
    "about": ("How it came about", "来历"),
    "copy": ("Copy", "复制"),
    "copied": ("Copied", "已复制"),
    "close": ("Close", "关闭"),
    "table": ("As a table", "表格"),
    "before": ("before", "优化前"),
    "after": ("after", "优化后"),
    "change": ("change", "变化"),
    "original": ("original", "原模型"),
    "removed": ("removed", "已删除"),
    "split test": ("test split", "测试集"),
    "split dev": ("dev split", "开发集"),
    "split None": ("no split", "无"),
    # ---- badges and the paragraph
    "nothing optimised": ("Nothing was optimised", "未作优化"),
    "no verdict": ("Changed without a verdict", "已更改，未经判定"),
    "budget met": ("Quality budget met", "质量预算达标"),
    "optimisation refused": ("Optimisation refused", "优化未被接受"),
    "no maps": ("No attention maps", "没有注意力图"),
    "capture unknown": ("Capture: nothing can be told", "注意力图：无法核对"),
    "capture verified": ("Capture verified", "注意力图已核对"),
    "capture wrong": ("Maps differ from what the model used", "注意力图与模型所用不符"),
    "explanations not tested": ("Explanations not tested", "解释未经检验"),
    "explanations verified": (
        "Explanations verified: {verified} of {tested}",
        "解释通过检验：{tested} 个中 {verified} 个",
    ),
    "and not explainable": ("{text} ({count} not explainable)", "{text}（{count} 个无法解释）"),
    "accepted": (
        "The optimised model does its work {speedup} times as fast. On {examples} examples of the "
        "{split}, {metric} went from {before} to {after}; with {confidence} % confidence the "
        "difference is no worse than {bound}, and {budget} is allowed.",
        "优化后的模型速度是原来的 {speedup} 倍。在{split}的 {examples} 个样本上，"
        "{metric}从 {before} 变为 {after}；"
        "以 {confidence}% 的置信度，差异不差于 {bound}，允许 {budget}。",
    ),
    "refused": (
        "Optimising was refused: the candidate was {speedup} times as fast, and on {examples} "
        "examples of the {split} {metric} went from {before} to {after}; with {confidence} % "
        "confidence the difference is no worse than {bound}, and {budget} is allowed.",
        "优化未被接受：候选模型速度是原来的 {speedup} 倍；在{split}的 {examples} 个样本上，"
        "{metric}从 {before} 变为 {after}；"
        "以 {confidence}% 的置信度，差异不差于 {bound}，允许 {budget}。",
    ),
    "original as long": (
        "Fine-tuned for as long ({steps} steps), the original has {before}: against that the "
        "difference is {difference}, no worse than {bound} with {confidence} % confidence, which "
        "is not within the budget for certain.",
        "原模型经过同样多的微调（{steps} 步）后为 {before}：与之相比差异为 {difference}，"
        "以 {confidence}% 的置信度不差于 {bound}，不能确定在预算之内。",
    ),
    "original as long within": (
        "Fine-tuned for as long ({steps} steps), the original has {before}: against that the "
        "difference is {difference}, no worse than {bound} with {confidence} % confidence, also "
        "within the budget.",
        "原模型经过同样多的微调（{steps} 步）后为 {before}：与之相比差异为 {difference}，"
        "以 {confidence}% 的置信度不差于 {bound}，也在预算之内。",
    ),
    "steps of": ("{steps} of {wanted}", "{wanted} 步中的 {steps}"),
    "refused early": (
        "Optimising found no candidate that promised to keep the budget.",
        "优化没有找到有望满足预算的候选模型。",
    ),
    "saved operations": (
        "Its attention takes {share} fewer multiply-adds.",
        "注意力的乘加运算减少了 {share}。",
    ),
    "heads gone": ("{removed} of {heads} heads are gone.", "{heads} 个头中删除了 {removed} 个。"),
    "scored": (
        "On {examples} held-out examples the model reaches {metric} {value} "
        "(95 % interval {low} to {high}).",
        "在 {examples} 个留出样本上，模型的{metric}为 {value}（95% 区间 {low} 至 {high}）。",
    ),
    "explanations marked": (
        "{bad} of {all} explanations did not pass their test and are marked.",
        "{all} 个解释中有 {bad} 个没有通过检验，已标明。",
    ),
    # ---- the search
    "search": ("What the search tried", "搜索过程"),
    "search note": (
        "Each dot is a candidate, judged on the dev split: lower cost lies to the left, better "
        "{metric} higher. The whisker ends where the difference lies with 95 % confidence; what "
        "ends below the dashed line, {allowed}, has lost too much. The chosen one is ringed.",
        "每个点是一个候选模型，在开发集上评判：越靠左成本越低，越靠上 {metric} 越好。"
        "竖线的末端是 95% "
        "置信度下的差异；末端低于虚线（{allowed}）的损失过多。选中的候选以圆圈标出。",
    ),
    "cost share": ("cost, of the original", "成本（相对原模型）"),
    "difference of": ("difference of {metric}", "{metric}的差异"),
    "difference": ("difference", "差异"),
    "bound": ("surely no worse than", "可确信不差于"),
    "round": ("round", "轮次"),
    "final": ("fine-tuned {number}", "微调 {number}"),
    "kept": ("within the budget", "在预算内"),
    "missed": ("too much lost", "损失过多"),
    "chosen": ("chosen", "选中"),
    "as recorded": ("The verdict, as recorded", "记录的判定"),
    # ---- before and after
    "before and after": ("Before and after", "优化前后"),
    "quality and cost": ("Quality and cost", "质量与成本"),
    "quality": ("quality", "质量"),
    "cost": ("cost", "成本"),
    "scores note": (
        "Measured now on {examples} examples of the {split}, with 95 % intervals. A difference "
        "smaller than its interval is no difference.",
        "现在在{split}的 {examples} 个样本上测得，附 95% 区间。小于区间的差异不算差异。",
    ),
    "lower is better": ("lower is better", "越低越好"),
    "intervals overlap": ("intervals overlap", "区间重叠"),
    "latency_ms": ("work, ms", "用时（毫秒）"),
    "attention_operations": ("multiply-adds of attention", "注意力的乘加运算"),
    "parameters": ("parameters", "参数"),
    "speed note": (
        "Both models did the same work in turns: {speedup} times as fast, half of the turns "
        "between {low} and {high}.",
        "两个模型轮流做同样的工作：速度为 {speedup} 倍，半数轮次在 {low} 到 {high} 之间。",
    ),
    # ---- heads
    "heads": ("Attention heads", "注意力头"),
    "heads note": (
        "Numbers are means over {examples} held-out examples; below each map stands the head and "
        "how widely it looks: 1 is evenly, 0 is one key alone.",
        "数值是 {examples} 个留出样本上的平均；每张图下方是头的编号和分散度：1 为均匀，"
        "0 为只看一处。",
    ),
    "capture note": (
        "The maps are those that the model used: what they give is within {error} of its output.",
        "这些图就是模型实际使用的：由其算出的结果与模型输出相差不超过 {error}。",
    ),
    "maps of": (
        "Maps of: {title}. Rows look, columns are looked at; shades grow with the square root of "
        "the share, each map up to its own largest.",
        "样本：{title}。行是查询，列是被看的位置；深浅随份额的平方根增长，"
        "每张图以自己的最大值为准。",
    ),
    "heads open": ("Open a head to see its map with names.", "点开一个头可看到带名称的大图。"),
    "head label": ("{name}, dispersion {entropy}", "{name}，分散度 {entropy}"),
    "head": ("head", "头"),
    "scale": (
        "shades by square root, black is {largest}",
        "深浅按平方根，黑色为 {largest}",
    ),
    "map cell": (
        "Point at a cell to read its share.",
        "指向一个格子可读出其份额。",
    ),
    "sink mixed": ("sink for some queries, not for all", "对部分查询是汇点"),
    "sink no-op": ("sink: its value is small, so it does nothing", "汇点：值很小，等于不做事"),
    "sink broadcast": ("sink: its value is passed on to all", "汇点：其值传给所有位置"),
    "sink": ("sink", "汇点"),
    "dispersion": ("How heads look, in numbers", "各头的分散度"),
    "entropy": ("dispersion", "分散度"),
    "sharpness": ("largest weight at n · 2n · 4n keys", "n · 2n · 4n 个键时的最大权重"),
    "entropy axis": (
        "dispersion: 0 one key, 1 evenly",
        "分散度：0 只看一处，1 均匀",
    ),
    "keys read": ("keys read, in effect", "有效键数"),
    "first keys": ("on the first 4 keys", "前 4 个键的份额"),
    "distance": ("distance, in keys", "距离（键）"),
    "importance": ("importance", "重要性"),
    "dispersion note": (
        "Dispersion is the entropy of a row as a share of the largest possible. A distance is told "
        "where queries look at their own text only. A sink is a key "
        "that takes 30 % of a head's attention or more, whatever asks. Importance is Fisher's "
        "score, where an optimisation measured it.",
        "分散度是一行的熵占最大可能值的份额。只有查询与键属于同一文本时才有距离。"
        "汇点是占去一个头 30% 以上注意力的键。重要性是优化时"
        "测得的 Fisher 分数。",
    ),
    "unobservable": (
        "Of this attention there are no maps:",
        "以下注意力没有图：",
    ),
    # ---- training
    "training": ("Training", "训练"),
    "step": ("step", "步"),
    "watched": ("Heads while they were learned", "训练过程中的注意力头"),
    # ---- method
    "method and limits": ("Method and limits", "方法与局限"),
    "limit routing": (
        "Attention is evidence about routing, not by itself a reason.",
        "注意力说明信息的去向，本身并不是理由。",
    ),
    "limit maps": (
        "Maps are captured while the model runs as always, and checked against its output. Large "
        "ones are pooled: a cell shows the largest share of what it covers.",
        "注意力图在模型照常运行时记录，并与其输出核对。大图经过汇集："
        "一格显示所覆盖范围内的最大份额。",
    ),
    "method scores": (
        "Intervals are those of 1,000 bootstrap resamples of the examples; of shares near 0 or 1 "
        "they are Wilson's.",
        "区间来自对样本的 1,000 次自助重采样；接近 0 或 1 的份额用 Wilson 区间。",
    ),
    "method budget": (
        "The budget is judged by a paired bootstrap with one more, unseen example, once, on "
        "examples that the search never saw.",
        "预算由配对自助法判定，另加一个未见样本，且只在搜索从未见过的样本上判定一次。",
    ),
    "limit baseline": (
        "The original is judged as it was given: it had none of the training that fine-tuning "
        "is, and might have gained from it too.",
        "原模型按原样评判：它没有经过微调的额外训练，若有也可能变好。",
    ),
    "method verdict": (
        "An explanation is verified when removing what it names lowers the score more than "
        "removing as much at random, with the right sign, and when a model with random weights "
        "is explained differently.",
        "一个解释通过检验，是指：移除它所指的部分比随机移除同样多的部分使分数下降更多，"
        "符号正确，且对随机"
        "权重的模型给出不同的解释。",
    ),
    "looks": (
        "The test split has been judged on {looks} times; each time had to be surer than the one "
        "before.",
        "测试集已被用于判定 {looks} 次；每一次都须比前一次更确定。",
    ),
    "plan": ("The plan", "计划"),
    "config": ("The config", "配置"),
}


class Words:
    """The words of one language.

    Args:
        language: `en` or `zh`.
        more: Words of another page, as in `TABLE`.
        task: Whose answers are shown; empty means that they stay as they are.

    Raises:
        ConfigError: There is no such language.
    """

    def __init__(
        self, language: str, more: Mapping[str, tuple[str, str]] = {}, *, task: str = ""
    ) -> None:
        if language not in LANGUAGES:
            raise ConfigError(f"lang must be one of {', '.join(LANGUAGES)}, got {language!r}")
        self._place = LANGUAGES.index(language)
        self._table = {**TABLE, **more}
        self._task = task

    def __call__(self, name: str, /, **told: object) -> str:
        """Return the words of this name, filled in."""
        return self._table[name][self._place].format(**told)

    def named(self, name: str, chinese: Mapping[str, str] = CHINESE) -> str:
        """Return what something is called that the package names in English, e.g. a metric."""
        plain = name.replace("_", " ")
        return chinese.get(name, plain) if LANGUAGES[self._place] == "zh" else plain

    def said(self, text: str) -> str:
        """Return what the task says of an answer or of a piece of an input."""
        return said_in_chinese(text, self._task) if LANGUAGES[self._place] == "zh" else text

    def reason(self, reason: str) -> dict[str, str]:
        """Return why there is no map or no explanation: `said`, and in which `lang` that is."""
        said = in_chinese(reason) if LANGUAGES[self._place] == "zh" else None
        return (
            {"said": reason, "lang": "en"} if said is None else {"said": said, "lang": self("lang")}
        )
