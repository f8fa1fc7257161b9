"""196 small configurations of transformers: classes, settings, and what they are called with.

Most sizes are those of `transformers_families`; what a family needs besides stands here.
"""

from typing import Any

import torch
import transformers
from transformers_families import IMAGE, inputs, small

NAMES = """
albert:AlbertForMaskedLM audio_spectrogram:ASTModel autoformer:AutoformerModel
axk2:AXK2ForCausalLM bamba:BambaForCausalLM bart:BartForConditionalGeneration beit:BeitModel
beit_shared:BeitModel bert:BertForMaskedLM bert_decoder_cross:BertLMHeadModel
big_bird_full:BigBirdForMaskedLM big_bird_sparse:BigBirdForMaskedLM
bigbird_pegasus:BigBirdPegasusForConditionalGeneration biogpt:BioGptForCausalLM
blenderbot:BlenderbotForConditionalGeneration
blenderbot_small:BlenderbotSmallForConditionalGeneration blip:BlipForConditionalGeneration
blip2:Blip2ForConditionalGeneration bloom:BloomForCausalLM camembert:CamembertForMaskedLM
canine:CanineModel clip:CLIPModel codegen:CodeGenForCausalLM cohere:CohereForCausalLM
cohere2:Cohere2ForCausalLM conditional_detr:ConditionalDetrModel convbert:ConvBertForMaskedLM
ctrl:CTRLLMHeadModel cvt:CvtModel data2vec_audio:Data2VecAudioModel
data2vec_vision:Data2VecVisionModel deberta:DebertaForMaskedLM deberta_v2:DebertaV2ForMaskedLM
decision_transformer:DecisionTransformerModel deepseek_v2:DeepseekV2ForCausalLM
deepseek_v3:DeepseekV3ForCausalLM deepseek_v32:DeepseekV32ForCausalLM
deepseek_v4:DeepseekV4ForCausalLM deformable_detr:DeformableDetrModel
deit:DeiTForImageClassification detr:DetrModel diffllama:DiffLlamaForCausalLM dinov2:Dinov2Model
dinov3_vit:DINOv3ViTModel distilbert:DistilBertForMaskedLM doge:DogeForCausalLM
dots3_note_text:Dots3NoteForCausalLM dpt:DPTModel electra:ElectraForMaskedLM
encoder_decoder:EncoderDecoderModel ernie:ErnieForMaskedLM esm:EsmForMaskedLM
esm_absolute:EsmForMaskedLM falcon:FalconForCausalLM falcon_alibi:FalconForCausalLM
falcon_h1:FalconH1ForCausalLM fastspeech2_conformer:FastSpeech2ConformerModel
flaubert:FlaubertWithLMHeadModel flava_text:FlavaTextModel fsmt:FSMTForConditionalGeneration
funnel:FunnelForMaskedLM gemma:GemmaForCausalLM gemma2:Gemma2ForCausalLM
gemma2_nocap:Gemma2ForCausalLM gemma3:Gemma3ForCausalLM gemma4:Gemma4ForCausalLM
glm:GlmForCausalLM glm5_next_text:Glm5NextTextModel glm_moe_dsa:GlmMoeDsaForCausalLM
gpt2:GPT2LMHeadModel gpt2_cross:GPT2LMHeadModel gpt2_scaled:GPT2LMHeadModel
gpt_bigcode:GPTBigCodeForCausalLM gpt_neo:GPTNeoForCausalLM gpt_neox:GPTNeoXForCausalLM
gpt_oss:GptOssForCausalLM gptj:GPTJForCausalLM granite:GraniteForCausalLM
granite_swa:GraniteSWAForCausalLM granitemoehybrid:GraniteMoeHybridForCausalLM hiera:HieraModel
hubert:HubertModel hy_v4:HYV4ForCausalLM ibert:IBertForMaskedLM informer:InformerModel
informer_full:InformerModel inkling2:Inkling2ForCausalLM jamba:JambaForCausalLM
kimi_linear:KimiLinearForCausalLM layoutlm:LayoutLMForMaskedLM led:LEDForConditionalGeneration
levit:LevitModel lfm2:Lfm2ForCausalLM llama:LlamaForCausalLM llama4:Llama4ForCausalLM
llama_mqa:LlamaForCausalLM llava:LlavaForConditionalGeneration
longcat_flash:LongcatFlashForCausalLM longformer:LongformerForMaskedLM
longt5_global:LongT5ForConditionalGeneration longt5_local:LongT5ForConditionalGeneration
lxmert:LxmertModel m2m100:M2M100ForConditionalGeneration mamba:MambaForCausalLM
marian:MarianMTModel mask2former:Mask2FormerModel mbart:MBartForConditionalGeneration
megatron_bert:MegatronBertForMaskedLM mimo_v2_flash:MiMoV2FlashForCausalLM
minimax:MiniMaxForCausalLM minimax_m3:MiniMaxM3VLForCausalLM mistral:MistralForCausalLM
mistral_full:MistralForCausalLM mistral_large4_text:MistralLarge4TextModel
mixtral:MixtralForCausalLM mllama:MllamaForConditionalGeneration mobilebert:MobileBertForMaskedLM
mobilevit:MobileViTModel modernbert:ModernBertForMaskedLM
modernbert_decoder:ModernBertDecoderForCausalLM mpnet:MPNetForMaskedLM mpt:MptForCausalLM
mt5:MT5ForConditionalGeneration nemotron:NemotronForCausalLM
nllb_moe:NllbMoeForConditionalGeneration nomic_bert:NomicBertForMaskedLM
nystromformer:NystromformerForMaskedLM olmo:OlmoForCausalLM olmo2:Olmo2ForCausalLM
olmo_hybrid:OlmoHybridForCausalLM openai_gpt:OpenAIGPTLMHeadModel opt:OPTForCausalLM
patchtsmixer_attn:PatchTSMixerForPrediction patchtst:PatchTSTForPrediction
patchtst_channel:PatchTSTForPrediction pegasus:PegasusForConditionalGeneration
pegasus_x:PegasusXForConditionalGeneration perceiver:PerceiverModel persimmon:PersimmonForCausalLM
phi:PhiForCausalLM phi3:Phi3ForCausalLM phi3_window:Phi3ForCausalLM
plbart:PLBartForConditionalGeneration prophetnet:ProphetNetForConditionalGeneration pvt:PvtModel
pvt_v2:PvtV2Model qwen2:Qwen2ForCausalLM qwen2_moe:Qwen2MoeForCausalLM
qwen2_vl:Qwen2VLForConditionalGeneration qwen2_window:Qwen2ForCausalLM qwen3:Qwen3ForCausalLM
qwen3_moe:Qwen3MoeForCausalLM qwen3_next:Qwen3NextForCausalLM
recurrent_gemma:RecurrentGemmaForCausalLM reformer:ReformerModelWithLMHead
roberta:RobertaForMaskedLM roformer:RoFormerForMaskedLM rwkv:RwkvForCausalLM sam:SamModel
segformer:SegformerModel sew:SEWModel siglip:SiglipModel siglip2_vision:Siglip2VisionModel
smollm3:SmolLM3ForCausalLM speech_to_text:Speech2TextForConditionalGeneration
speecht5:SpeechT5ForSpeechToText squeezebert:SqueezeBertForMaskedLM stablelm:StableLmForCausalLM
starcoder2:Starcoder2ForCausalLM swin:SwinModel swinv2:Swinv2Model
switch_transformers:SwitchTransformersForConditionalGeneration t5:T5ForConditionalGeneration
t5gemma:T5GemmaForConditionalGeneration time_series_transformer:TimeSeriesTransformerModel
timesfm:TimesFmModelForPrediction timesformer:TimesformerModel umt5:UMT5ForConditionalGeneration
unispeech:UniSpeechModel videomae:VideoMAEModel vilt:ViltModel visual_bert:VisualBertModel
vit:ViTForImageClassification vit_mae:ViTMAEModel vits:VitsModel vivit:VivitModel
wav2vec2:Wav2Vec2Model wav2vec2_conformer:Wav2Vec2ConformerModel wavlm:WavLMModel
whisper:WhisperForConditionalGeneration xglm:XGLMForCausalLM xlm:XLMWithLMHeadModel
xlm_roberta:XLMRobertaForMaskedLM xlnet:XLNetLMHeadModel yolos:YolosModel zamba2:Zamba2ForCausalLM
"""
KINDS = dict(each.split(":") for each in NAMES.split())

