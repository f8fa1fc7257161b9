"""Every word that the live page has beyond those of a report, in English and in Chinese."""

# name -> English, Chinese; what stands in braces is filled in
TABLE: dict[str, tuple[str, str]] = {
    "other language": ("zh", "en"),
    "switch": ("中文", "English"),
    "ask": ("Ask", "提问"),
    "answers": ("Answers", "回答"),
    "kind text": ("Text", "文本"),
    "kind sequence": ("Sequence", "序列"),
    "kind image": ("Image (PNG or JPEG)", "图像（PNG 或 JPEG）"),
    "kind sound": ("Sound (WAV or FLAC)", "声音（WAV 或 FLAC）"),
    "kind video": ("Video (NPZ)", "视频（NPZ）"),
    "kind rows": ("Table (CSV or TSV)", "表格（CSV 或 TSV）"),
    "index": ("or a held-out example, 0 to {last}", "或留出样本的编号（0 到 {last}）"),
    "explained by": ("Explained by", "解释方法"),
    "by default": ("what suits the model", "适合模型的方法"),
    "test it": ("test whether that holds", "检验解释是否可信"),
    "follow it": ("follow it through the heads", "追踪穿过注意力头的路径"),
    "answer it": ("Answer", "回答"),
    "or by keys": ("or Ctrl-Enter", "或 Ctrl-Enter"),
    "needs script": (
        "This page asks the server by JavaScript; without it, use the command below.",
        "本页用 JavaScript 向服务器提问；没有它时请用下面的命令。",
    ),
    "as a program": ("Ask from a program", "用程序提问"),
    "looked": ("Where the model looked", "模型看了哪里"),
    "looked note": (
        "Raw attention; nobody has tested whether the answer rests on it.",
        "原始注意力；没有检验过答案是否依据它。",
    ),
    "answering": ("Answering …", "正在回答……"),
    "explaining": ("Answered; now why …", "已回答；正在解释……"),
    "nothing": (
        "An input must be given, got none.",
        "必须给出输入，现在没有。",
    ),
    "unreadable": ("The file cannot be read.", "无法读取文件。"),
    "gone": ("The server does not answer.", "服务器没有应答。"),
    "untested": ("not tested yet", "尚未检验"),
}
SAID = ("answering", "explaining", "nothing", "unreadable", "gone", "untested")  # by its script
