"""Converts the configuration of a model that Keras 2 (or tf_keras) saved to what this Keras reads.

Only what says the same in both is changed: the modules of classes, and arguments at the values that this Keras has
built in. Any other difference is left for Keras to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

# Layers that Keras 2 makes of TensorFlow's functions. This Keras has none, and cannot know their meaning.
OPERATIONS = "TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"

# Classes by their modules in this Keras. Keras 2 names modules of its own, such as `keras.src.engine.functional`.
_MODULES = {"Functional": "keras.src.models.functional", "Sequential": "keras", "Model": "keras"}

# An argument that this Keras lacks, by the layers' names, and whether its value is what this Keras does without it.
_DROPPED: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    (r"Depthwise\w+|Separable\w+|Conv\w+Transpose", "groups", lambda value: value == 1),
    (r"Random\w+", "rng_type", lambda value: True),
    (r"Random\w+", "force_generator", lambda value: True),
    (r"Separable\w+|Depthwise\w+", "kernel_initializer", lambda value: True),
    (r"Separable\w+|Depthwise\w+", "kernel_regularizer", lambda value: True),
    (r"Separable\w+|Depthwise\w+", "kernel_constraint", lambda value: value is None),
    (r"BatchNormalization", "virtual_batch_size", lambda value: not value),
    (r"BatchNormalization", "fused", lambda value: True),
    (r"SpatialDropout\w+", "trainable", lambda value: True),
    (r"SpatialDropout\w+", "noise_shape", lambda value: value is None),
    (r"LSTM|GRU|SimpleRNN|RNN", "time_major", lambda value: not value),
)

# Policies of layers that compute in half precision.
_HALF = "mixed_float16", "mixed_bfloat16", "float16", "bfloat16"

# Functions that Keras 2 and this Keras calculate differently under the same name.
_OTHERS = ("hard_sigmoid",)


def modernised(configuration: Any) -> Any:
    """The configuration with Keras 2's classes, arguments and names replaced by this Keras's; the given one is
    unchanged.

    A name may not hold a slash any more. Weights are not found by these names, so that another one changes nothing.
    """
    names = {name: name.replace("/", "_") for node in _nodes(configuration) if "/" in (name := _name(node))}
    return _converted(configuration, names)


def in_full_precision(configuration: Any) -> Any:
    """The configuration with layers of half precision, which LiteRT lacks, in float32; equal if there are none.

    Mixed precision keeps its weights in float32.
    """
    if isinstance(configuration, list):
        return [in_full_precision(each) for each in configuration]
    if not isinstance(configuration, dict):
        return configuration
    if configuration.get("class_name") == "DTypePolicy" and _is_class(configuration) and _name(configuration) in _HALF:
        return {**configuration, "config": {**configuration["config"], "name": "float32"}}
    return {
        key: "float32" if key == "dtype" and isinstance(each, str) and each in _HALF else in_full_precision(each)
        for key, each in configuration.items()
    }


def other_function(configuration: Any) -> str:
    """The name of a function in the configuration that this Keras calculates differently; empty without one."""
    for node in _nodes(configuration):
        for key, value in node["config"].items():
            function = value.get("config") if isinstance(value, dict) else value
            if key != "name" and isinstance(function, str) and function in _OTHERS:
                return function
    return ""


def _converted(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_converted(each, names) for each in value]
    if not isinstance(value, dict):
        return names.get(value, value) if isinstance(value, str) else value
    made = {key: _converted(each, names) for key, each in value.items()}
    if _is_class(made):
        if made["class_name"] in ("Policy", "PolicyV1"):  # a policy of mixed precision is its name
            return _name(made)
        if "module" in made and made["class_name"] != "InputLayer":  # .keras files have an InputLayer for it
            made["config"].pop("batch_input_shape", None)
        made |= _class(made)
        if made["class_name"] == "Sequential":
            made["config"] = _with_input(made["config"])
        made["config"] = _with_calls(_arguments(made["class_name"], made["config"]))
    return made


def _with_input(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a Sequential whose first layer has a shape with that input as a layer of its own, as newer
    files have it."""
    layers = config.get("layers")
    if not isinstance(layers, list) or not layers or not isinstance(layers[0], dict):
        return config
    first = layers[0]
    if not _is_class(first) or first["class_name"] == "InputLayer" or "batch_input_shape" not in first["config"]:
        return config
    own = dict(first["config"])
    given = {"batch_input_shape": own.pop("batch_input_shape"), "name": f"{_name(first)}_input"}
    return {**config, "layers": [{"class_name": "InputLayer", "config": given}, {**first, "config": own}, *layers[1:]]}


def _with_calls(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a network, with the calls of the networks inside it counted from 0, and without a list
    around its one input and its one output.

    Keras 2 counts the construction of a network with an input as its first call, and leaves that call out.
    """
    layers = config.get("layers")
    if not isinstance(layers, list) or "output_layers" not in config:
        return config
    counted = {_name(layer) for layer in layers if isinstance(layer, dict) and _is_class(layer) and _has_input(layer)}
    calls = [
        {**layer, "inbound_nodes": _less_one(layer["inbound_nodes"], counted)} if "inbound_nodes" in layer else layer
        for layer in layers
    ]
    ends = {"input_layers": config.get("input_layers"), "output_layers": _less_one(config["output_layers"], counted)}
    return {**config, "layers": calls, **{key: _unwrapped(end) for key, end in ends.items()}}


def _unwrapped(end: Any) -> Any:
    return end[0] if isinstance(end, list) and len(end) == 1 and isinstance(end[0], list) else end


def _has_input(layer: Mapping[str, Any]) -> bool:
    inner = layer["config"].get("layers")
    return isinstance(inner, list) and bool(inner) and inner[0].get("class_name") == "InputLayer"


def _less_one(value: Any, counted: Set[str]) -> Any:
    """References to layers, [name, call, tensor, …], with the calls of the `counted` networks reduced by 1."""
    if isinstance(value, dict):
        return {key: _less_one(each, counted) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) >= 3 and isinstance(value[0], str) and value[0] in counted and type(value[1]) is int:
        value = [value[0], value[1] - 1, *value[2:]]
    return [_less_one(each, counted) for each in value]


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """The classes with their arguments that a configuration names, at any depth."""
    if isinstance(value, dict) and _is_class(value):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(each)


def _is_class(node: Mapping[str, Any]) -> bool:
    return isinstance(node.get("class_name"), str) and isinstance(node.get("config"), dict)


def _name(node: Mapping[str, Any]) -> str:
    name = node["config"].get("name")
    return name if isinstance(name, str) else ""


def _class(node: Mapping[str, Any]) -> dict[str, Any]:
    """The module of a class, where Keras 2 names another one for it."""
    module, name = node.get("module"), node["class_name"]
    if not isinstance(module, str) or not re.match(r"(tf_)?keras(\.|$)", module):
        return {}
    if name in _MODULES:
        return {"module": _MODULES[name], "registered_name": None}
    return {"module": module.removeprefix("tf_")}


def _arguments(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by their names in this Keras, without those that mean nothing in it, and with one axis as a
    number."""
    kept = dict(config)
    for layers, key, is_built_in in _DROPPED:
        if key in kept and re.fullmatch(layers, name) and is_built_in(kept[key]):
            del kept[key]
    if name == "LeakyReLU" and "alpha" in kept:
        kept["negative_slope"] = kept.pop("alpha")
    axis = kept.get("axis")
    if name == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        kept["axis"] = axis[0]
    return kept