IMAGES = {"image_size": 64, "depths": [1, 1, 1, 1], "hidden_sizes": [16, 32, 32, 32]}
BACKBONE = {
    "backbone_config": {
        "model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16, 16, 32],
        "depths": [1, 1, 1, 1], "layer_type": "basic", "out_features": ["stage4"],
    },
    "use_timm_backbone": False, "use_pretrained_backbone": False, "num_queries": 5,
}  # fmt: skip
SERIES = {
    "context_length": 32, "patch_length": 8, "patch_stride": 8, "num_input_channels": 2,
    "prediction_length": 3, "d_model": 32,
}  # fmt: skip
TEXT = {
    "model_type": "llama", "vocab_size": 61, "hidden_size": 32, "intermediate_size": 40,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "max_position_embeddings": 64,
}  # fmt: skip
EYES = {
    "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 40,
    "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": IMAGE, "patch_size": 8,
}  # fmt: skip
CROSS = {"is_decoder": True, "add_cross_attention": True}
OWN: dict[str, dict[str, Any]] = {
    "audio_spectrogram": {"max_length": 64, "frequency_stride": 8, "time_stride": 8},
    "autoformer": {"label_length": 3},
    "bamba": {"attn_layer_indices": [1]},
    "beit": {"use_relative_position_bias": True},
    "beit_shared": {"use_shared_relative_position_bias": True},
    "bert_decoder_cross": CROSS,
    "big_bird_full": {"attention_type": "original_full"},
    "bigbird_pegasus": {"attention_type": "original_full"},
    "blip2": {
        "num_query_tokens": 4, "image_token_index": 5,
        "text_config": {
            "model_type": "opt", "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 4, "ffn_dim": 40, "word_embed_proj_dim": 32,
            "max_position_embeddings": 64,
        },
    },
    "conditional_detr": BACKBONE,
    "cvt": {"embed_dim": [16, 32, 32], "num_heads": [1, 2, 4], "depth": [1, 1, 2]},
    "ctrl": {"dff": 40},
    "deformable_detr": {**BACKBONE, "num_feature_levels": 1},
    "detr": BACKBONE,
    "esm_absolute": {"position_embedding_type": "absolute"},
    "falcon_alibi": {"alibi": True},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma2_nocap": {"attn_logit_softcapping": None},
    "glm5_next_text": {"index_topk": 16, "qk_rope_head_dim": 0},
    "gpt2_cross": {"add_cross_attention": True},
    "gpt2_scaled": {"scale_attn_by_inverse_layer_idx": True},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "hiera": {"image_size": [224, 224], "patch_size": [7, 7], "embed_dim": 16},
    "informer_full": {"attention_type": "full"},
    "inkling2": {"layer_types": ["hybrid_sliding", "hybrid"]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "levit": {
        "image_size": 64, "hidden_sizes": [16, 32, 48], "num_attention_heads": [2, 2, 2],
        "depths": [1, 1, 1], "key_dim": [8, 8, 8], "patch_size": 16,
    },
    "llama_mqa": {"num_key_value_heads": 1},
    "llava": {"text_config": TEXT, "vision_config": EYES, "image_token_index": 5},
    "longcat_flash": {"head_dim": 4},
    "longt5_global": {"encoder_attention_type": "transient-global"},
    "mamba": {"conv_kernel": 4},
    "mask2former": {
        "backbone_config": {
            "model_type": "swin", "embed_dim": 16, "depths": [1, 1, 1, 1],
            "num_heads": [1, 2, 2, 4], "window_size": 4, "image_size": 64,
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        },
        "feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_layers": 1,
        "decoder_layers": 2, "num_queries": 5, "dim_feedforward": 40,
        "encoder_feedforward_dim": 40,
    },
    "mistral_full": {"sliding_window": None},
    "mllama": {},
    "patchtsmixer_attn": {**SERIES, "self_attn": True, "self_attn_heads": 2, "gated_attn": True},
    "patchtst": SERIES,
    "patchtst_channel": {**SERIES, "channel_attention": True},
    "perceiver": {
        "num_latents": 8, "d_latents": 32, "d_model": 16, "num_self_attends_per_block": 2,
        "num_blocks": 1, "num_self_attention_heads": 4, "num_cross_attention_heads": 4,
    },
    "phi3": {"sliding_window": None},
    "phi3_window": {"sliding_window": 4},
    "pvt": {**IMAGES, "num_attention_heads": [1, 2, 2, 4]},
    "pvt_v2": {**IMAGES, "num_attention_heads": [1, 2, 2, 4]},
    "qwen2_vl": {
        "text_config": {
            **TEXT, "model_type": "qwen2_vl_text",
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1],
                                "rope_theta": 10000.0},
        },
        "vision_config": {
            "depth": 2, "embed_dim": 32, "num_heads": 4, "hidden_size": 32, "patch_size": 8,
            "mlp_ratio": 2,
        },
        "image_token_id": 5,
    },
    "qwen2_window": {"use_sliding_window": True, "max_window_layers": 1},
    "qwen3_next": {"layer_types": ["linear_attention", "full_attention"]},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"], "attention_window_size": 16},
    "reformer": {"is_decoder": True, "axial_pos_shape": [4, 16], "axial_pos_embds_dim": [16, 16],
                 "attn_layers": ["local", "lsh"], "attention_head_size": 8},
    "segformer": {
        "num_encoder_blocks": 2, "hidden_sizes": [16, 32], "num_attention_heads": [2, 4],
        "depths": [1, 1], "sr_ratios": [2, 1], "patch_sizes": [7, 3], "strides": [4, 2],
        "mlp_ratios": [2, 2],
    },
    "siglip2_vision": {"num_patches": 16},
    "speech_to_text": {"input_feat_per_channel": 16, "conv_channels": 32},
    "swin": {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "patch_size": 2},
    "swinv2": {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "patch_size": 2},
    "timesfm": {"patch_length": 8, "context_length": 32, "horizon_length": 8},
    "timesformer": {"num_frames": 2},
    "videomae": {"num_frames": 4},
    "vivit": {"num_frames": 4, "tubelet_size": [2, 8, 8]},
    "yolos": {"image_size": [IMAGE, IMAGE], "num_detection_tokens": 4},
    "zamba2": {"num_hidden_layers": 3, "layers_block_type": ["mamba", "hybrid", "hybrid"]},
}  # fmt: skip


