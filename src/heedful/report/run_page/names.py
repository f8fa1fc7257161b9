"""What the package names in English elsewhere, in Chinese: tasks, metrics, fields and more.

What is not here, and what a user's own task brings, stays as it is.
"""

TASKS = {
    "translation": "翻译",
    "classify-text": "文本分类",
    "rate-product": "产品评价",
    "generate-text": "文本生成",
    "summarise": "摘要",
    "answer": "问答",
    "classify-speech": "语音分类",
    "recognise-speech": "语音识别",
    "classify-image": "图像分类",
    "classify-video": "视频分类",
    "segment": "图像分割",
    "detect": "目标检测",
    "describe": "图像描述",
    "generate-image": "图像生成",
    "fuse": "多模态融合",
    "recommend": "推荐",
    "forecast": "时间序列预测",
    "classify-node": "节点分类",
    "classify-sequence": "序列分类",
    "control": "控制",
}
METRICS = {
    "accuracy": "准确率",
    "ap50": "AP50",
    "auc": "AUC",
    "bits_per_character": "每字符比特数",
    "bleu": "BLEU",
    "character_error_rate": "字错误率",
    "chrf": "chrF",
    "class_accuracy": "类别准确率",
    "dev_loss": "开发集损失",
    "dice": "Dice 系数",
    "exact_match": "完全匹配率",
    "frechet": "Fréchet 距离",
    "image_iou": "逐图交并比",
    "iou": "交并比",
    "loss": "损失",
    "macro_f1": "宏平均 F1",
    "mae": "平均绝对误差",
    "mse": "均方误差",
    "ndcg@10": "NDCG@10",
    "novelty": "新颖度",
    "recall50": "召回率（IoU 0.5）",
    "recall@10": "召回率@10",
    "return": "回报",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "token_accuracy": "词元准确率",
    "token_error_rate": "词元错误率",
    "word_error_rate": "词错误率",
}
FIELDS = {
    "answer": "答案",
    "before": "前文",
    "boxes": "框",
    "caption": "说明",
    "end": "止于",
    "evidence": "依据",
    "facts": "相关句",
    "file": "文件",
    "follows": "跟随的位置",
    "id": "编号",
    "image": "图像",
    "index": "序号",
    "input": "输入",
    "items": "历史",
    "kind": "类别",
    "label": "标签",
    "letters": "序列",
    "mask": "掩码",
    "name": "名称",
    "question": "问题",
    "relevant": "实际随后",
    "reviews": "评论",
    "row": "行",
    "score": "评分",
    "seed": "随机种子",
    "sound": "声音",
    "source": "原文",
    "speaker": "说话人",
    "start": "始于",
    "story": "故事",
    "target": "参考",
    "text": "文本",
}
ABOUT = {
    "command": "命令",
    "precision": "精度",
    "machine": "机器",
    "cores, threads": "核，线程",
    "versions": "版本",
    "page made on": "页面生成于",
}
METHODS = {
    "gradient-attention": "梯度 × 注意力",
    "attention": "注意力",
    "rollout": "注意力展开",
    "flow": "注意力流",
    "integrated-gradients": "积分梯度",
    "occlusion": "遮挡法",
}
SCORES = {
    "log-odds": "对数几率（自然对数）",
    "log-likelihood ratio": "对数似然比（自然对数）",
    "share of the forecast": "预测中得以保留的份额",
}
_COLOUR, _SILENCE = "填为图像的平均颜色", "静音，各频带取其最小值"
REMOVALS = {
    "left out of the text": "从文本中删去",
    "left out of the text; a line break where nothing is left": (
        "从文本中删去；一无所剩时为一个换行"
    ),
    "left out of the story": "从故事中删去",
    "left out of the history; an item that nobody knows where nothing is left": (
        "从历史中删去；一无所剩时为一个未知项"
    ),
    "read as a word that nobody knows": "读作未知词",
    "filled with the mean colour of the image": _COLOUR,
    "filled with the mean colour of the video": "填为视频的平均颜色",
    "silent, each band at its quietest": _SILENCE,
    (
        "image: filled with the mean colour of the image; "
        "sound: silent, each band at its quietest; text: left out"
    ): f"图像{_COLOUR}；声音{_SILENCE}；文字删去",
    "taken out of the graph, the node itself without features": "从图中取出；节点本身则去掉特征",
    "taken as any letter": "视为任意字母",
    "taken as the mean of all places, where the generator first doubled its image": (
        "在生成器首次放大图像之处，取为所有位置的平均"
    ),
    "a mean observation, and nothing done before it": "换成平均观测，之前没有动作",
    "a straight line between what is left, the mean where nothing is": (
        "换成其余各点之间的直线，一无所剩时为平均值"
    ),
}
CHINESE = {**METRICS, **FIELDS, **ABOUT, **METHODS, **SCORES, **REMOVALS}
