"""Weights and configurations of transformers that the import does not understand are refused by name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from safetensors.numpy import save_file

from model.training.errors import SourceError
from model.training.importing.import_model import ImportOptions, import_model
from tests.lab.architecture_folders import Arrays, arrays_of, logits, repository, sharded
from tests.lab.architectures import array


def changed(name: str, values: np.ndarray[Any, Any] | None) -> Arrays:
    """The arrays of the ViT with another one of this name, or without it."""
    arrays = arrays_of("ViT")
    del arrays[name]
    return arrays if values is None else {**arrays, name: values}


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "a")
    (folder / "model-00001-of-00002.safetensors").unlink()
    os.mkfifo(folder / "model-00001-of-00002.safetensors")
    with pytest.raises(SourceError, match="is no file"):
        logits(folder)


def test_both_heads_of_a_network_with_a_teacher_have_the_same_labels(tmp_path: Path) -> None:
    ones = np.ones((1, 32), np.float32)
    one: Arrays = {"distillation_classifier.weight": ones, "distillation_classifier.bias": ones[:, 0]}
    arrays = arrays_of("DeiT, with teacher") | one
    with pytest.raises(SourceError, match=r"has the shape \[1, 32\]; its configuration needs \[3, 32\]"):
        logits(repository(tmp_path / "a", "DeiT, with teacher", arrays), "DeiT, with teacher")


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (changed("vit.layernorm.bias", None), r"a has no array 'vit\.layernorm\.bias', which its configuration needs"),
        (
            changed("classifier.bias", np.zeros(4, np.float32)),
            r"'classifier\.bias' has the shape \[4\]; .* needs \[3\]",
        ),
        (
            changed("classifier.weight", np.zeros((3, 31), np.float32)),
            r"'classifier\.weight' has the shape \[3, 31\]; its configuration needs \[any, 32\]",
        ),
        (changed("classifier.bias", np.zeros(3, np.int8)), r"'classifier\.bias' has the type I8; it must be F64, F32"),
        (
            changed("classifier.bias", np.full(3, np.inf, np.float32)),
            r"'classifier\.bias' has values that are not finite",
        ),
        (
            arrays_of("ViT") | {"vit.gate": np.zeros(3, np.float32)},
            r"a has 1 arrays that its configuration does not need, such as 'vit\.gate': the configuration or",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(arrays: Arrays, words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions(str(repository(tmp_path / "a", arrays=arrays))), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("title", "changes", "words"),
    [
        ("ViT", {"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'; it must be one of: gelu"),
        ("ViT", {"num_attention_heads": 5}, "num_attention_heads is '5'; it must be a divisor of 32, the channels"),
        ("ViT", {"num_hidden_layers": 3}, r"no array 'vit\.encoder\.layer\.2\.layernorm_before\.weight'"),
        (
            "ViT",
            {"num_hidden_layers": 1},
            r"16 arrays that its configuration does not need, such as 'vit\.encoder\.lay",
        ),
        ("ViT", {"image_size": 64}, r"position_embeddings' has the shape \[1, 10, 32\]; .* needs \[1, 17, 32\]"),
        ("ViT", {"image_size": 5000}, "image_size is '5000'; it must be a whole number from 1 to 4,096, or two"),
        ("ViT", {"image_size": 8}, "config.json does not describe a network that can be built"),
        ("ViT", {"image_size": "big"}, "image_size is 'big'; it must be a whole number"),
        ("ViT", {"patch_size": [16, 16]}, "patch_size is '.16, 16.'; it must be a whole number above 0"),
        (
            "ViT",
            {"num_channels": 1},
            r"projection\.weight' has the shape \[32, 3, 16, 16\]; its configuration needs \[any, 1, 16, 16\]",
        ),
        ("ViT", {"num_channels": 4}, "num_channels is '4'; it must be 1 or 3"),
        ("ViT", {"is_causal": True}, "is_causal is 'true', and the import does not know what it changes: remove it if"),
        ("ViT", {"head_dim": 8}, "head_dim is '8', and the import does not know"),
        ("ViT", {"transformers_weights": "b.safetensors"}, r"transformers_weights is 'b\.safetensors', and the import"),
        ("ViT", {"layer_norm_eps": 10**400}, r"layer_norm_eps is '10*\.\.\.'; it must be a number above 0"),
        (
            "ViT",
            {"image_size": 4096},
            "image_size is '4096'; it must be smaller: an image would have 65,536 patches, at",
        ),
        ("Swin", {"image_size": 2048}, "image_size is '2048'; it must be smaller: an image would have 262,144 patches"),
        ("Swin", {"image_size": 1024, "window_size": 256}, "image_size is '1024'; it must be smaller: .* scores of"),
        ("Swin", {"num_layers": 3}, "num_layers is '3'; it must be 2, the count of depths"),
        ("Swin", {"num_attention_heads": [2, 4]}, "num_attention_heads is '.2, 4.', and the import does not know"),
        ("ConvNext", {"num_stages": 3}, "num_stages is '3'; it must be 4, the count of depths"),
        ("ConvNextV2", {"num_stages": 3}, "num_stages is '3'; it must be 4, the count of depths"),
        ("BEiT", {"image_size": [48, 64]}, "image_size is '.48, 64.'; it must be the same for height and width"),
        ("BEiT", {"image_size": 64}, r"has the shape \[28, 2\]; its configuration needs \[52, 2\]"),
        ("BEiT", {"use_relative_position_bias": False}, r"has 2 arrays that its configuration does not need"),
        ("BEiT", {"hidden_act": "relu"}, "hidden_act is 'relu'; it must be one of: gelu"),
        ("Swin", {"num_heads": [2]}, "num_heads is '.2.'; it must be 2 numbers, as depths has"),
        ("Swin", {"num_heads": [3, 4]}, "num_heads is '.3, 4.'; it must be a divisor of 8, the channels of stage 0"),
        (
            "Swin",
            {"window_size": 3},
            "window_size is '3'; it must be a divisor of 16, the patches along an edge in stage 0",
        ),
        ("Swin", {"image_size": 66}, "patch_size is '4'; it must be a divisor of 66, image_size"),
        ("Swin", {"image_size": 60}, "window_size is '4'; it must be a divisor of 15"),
        ("ConvNext", {"depths": 3}, "depths is '3'; it must be a list of whole numbers above 0"),
        ("ConvNext", {"depths": [1, 0]}, "depths is '.1, 0.'; it must be a list of whole numbers above 0"),
        ("ConvNext", {"layer_scale_init_value": -1}, "layer_scale_init_value is '-1'; it must be a number from 0"),
        ("ResNet", {"hidden_act": "silu"}, "hidden_act is 'silu'; it must be one of: relu"),
        ("ResNet", {"layer_type": "wide"}, "layer_type is 'wide'; it must be one of: bottleneck, basic"),
        ("EfficientNet", {"hidden_act": "relu"}, "hidden_act is 'relu'; it must be one of: swish, silu"),
        ("EfficientNet", {"pooling_type": "max"}, "pooling_type is 'max'; it must be one of: mean"),
        ("EfficientNet", {"strides": [1, 2]}, "strides is '.1, 2.'; it must be 3 numbers, as num_block_repeats has"),
        ("EfficientNet", {"kernel_sizes": [3, 4, 3]}, "kernel_sizes is '.3, 4, 3.'; it must be a list of odd numbers"),
        ("EfficientNet", {"kernel_sizes": [3, 1, 3]}, "kernel_sizes is '.3, 1, 3.'; it must be .* from 3 up"),
        (
            "EfficientNet",
            {"depthwise_padding": [-1]},
            "depthwise_padding is '.-1.'; it must be a list of whole",
        ),
        ("EfficientNet", {"num_hidden_layers": 3}, "num_hidden_layers is '3'; it must be 28, four for each"),
        ("MobileNetV2", {"output_stride": 16}, "output_stride is '16'; it must be 32"),
        ("MobileNetV2", {"hidden_act": "relu"}, "hidden_act is 'relu'; it must be one of: relu6"),
    ],
)
def test_configurations_that_are_not_understood_are_named(
    title: str, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions(str(repository(tmp_path / "a", title, **changes))), tmp_path / "out")


def test_patches_of_swin_that_cannot_be_merged_are_named(tmp_path: Path) -> None:
    larger = {
        name: array(name, [81, *values.shape[1:]]) if "table" in name else values
        for name, values in arrays_of("Swin").items()
    }
    folder = repository(tmp_path / "a", "Swin", larger, image_size=60, window_size=5)
    with pytest.raises(SourceError, match=r"image_size is '60'; it must be a multiple of patch_size by 2"):
        import_model(ImportOptions(str(folder)), tmp_path / "out")


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (
            {"weight_map": {"a": "../b.safetensors"}},
            r"weight_map names '\.\./b\.safetensors'; it must be a \.safetensors",
        ),
        ({"weight_map": {"a": 3}}, "weight_map names '3'; it must be"),
        ({"weight_map": {"a": ["x"]}}, "weight_map names '.\"x\".'; it must be"),
        ({"weight_map": {"a": "b.safetensors"}}, r"b\.safetensors is no file; .*index\.json names it"),
        ({}, "weight_map is missing; it must be an object"),
    ],
)
def test_a_wrong_index_is_named(index: dict[str, Any], words: str, tmp_path: Path) -> None:
    folder = sharded(tmp_path / "a")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions(str(folder)), tmp_path / "out")


def test_an_array_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "a")
    save_file(arrays_of("ViT"), folder / "model-00001-of-00002.safetensors")
    with pytest.raises(SourceError, match=r"has two arrays '.*', one of them in model-00002-of-00002\.safetensors"):
        import_model(ImportOptions(str(folder)), tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"\xff" * 40, b"\x08\0\0\0\0\0\0\0{}      \0"])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    folder = repository(tmp_path / "a")
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(SourceError, match=r"model\.safetensors is not a safetensors file: |has no array"):
        import_model(ImportOptions(str(folder)), tmp_path / "out")


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"file": "model.onnx"}, r"--file is 'model\.onnx'; .*/a holds no \.onnx file to choose from"),
        ({"size": 96}, r"size is 96; .* takes only 48x48"),
        ({"pixels": "torch"}, "--pixels is torch, and .* says how pixels are prepared"),
        ({"signature": "serve"}, "the signature is 'serve'; only SavedModel folders"),
        ({"output": "logits"}, "the output is 'logits'"),
        ({"alpha": 0.5}, "has its own weights and width"),
    ],
)
def test_options_that_do_not_fit_are_named(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    folder = repository(tmp_path / "a")
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions(str(folder), **options), tmp_path / "out")


def test_as_many_labels_as_scores_are_needed(tmp_path: Path) -> None:
    folder = repository(tmp_path / "a", id2label={"0": "coat", "1": "bag"})
    with pytest.raises(SourceError, match="2 labels"):
        import_model(ImportOptions(str(folder)), tmp_path / "out")