def config_of(name: str) -> Any:
    """The config of a configuration."""
    kind = getattr(transformers, KINDS[name])
    own = OWN.get(name, {})
    if name == "encoder_decoder":
        parts = [small(transformers.BertConfig, "bert") for _ in range(2)]
        return transformers.EncoderDecoderConfig.from_encoder_decoder_configs(*parts)
    if name == "sam":
        config = small(kind.config_class, "sam")
        for part, sizes in (
            ("prompt_encoder_config", {"hidden_size": 32, "image_embedding_size": 4}),
            ("mask_decoder_config", {"hidden_size": 32}),
            ("vision_config", {"output_channels": 32}),
        ):
            for key, value in sizes.items():
                setattr(getattr(config, part), key, value)
        return config
    return small(kind.config_class, kind.config_class.model_type, own)


def given_to(name: str, model: Any, padding: str | None) -> dict[str, Any]:
    """What the model of a configuration is called with."""
    draw = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw)

    ids = torch.randint(6, 60, (2, 9), generator=draw)
    own: dict[str, Any] = {
        "audio_spectrogram": lambda: {"input_values": randn(2, 64, 16)},
        "bert_decoder_cross": lambda: {"encoder_hidden_states": randn(2, 5, 32)},
        "decision_transformer": lambda: {
            "states": randn(2, 5, 17), "actions": randn(2, 5, 4), "rewards": randn(2, 5, 1),
            "returns_to_go": randn(2, 5, 1), "timesteps": torch.arange(5).expand(2, 5),
            "attention_mask": torch.ones(2, 5, dtype=torch.long),
        },
        "gpt2_cross": lambda: {"encoder_hidden_states": randn(2, 5, 32)},
        "lxmert": lambda: {"visual_feats": randn(2, 4, 2048), "visual_pos": randn(2, 4, 4)},
        "perceiver": lambda: {"inputs": randn(2, 9, 16)},
        "siglip2_vision": lambda: {
            "pixel_values": randn(2, 16, 192), "spatial_shapes": torch.tensor([[4, 4], [4, 4]]),
            "pixel_attention_mask": torch.ones(2, 16, dtype=torch.long),
        },
        "speech_to_text": lambda: {"input_features": randn(2, 128, 16)},
        "timesfm": lambda: {"past_values": randn(2, 32), "freq": torch.zeros(2, dtype=torch.long)},
        "timesformer": lambda: {"pixel_values": randn(2, 2, 3, IMAGE, IMAGE)},
        "vilt": lambda: {"pixel_values": randn(2, 3, IMAGE, IMAGE)},
    }  # fmt: skip
    for each in ("videomae", "vivit"):
        own[each] = lambda: {"pixel_values": randn(2, 4, 3, IMAGE, IMAGE)}
    for each in ("patchtsmixer_attn", "patchtst", "patchtst_channel"):
        own[each] = lambda: {"past_values": randn(2, 32, 2)}
    for each, places in (("blip2", 4), ("llava", 16)):
        own[each] = lambda places=places: {
            "input_ids": torch.cat([torch.full((2, places), 5), ids], 1),
            "attention_mask": torch.ones(2, places + 9, dtype=torch.long),
            "pixel_values": randn(2, 3, IMAGE, IMAGE),
        }
    own["qwen2_vl"] = lambda: {
        "input_ids": torch.cat([torch.full((2, 4), 5), ids], 1),
        "attention_mask": torch.ones(2, 13, dtype=torch.long),
        "pixel_values": randn(32, 3 * 2 * 64), "image_grid_thw": torch.tensor([[1, 4, 4]] * 2),
        "mm_token_type_ids": torch.cat([torch.ones(2, 4), torch.zeros(2, 9)], 1).int(),
    }  # fmt: skip
    for each in ("detr", "conditional_detr", "deformable_detr", "mask2former", "pvt", "pvt_v2",
                 "levit", "hiera"):  # fmt: skip
        side = 224 if each == "hiera" else 64
        own[each] = lambda side=side: {"pixel_values": randn(2, 3, side, side)}
    given = {} if name in ("perceiver",) else inputs(model, padding)[0]
    if name in own:
        given |= own[name]()
    if name in ("patchtst", "patchtst_channel", "patchtsmixer_attn", "timesfm"):
        given = own[name]()
    if name in ("audio_spectrogram",):
        given = own[name]()
    if name == "sam":
        given = {"pixel_values": randn(2, 3, IMAGE, IMAGE), "input_points": randn(2, 1, 2, 2) + 9}
    return given
