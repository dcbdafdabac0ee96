"""Builds the network of a Hugging Face repository that holds its weights as .safetensors, and no .onnx file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from model.preprocessing.signature_schema import MAX_EDGE
from model.text import quoted, reason
from model.training.errors import SourceError
from model.training.importing.architectures.beit import beit
from model.training.importing.architectures.convnext import convnext, convnext_v2
from model.training.importing.architectures.efficientnet import efficientnet
from model.training.importing.architectures.mobilenet_v2 import mobilenet_v2
from model.training.importing.architectures.resnet import resnet
from model.training.importing.architectures.swin import swin
from model.training.importing.architectures.vision_transformer import deit, deit_with_teacher, vit
from model.training.importing.architectures.weights import Weights, open_weights
from model.training.importing.fields import Fields


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network of transformers.

    `logits`: makes the logits of a batch of images. `fields`: those of config.json that decide how it computes.
    `is_fixed`: whether its weights are for images of one size, which config.json says.
    """

    logits: Callable[[Fields, Weights, Any], Any]
    fields: frozenset[str]
    is_fixed: bool = False


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VIT = _names(
    "hidden_act image_size layer_norm_eps num_attention_heads num_channels num_hidden_layers patch_size qkv_bias"
)
_BEIT = _names(
    "hidden_act image_size layer_norm_eps layer_scale_init_value num_attention_heads num_channels num_hidden_layers "
    "patch_size use_absolute_position_embeddings use_mean_pooling use_relative_position_bias "
    "use_shared_relative_position_bias"
)
_SWIN = _names(
    "depths hidden_act image_size layer_norm_eps num_channels num_heads num_layers patch_size qkv_bias "
    "use_absolute_embeddings window_size"
)
_CONVNEXT = _names("depths hidden_act layer_norm_eps num_channels num_stages patch_size")
_RESNET = _names("depths downsample_in_bottleneck downsample_in_first_stage hidden_act layer_type num_channels")
_MOBILENET = _names("first_layer_is_expansion hidden_act layer_norm_eps num_channels output_stride tf_padding")
_EFFICIENTNET = _names(
    "batch_norm_eps depth_coefficient depthwise_padding expand_ratios hidden_act kernel_sizes num_block_repeats "
    "num_channels num_hidden_layers pooling_type strides"
)

ARCHITECTURES = {
    "ViTForImageClassification": Architecture(vit, _VIT, is_fixed=True),
    "DeiTForImageClassification": Architecture(deit, _VIT, is_fixed=True),
    "DeiTForImageClassificationWithTeacher": Architecture(deit_with_teacher, _VIT, is_fixed=True),
    "BeitForImageClassification": Architecture(beit, _BEIT, is_fixed=True),
    "SwinForImageClassification": Architecture(swin, _SWIN, is_fixed=True),
    "ConvNextForImageClassification": Architecture(convnext, _CONVNEXT | {"layer_scale_init_value"}),
    "ConvNextV2ForImageClassification": Architecture(convnext_v2, _CONVNEXT),
    "ResNetForImageClassification": Architecture(resnet, _RESNET),
    "MobileNetV2ForImageClassification": Architecture(mobilenet_v2, _MOBILENET),
    "EfficientNetForImageClassification": Architecture(efficientnet, _EFFICIENTNET),
}
"""By the name in config.json."""

# Fields that change no logits: names and labels, what only training uses, and the form of what the library returns.
_WITHOUT_EFFECT = _names(
    "_attn_implementation _attn_implementation_autoset _name_or_path _num_labels architectures "
    "attention_probs_dropout_prob attn_implementation auxiliary_channels auxiliary_concat_input auxiliary_loss_weight "
    "auxiliary_num_convs batch_norm_momentum chunk_size_feed_forward classifier_dropout_prob drop_connect_rate "
    "drop_path_rate dropout_rate dtype encoder_stride finetuning_task hidden_dropout_prob id2label initializer_factor "
    "initializer_range label2id max_length model_type name_or_path num_labels out_features out_indices "
    "output_attentions output_hidden_states padding path_norm pool_scales pooler_act pooler_output_size problem_type "
    "reshape_hidden_states return_dict semantic_loss_ignore_index stage_names "
    "tie_word_embeddings torch_dtype torchscript "
    "transformers_version use_auxiliary_head use_mask_token use_return_dict vocab_size"
)

# Fields that the shapes of the arrays say, too: an array of another shape is refused where it does not fit.
_SHAPES = _names(
    "depth_divisible_by depth_divisor depth_multiplier embed_dim embedding_size expand_ratio finegrained_output "
    "hidden_dim hidden_size hidden_sizes image_size in_channels intermediate_size min_depth mlp_ratio out_channels "
    "squeeze_expansion_ratio width_coefficient"
)

_USUAL_SIZE = 224


def architecture_of(config: Fields) -> Architecture | None:
    """The architecture that a config.json names, if it can be built."""
    names = config.values.get("architectures")
    name = names[0] if isinstance(names, list) and len(names) == 1 else None
    return ARCHITECTURES.get(name) if isinstance(name, str) else None


def build(folder: Path, config: Fields, architecture: Architecture, size: tuple[int, int] | None) -> keras.Model:
    """The network of a folder with its weights; it gives logits.

    `size`: height and width of the images, for networks that take images of any size. Raises SourceError.
    """
    _check_known(config, architecture)
    if architecture.is_fixed:
        size = _fixed_size(config)
    if size is None:
        raise SourceError(f"{folder} takes images of any size; choose one with --size")
    channels = config.count("num_channels", 3)
    if channels not in (1, 3):
        raise config.wrong("num_channels", "1 or 3")
    images = keras.Input((*size, channels), name="images")
    with open_weights(folder) as weights:
        try:
            logits = architecture.logits(config, weights, images)
        except (ValueError, TypeError, ArithmeticError, RuntimeError) as exc:  # Keras' own, for too small images
            raise SourceError(f"{config.where} does not describe a network that can be built: {reason(exc)}") from exc
        weights.check_all_taken()
    return keras.Model(images, logits)


def _check_known(config: Fields, architecture: Architecture) -> None:
    """Raise SourceError for a field that might change the logits in a way that is not built here."""
    for name, value in config.values.items():
        if value and name not in architecture.fields | _WITHOUT_EFFECT | _SHAPES:
            raise SourceError(
                f"{config.where}: {name} is {quoted(value)}, and the import does not know what it changes: remove it "
                "if it changes no score, or export the network to ONNX"
            )


def _fixed_size(config: Fields) -> tuple[int, int]:
    found = config.values.get("image_size", _USUAL_SIZE)
    edges = tuple(found) if isinstance(found, list) else (found, found)
    if len(edges) != 2 or not all(type(edge) is int and 1 <= edge <= MAX_EDGE for edge in edges):
        raise config.wrong("image_size", f"a whole number from 1 to {MAX_EDGE:,}, or two for height and width")
    return edges[0], edges[1]
